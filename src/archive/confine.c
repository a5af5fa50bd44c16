/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "archive/tool.h"
#include "base/confine.h"

#define MEMORY_MAX (512 * MIB) /* of addresses, libraries included */

/* clang-format off */
static const struct sock_filter filter[] = {
        CONFINE_BEGIN,
        CONFINE_ALLOW(read),
        CONFINE_ALLOW(write),
        CONFINE_ALLOW(fsync),
        CONFINE_END,
};
/* clang-format on */

int confine(uint64_t size_max) {
        struct sock_fprog program = { .len = ELEMENTSOF(filter), .filter = (struct sock_filter *) filter };

        if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) < 0)
                return -errno;
        int r = confine_limit(RLIMIT_CORE, 0);
        if (r == 0)
                r = confine_limit(RLIMIT_NOFILE, 0);
        if (r == 0)
                r = confine_limit(RLIMIT_AS, MEMORY_MAX);
        if (r == 0 && size_max < UINT64_MAX)
                r = confine_limit(RLIMIT_FSIZE, size_max);
        if (r < 0)
                return r;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
                return -errno;
        return 0;
}
