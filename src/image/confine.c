/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/confine.h"

#define MEMORY_MAX GIB
#define FILES_MAX 512U /* a descriptor for each of the folders that lie in each other */

/* clang-format off */
static const struct sock_filter filter[] = {
        CONFINE_BEGIN,
        /* of descriptors no more than what is asked or copied: who owns one is sent signals */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_fcntl, 0, 8),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_DUPFD_CLOEXEC, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_GETFD, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_SETFD, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_GETFL, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_SETFL, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        /* files */
        CONFINE_ALLOW(read),
        CONFINE_ALLOW(pread64),
        CONFINE_ALLOW(write),
        CONFINE_ALLOW(close),
        CONFINE_ALLOW(lseek),
        CONFINE_ALLOW(openat),
        CONFINE_ALLOW(newfstatat),
        CONFINE_ALLOW(fstat),
        CONFINE_ALLOW(statx),
        CONFINE_ALLOW(getdents64),
        CONFINE_ALLOW(readlinkat),
        CONFINE_ALLOW(mkdirat),
        CONFINE_ALLOW(symlinkat),
        CONFINE_ALLOW(linkat),
        CONFINE_ALLOW(unlinkat),
        CONFINE_ALLOW(renameat),
        CONFINE_ALLOW(fchmod),
        CONFINE_ALLOW(fchmodat),
        CONFINE_ALLOW(fchown),
        CONFINE_ALLOW(fchownat),
        CONFINE_ALLOW(ftruncate),
        CONFINE_ALLOW(utimensat),
        /* who opens the files of the image for it */
        CONFINE_ALLOW(sendmsg),
        CONFINE_ALLOW(recvmsg),
        CONFINE_END,
};
/* clang-format on */

static int become(const Owner *owner) {
        if (geteuid() != 0)
                return 0; /* the owner, who made the folder */
        if (setgroups(0, NULL) < 0 || setresgid(owner->gid, owner->gid, owner->gid) < 0 ||
                setresuid(owner->uid, owner->uid, owner->uid) < 0)
                return -errno;
        return 0;
}

int confine_reader(const Owner *owner, int work_fd, const char **ret_what) {
        struct sock_fprog program = { .len = ELEMENTSOF(filter), .filter = (struct sock_filter *) filter };
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[2] = { 0 };

        *ret_what = "making a user namespace";
        if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
                return -errno;
        *ret_what = "changing the root";
        if (fchdir(work_fd) < 0 || chroot(".") < 0)
                return -errno;
        *ret_what = "becoming the owner of images";
        int r = become(owner);
        if (r < 0)
                return r;
        *ret_what = "setting limits";
        r = confine_limit(RLIMIT_CORE, 0);
        if (r == 0)
                r = confine_limit(RLIMIT_NOFILE, FILES_MAX);
        if (r == 0)
                r = confine_limit(RLIMIT_AS, MEMORY_MAX);
        if (r < 0)
                return r;
        *ret_what = "dropping rights";
        if (syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
                prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        *ret_what = "installing the system call filter";
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
