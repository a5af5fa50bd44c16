/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "ctl/host.h"
#include "ctl/terminal.h"

/* A second wall behind the sandbox, for everybody else on the host too: SECURITY.md says what each is good for. */
typedef struct Advice {
        const char *sysctl; /* with slashes, below /proc/sys */
        long least;         /* smaller values are worse */
        long most;          /* larger ones too; -1: no bound */
} Advice;

/* clang-format off */
static const Advice advices[] = {
        { "kernel/unprivileged_bpf_disabled", 1, -1 },
        { "kernel/kptr_restrict", 1, -1 },
        { "kernel/dmesg_restrict", 1, -1 },
        { "kernel/io_uring_disabled", 2, -1 },
        { "dev/tty/legacy_tiocsti", 0, 0 },
        { "kernel/yama/ptrace_scope", 1, -1 },
        { "fs/inotify/max_user_instances", 16384, -1 },
        { "fs/inotify/max_user_watches", 4194304, -1 },
};
/* clang-format on */

static void check_sysctls(const char *root, Findings *f) {
        _cleanup_free_ char *found = xstrdup(""), *fix = xstrdup("sysctl -w");

        for (size_t i = 0; i < ELEMENTSOF(advices); i++) {
                const Advice *a = advices + i;
                _cleanup_free_ char *path = xasprintf("/proc/sys/%s", a->sysctl), *name = xstrdup(a->sysctl);
                long value = host_number(root, path, -1);
                char *more;

                /* what a kernel does not know cannot be set */
                if (value < 0 || (value >= a->least && (a->most < 0 || value <= a->most)))
                        continue;
                for (char *p = name; (p = strchr(p, '/'));)
                        *p = '.';
                more = xasprintf("%s%s%s=%ld", found, *found ? ", " : "", name, value);
                free(found);
                found = more;
                more = xasprintf("%s %s=%ld", fix, name, a->least);
                free(fix);
                fix = more;
        }
        if (*found)
                findings_add(f, "hardening", FINDING_WEAK, take_ptr(found), take_ptr(fix));
        else
                findings_add(f, "hardening", FINDING_GOOD, xstrdup("as SECURITY.md advises"), NULL);
}

/* What the service holds in memory should not reach a disk in the clear. */
static void check_swap(const char *root, Findings *f) {
        char text[4096];
        const char *line;

        if (host_read(root, "/proc/swaps", text, sizeof text) < 0)
                return;
        line = strchr(text, '\n');
        if (!line || !line[1])
                findings_add(f, "swap", FINDING_GOOD, xstrdup("none"), NULL);
        else if (strstr(line, "/dev/dm-") || strstr(line, "/dev/mapper/") || strstr(line, "/dev/zram"))
                findings_add(f, "swap", FINDING_GOOD, xstrdup("on a mapped device or in memory"), NULL);
        else
                findings_add(f, "swap", FINDING_NOTE,
                        xstrdup("not encrypted: sandboxes have none, what the service holds might reach the disk"),
                        xstrdup("encrypt it, see crypttab(5), or swapoff -a"));
}

void host_check_hardening(const char *root, Findings *f) {
        check_sysctls(root, f);
        check_swap(root, f);
}
