/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * System calls that a payload may make, by groups. What is in no group does not exist for it (ENOSYS), so that C
 * libraries fall back to what they know. Calls whose arguments matter are tested as well (filter.c).
 * Read by the generator at build time and by the documentation's test.
 */

// clang-format off
#define SYSCALLS_FILES(S) \
        S(access) S(chdir) S(chmod) S(chown) S(close) S(close_range) S(copy_file_range) S(creat) S(dup) S(dup2) S(dup3) \
        S(faccessat) S(faccessat2) S(fadvise64) S(fallocate) S(fchdir) S(fchmod) S(fchmodat) S(fchmodat2) S(fchown) \
        S(fchownat) S(fcntl) S(fdatasync) S(fgetxattr) S(flistxattr) S(flock) S(fremovexattr) S(fsetxattr) S(fstat) \
        S(fstatfs) S(fsync) S(ftruncate) S(futimesat) S(getcwd) S(getdents) S(getdents64) S(getxattr) S(lchown) \
        S(lgetxattr) S(link) S(linkat) S(listxattr) S(llistxattr) S(lremovexattr) S(lseek) S(lsetxattr) S(lstat) S(mkdir) \
        S(mkdirat) S(mknod) S(mknodat) S(newfstatat) S(open) S(openat) S(openat2) S(pread64) S(preadv) S(preadv2) \
        S(pwrite64) S(pwritev) S(pwritev2) S(read) S(readahead) S(readlink) S(readlinkat) S(readv) S(removexattr) \
        S(rename) S(renameat) S(renameat2) S(rmdir) S(sendfile) S(setxattr) S(splice) S(stat) S(statfs) S(statx) \
        S(symlink) S(symlinkat) S(sync) S(sync_file_range) S(syncfs) S(tee) S(truncate) S(umask) S(unlink) S(unlinkat) \
        S(utime) S(utimensat) S(utimes) S(vmsplice) S(write) S(writev)

#define SYSCALLS_PROCESSES(S) \
        S(arch_prctl) S(capget) S(capset) S(clone) S(execve) S(execveat) S(exit) S(exit_group) S(fork) S(get_robust_list) \
        S(getegid) S(geteuid) S(getgid) S(getgroups) S(getpgid) S(getpgrp) S(getpid) S(getppid) S(getpriority) \
        S(getresgid) S(getresuid) S(getrlimit) S(getrusage) S(getsid) S(gettid) S(getuid) S(ioprio_get) S(ioprio_set) \
        S(kill) S(membarrier) S(personality) S(pidfd_open) S(pidfd_send_signal) S(prctl) S(prlimit64) \
        S(process_mrelease) S(ptrace) S(process_vm_readv) S(process_vm_writev) S(restart_syscall) S(rseq) \
        S(rt_sigaction) S(rt_sigpending) S(rt_sigprocmask) S(rt_sigqueueinfo) S(rt_sigreturn) S(rt_sigsuspend) \
        S(rt_sigtimedwait) S(rt_tgsigqueueinfo) S(sched_get_priority_max) S(sched_get_priority_min) \
        S(sched_getaffinity) S(sched_getattr) S(sched_getparam) S(sched_getscheduler) S(sched_rr_get_interval) \
        S(sched_setaffinity) S(sched_setattr) S(sched_setparam) S(sched_setscheduler) S(sched_yield) S(seccomp) \
        S(set_robust_list) S(set_tid_address) S(setfsgid) S(setfsuid) S(setgid) S(setgroups) S(setpgid) S(setpriority) \
        S(setregid) S(setresgid) S(setresuid) S(setreuid) S(setrlimit) S(setsid) S(setuid) S(sigaltstack) \
        S(signalfd) S(signalfd4) S(tgkill) S(times) S(tkill) S(vfork) S(wait4) S(waitid) S(landlock_add_rule) \
        S(landlock_create_ruleset) S(landlock_restrict_self)

#define SYSCALLS_MEMORY(S) \
        S(brk) S(madvise) S(map_shadow_stack) S(memfd_create) S(mincore) S(mlock) S(mlock2) S(mlockall) S(mmap) S(mprotect) \
        S(mremap) S(mseal) S(msync) S(munlock) S(munlockall) S(munmap) S(pkey_alloc) S(pkey_free) S(pkey_mprotect) \
        S(remap_file_pages) S(set_thread_area) S(get_thread_area)

#define SYSCALLS_EVENTS(S) \
        S(alarm) S(clock_getres) S(clock_gettime) S(clock_nanosleep) S(epoll_create) S(epoll_create1) S(epoll_ctl) \
        S(epoll_ctl_old) S(epoll_pwait) S(epoll_pwait2) S(epoll_wait) S(epoll_wait_old) S(eventfd) S(eventfd2) S(futex) \
        S(futex_waitv) S(futex_wake) S(futex_wait) S(futex_requeue) S(getitimer) S(gettimeofday) S(inotify_add_watch) \
        S(inotify_init) S(inotify_init1) S(inotify_rm_watch) S(nanosleep) S(pause) S(pipe) S(pipe2) S(poll) S(ppoll) \
        S(pselect6) S(select) S(setitimer) S(time) S(timer_create) S(timer_delete) S(timer_getoverrun) S(timer_gettime) \
        S(timer_settime) S(timerfd_create) S(timerfd_gettime) S(timerfd_settime)

#define SYSCALLS_SOCKETS(S) \
        S(accept) S(accept4) S(bind) S(connect) S(getpeername) S(getsockname) S(getsockopt) S(listen) S(recvfrom) \
        S(recvmmsg) S(recvmsg) S(sendmmsg) S(sendmsg) S(sendto) S(setsockopt) S(shutdown) S(socket) S(socketpair)

#define SYSCALLS_IPC(S) \
        S(mq_getsetattr) S(mq_notify) S(mq_open) S(mq_timedreceive) S(mq_timedsend) S(mq_unlink) S(msgctl) S(msgget) \
        S(msgrcv) S(msgsnd) S(semctl) S(semget) S(semop) S(semtimedop) S(shmat) S(shmctl) S(shmdt) S(shmget)

#define SYSCALLS_SYSTEM(S) \
        S(getcpu) S(getrandom) S(ioctl) S(sysinfo) S(uname)

/* What the zygote needs to make a sandbox; the lock takes it away from the sandbox. */
#define SYSCALLS_SETUP(S) \
        S(clone3) S(mount) S(pivot_root) S(setns) S(umount2) S(unshare)

/* Only for images to which an administrator gives them (spec/calls.h): the zygote's filters let them pass, the lock of
 * all other sandboxes does not. */
#define SYSCALLS_AIO(S) \
        S(io_cancel) S(io_destroy) S(io_getevents) S(io_pgetevents) S(io_setup) S(io_submit)
#define SYSCALLS_DEBUG(S) \
        S(kcmp) S(pidfd_getfd) S(process_madvise)
#define SYSCALLS_NUMA(S) \
        S(get_mempolicy) S(mbind) S(set_mempolicy) S(set_mempolicy_home_node)
// clang-format on

#define SYSCALLS_PAYLOAD(S)                                                                                            \
        SYSCALLS_FILES(S)                                                                                              \
        SYSCALLS_PROCESSES(S) SYSCALLS_MEMORY(S) SYSCALLS_EVENTS(S) SYSCALLS_SOCKETS(S) SYSCALLS_IPC(S)                \
                SYSCALLS_SYSTEM(S)

#define SYSCALLS_WIDENED(S) SYSCALLS_AIO(S) SYSCALLS_DEBUG(S) SYSCALLS_NUMA(S)

/* Known and refused with EPERM, since programs take that for an answer where ENOSYS would be a surprise. */
// clang-format off
#define SYSCALLS_REFUSED(S) \
        S(acct) S(add_key) S(adjtimex) S(bpf) S(chroot) S(clock_adjtime) S(clock_settime) S(delete_module) \
        S(fanotify_init) S(fanotify_mark) S(finit_module) S(fsconfig) S(fsmount) S(fsopen) S(fspick) S(init_module) \
        S(ioperm) S(iopl) S(kexec_file_load) S(kexec_load) S(keyctl) S(listmount) S(lookup_dcookie) S(migrate_pages) \
        S(modify_ldt) S(mount_setattr) S(move_mount) S(move_pages) S(name_to_handle_at) S(nfsservctl) \
        S(open_by_handle_at) S(open_tree) S(open_tree_attr) S(perf_event_open) S(quotactl) S(quotactl_fd) S(reboot) \
        S(request_key) S(setdomainname) S(sethostname) S(settimeofday) S(statmount) S(swapoff) S(swapon) S(syslog) \
        S(uselib) S(userfaultfd) S(vhangup)
// clang-format on
