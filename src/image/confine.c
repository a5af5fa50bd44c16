/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY_MAX GIB
#define FILES_MAX 512U /* a descriptor for each of the folders that lie in each other */

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "No system call filter is written for this architecture"
#endif

/* clang-format off */
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static const struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        /* memory, none of which is ever executed */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
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
        ALLOW(brk),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(madvise),
        /* files */
        ALLOW(read),
        ALLOW(pread64),
        ALLOW(write),
        ALLOW(close),
        ALLOW(lseek),
        ALLOW(openat),
        ALLOW(newfstatat),
        ALLOW(fstat),
        ALLOW(statx),
        ALLOW(getdents64),
        ALLOW(readlinkat),
        ALLOW(mkdirat),
        ALLOW(symlinkat),
        ALLOW(linkat),
        ALLOW(unlinkat),
        ALLOW(renameat),
        ALLOW(fchmod),
        ALLOW(fchmodat),
        ALLOW(fchown),
        ALLOW(fchownat),
        ALLOW(ftruncate),
        ALLOW(utimensat),
        /* who opens the files of the image for it */
        ALLOW(sendmsg),
        ALLOW(recvmsg),
        ALLOW(futex),
        ALLOW(getrandom),
        ALLOW(clock_gettime),
        ALLOW(rt_sigreturn),
        ALLOW(exit),
        ALLOW(exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
};
/* clang-format on */

static int limit(__rlimit_resource_t resource, rlim_t value) {
        struct rlimit l = { .rlim_cur = value, .rlim_max = value };

        return setrlimit(resource, &l) < 0 ? -errno : 0;
}

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
        r = limit(RLIMIT_CORE, 0);
        if (r == 0)
                r = limit(RLIMIT_NOFILE, FILES_MAX);
        if (r == 0)
                r = limit(RLIMIT_AS, MEMORY_MAX);
        if (r < 0)
                return r;
        *ret_what = "dropping rights";
        if (syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
                prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        *ret_what = "installing the system call filter";
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
