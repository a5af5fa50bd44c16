/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* What filters of system calls have in common: those of sandboxes, and those of the processes that read what is hostile
 * for somebody else. */

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "No system call filter is written for this architecture"
#endif

/* A process that reads: the filter is CONFINE_BEGIN, CONFINE_ALLOW(name) for what it does, CONFINE_END. */

/* clang-format off */
#define CONFINE_ALLOW(name)                                                                                            \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Another architecture is the end; memory, none of which is ever executed. */
#define CONFINE_BEGIN                                                                                                  \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),                                       \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0),                                                             \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),                                                           \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),                                         \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 0, 4),                                                          \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),                                    \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),                                                         \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),                                                          \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),                                                                  \
        CONFINE_ALLOW(brk),                                                                                            \
        CONFINE_ALLOW(munmap),                                                                                         \
        CONFINE_ALLOW(mremap),                                                                                         \
        CONFINE_ALLOW(madvise)

/* What every process needs, and nothing else. */
#define CONFINE_END                                                                                                    \
        CONFINE_ALLOW(futex),                                                                                          \
        CONFINE_ALLOW(getrandom),                                                                                      \
        CONFINE_ALLOW(clock_gettime),                                                                                  \
        CONFINE_ALLOW(rt_sigreturn),                                                                                   \
        CONFINE_ALLOW(exit),                                                                                           \
        CONFINE_ALLOW(exit_group),                                                                                     \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
/* clang-format on */

/* For good. Returns 0 or -errno. */
static inline int confine_limit(__rlimit_resource_t resource, rlim_t value) {
        struct rlimit l = { .rlim_cur = value, .rlim_max = value };

        return setrlimit(resource, &l) < 0 ? -errno : 0;
}
