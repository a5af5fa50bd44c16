/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#define HIGH (1L << 32)

static bool is_policy(int error) {
        return error == EPERM || error == ENOSYS;
}

/* For a call that the filter has to answer: every other answer comes from the kernel behind it. */
static void expect_policy(const char *name, long result) {
        int error = result < 0 ? errno : 0;

        if (!is_policy(error))
                hole("%s reached the kernel: %s", name, error ? strerror(error) : "done");
}

#define POLICY(name, ...) (errno = 0, expect_policy(name, syscall(__VA_ARGS__)))

/* Numbers that are the same on all architectures, newer than some headers. */
enum {
        NR_open_tree = 428,
        NR_move_mount,
        NR_fsopen,
        NR_fsconfig,
        NR_fsmount,
        NR_fspick,
        NR_mount_setattr = 442,
        NR_quotactl_fd = 443,
        NR_memfd_secret = 447,
        NR_cachestat = 451,
        NR_statmount = 457,
        NR_listmount = 458,
        NR_open_tree_attr = 467,
        NR_listns = 470,
};

int attack_mount_api(char part) {
        (void) part;
        POLICY("mount", SYS_mount, NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
        POLICY("mount of a tmpfs", SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
        POLICY("umount2", SYS_umount2, "/proc/sys", MNT_DETACH);
        POLICY("pivot_root", SYS_pivot_root, ".", ".");
        POLICY("chroot", SYS_chroot, "/");
        POLICY("open_tree", NR_open_tree, AT_FDCWD, "/", 0);
        POLICY("open_tree of a clone", NR_open_tree, AT_FDCWD, "/", 1);
        POLICY("move_mount", NR_move_mount, -1, "", -1, "", 0);
        POLICY("fsopen", NR_fsopen, "tmpfs", 0);
        POLICY("fsconfig", NR_fsconfig, -1, 0, NULL, NULL, 0);
        POLICY("fsmount", NR_fsmount, -1, 0, 0);
        POLICY("fspick", NR_fspick, AT_FDCWD, "/", 0);
        POLICY("mount_setattr", NR_mount_setattr, -1, "", 0, NULL, 0);
        POLICY("open_tree_attr", NR_open_tree_attr, AT_FDCWD, "/", 0, NULL, 0);
        POLICY("statmount", NR_statmount, NULL, NULL, 0, 0);
        POLICY("listmount", NR_listmount, NULL, NULL, 0, 0);
        POLICY("listns", NR_listns, NULL, NULL, 0, 0);
        POLICY("quotactl", SYS_quotactl, 0, NULL, 0, NULL);
        return verdict("17 calls");
}

#if defined(__x86_64__)
static int call_int80(void *argument) {
        long result = 20; /* getpid of the 32-bit table */

        (void) argument;
        __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
        return result > 0 ? 1 : 2;
}

static int call_x32(void *argument) {
        (void) argument;
        return syscall(0x40000000L | SYS_getpid) > 0 ? 1 : 2;
}
#endif

int attack_foreign_arch(char part) {
        (void) part;
#if defined(__x86_64__)
        static const struct {
                const char *name;
                int (*run)(void *);
        } ways[] = { { "int 0x80", call_int80 }, { "x32", call_x32 } };
        for (size_t i = 0; i < N_OF(ways); i++) {
                int r = in_child(ways[i].run, NULL);
                if (r == 1)
                        hole("%s is answered", ways[i].name);
                else if (r != -SIGSYS && r != -SIGSEGV) /* a kernel without it */
                        hole("%s does not kill: %d", ways[i].name, r);
        }
        return verdict("both kill");
#else
        return skipped("this architecture has no second set of calls here");
#endif
}

static int call_high_clone(void *argument) {
        long pid = syscall(SYS_clone, HIGH | CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

        (void) argument;
        if (pid == 0)
                _exit(0);
        return pid > 0 ? 1 : is_policy(errno) ? 0 : 2;
}

/* Sets bits that the kernel does not read, or reads where a filter does not look. */
int attack_high_bits(char part) {
        struct rlimit limit = { 1, 1 };
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC), pair[2];
        char c = 0;

        (void) part;
        for (int family = 0; family < 46; family++) {
                if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
                        continue;
                if (syscall(SYS_socket, HIGH | family, SOCK_STREAM, 0) >= 0 ||
                        syscall(SYS_socket, HIGH | family, SOCK_RAW, 0) >= 0 ||
                        syscall(SYS_socket, (1L << 63) | family, SOCK_SEQPACKET, 0) >= 0)
                        hole("socket family %d with a high bit", family);
        }
        if (syscall(SYS_socket, AF_INET, SOCK_STREAM, HIGH | 262) >= 0 ||
                syscall(SYS_socket, AF_INET, HIGH | SOCK_RAW, 1) >= 0)
                hole("a protocol with a high bit");
        POLICY("ioctl TIOCSTI with a high bit", SYS_ioctl, fd, HIGH | TIOCSTI, &c);
        POLICY("personality with a high bit", SYS_personality, HIGH | 8);
        POLICY("unshare with a high bit", SYS_unshare, HIGH | CLONE_NEWUSER);
        POLICY("prlimit64 with a high bit", SYS_prlimit64, HIGH | 1, RLIMIT_NOFILE, NULL, &limit);
        POLICY("setpriority with a high bit", SYS_setpriority, HIGH | PRIO_USER, 0, 0);
        POLICY("mknodat with a high bit", SYS_mknodat, AT_FDCWD, "/tmp/attack-high", HIGH | S_IFCHR | 0600,
                makedev(1, 3));
        POLICY("fcntl F_SETPIPE_SZ with a high bit", SYS_fcntl, 1, HIGH | F_SETPIPE_SZ, 1 << 20);
        if (in_child(call_high_clone, NULL) != 0)
                hole("clone with a high bit");
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
                if (syscall(SYS_sendto, pair[0], "x", 1, HIGH | MSG_OOB, NULL, 0) >= 0)
                        hole("MSG_OOB with a high bit");
        }
        return verdict("ten calls");
}

/* Calls that have been ways into the kernel, with arguments that do nothing. */
int attack_refused_calls(char part) {
        static const struct {
                const char *name;
                long number;
        } calls[] = {
                { "bpf", SYS_bpf },
                { "userfaultfd", SYS_userfaultfd },
                { "perf_event_open", SYS_perf_event_open },
                { "kcmp", SYS_kcmp },
                { "pidfd_getfd", 438 },
                { "process_madvise", 440 },
                { "name_to_handle_at", SYS_name_to_handle_at },
                { "open_by_handle_at", SYS_open_by_handle_at },
                { "fanotify_init", SYS_fanotify_init },
                { "fanotify_mark", SYS_fanotify_mark },
                { "init_module", SYS_init_module },
                { "finit_module", SYS_finit_module },
                { "delete_module", SYS_delete_module },
                { "kexec_load", SYS_kexec_load },
                { "reboot", SYS_reboot },
                { "swapon", SYS_swapon },
                { "swapoff", SYS_swapoff },
                { "acct", SYS_acct },
                { "settimeofday", SYS_settimeofday },
                { "clock_settime", SYS_clock_settime },
                { "clock_adjtime", SYS_clock_adjtime },
                { "adjtimex", SYS_adjtimex },
                { "sethostname", SYS_sethostname },
                { "setdomainname", SYS_setdomainname },
                { "vhangup", SYS_vhangup },
                { "move_pages", SYS_move_pages },
                { "migrate_pages", SYS_migrate_pages },
                { "mbind", SYS_mbind },
                { "set_mempolicy", SYS_set_mempolicy },
                { "syslog", SYS_syslog },
                { "memfd_secret", NR_memfd_secret },
                { "quotactl_fd", NR_quotactl_fd },
                { "cachestat", NR_cachestat },
                { "setns", SYS_setns },
                { "lsm_set_self_attr", 460 },
                { "setxattrat", 463 },
                { "file_setattr", 469 },
#if defined(__x86_64__)
                { "iopl", SYS_iopl },
                { "ioperm", SYS_ioperm },
                { "modify_ldt", SYS_modify_ldt },
                { "uselib", SYS_uselib },
                { "_sysctl", 156 },
                { "create_module", 174 },
#endif
        };

        (void) part;
        for (size_t i = 0; i < N_OF(calls); i++)
                POLICY(calls[i].name, calls[i].number, -1L, -1L, -1L, -1L, -1L, -1L);
        for (long number = 471; number < 1100; number++)
                POLICY("a call of the future", number, -1L, -1L, -1L, -1L, -1L, -1L);
        return verdict("%zu calls, and all numbers above those known", N_OF(calls));
}

int attack_io_uring(char part) {
        char params[256] = { 0 };

        (void) part;
        POLICY("io_uring_setup", 425, 1, params);
        POLICY("io_uring_enter", 426, -1, 0, 0, 0, NULL, 0);
        POLICY("io_uring_register", 427, -1, 0, NULL, 0);
        return verdict("three calls");
}

int attack_keyrings(char part) {
        (void) part;
        POLICY("keyctl of the session's keyring", SYS_keyctl, 0, -3, 0, 0, 0);
        POLICY("keyctl of the user's keyring", SYS_keyctl, 0, -4, 0, 0, 0);
        POLICY("add_key", SYS_add_key, "user", "attack", "x", 1, -4);
        POLICY("request_key", SYS_request_key, "user", "attack", NULL, 0);
        if (has_content("/proc/keys") || has_content("/proc/key-users"))
                hole("/proc tells of keys");
        return verdict("three calls, two files");
}

static int orphan_maker(void *argument) {
        static const unsigned long flags[] = { 0, SIGUSR1, SIGCHLD, CLONE_PARENT, CLONE_PARENT | SIGUSR1, CLONE_VFORK };

        (void) argument;
        for (size_t i = 0; i < N_OF(flags); i++)
                for (int j = 0; j < 8; j++) {
                        long pid = syscall(SYS_clone, flags[i], NULL, NULL, NULL, NULL);
                        if (pid == 0)
                                _exit(0);
                }
        return 0;
}

/* Children that end without the usual signal, or belong to another parent: process 1 inherits and has to reap them. */
int attack_clone_flags(char part) {
        uint64_t args[11] = { 0 };
        unsigned n;

        (void) part;
        args[0] = CLONE_NEWUSER;
        args[4] = SIGCHLD;
        long pid = syscall(435, args, sizeof args);
        if (pid == 0)
                _exit(0);
        if (pid > 0 || errno != ENOSYS)
                hole("clone3 is there");
        (void) in_child(orphan_maker, NULL);
        for (uint64_t end = now_ms() + 5000; (n = count_in_state('Z')) > 0 && now_ms() < end;) {
                while (waitpid(-1, NULL, __WALL | WNOHANG) > 0) /* CLONE_PARENT's are ours */
                        ;
                sleep_ms(20);
        }
        if (n > 0)
                hole("%u zombies stay", n);
        return verdict("no clone3, orphans of six kinds are reaped");
}

/* A size of pages that no machine has: the kernel's answer is another one than the filter's. */
#define NO_SUCH_SIZE (40U << 26)

int attack_huge_pages(char part) {
        (void) part;
        void *p = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (int) NO_SUCH_SIZE, -1, 0);
        if (p != MAP_FAILED || errno == EINVAL)
                hole("mmap() with MAP_HUGETLB reached the kernel");
        p = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
        if (p != MAP_FAILED)
                hole("huge pages of the host's pool can be had");
        POLICY("memfd_create() with MFD_HUGETLB", SYS_memfd_create, "attack", 4U | NO_SUCH_SIZE);
        POLICY("shmget() with SHM_HUGETLB", SYS_shmget, IPC_PRIVATE, 2 << 20,
                (long) (SHM_HUGETLB | IPC_CREAT | NO_SUCH_SIZE));
        p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || madvise(p, 4 << 20, MADV_HUGEPAGE) == ENOSYS)
                hole("ordinary memory cannot be had");
        return verdict("mmap, memfd_create, shmget");
}

int attack_socket_filters(char part) {
        static const struct {
                const char *name;
                int option;
        } options[] = { { "SO_ATTACH_FILTER", 26 }, { "SO_ATTACH_BPF", 50 }, { "SO_ATTACH_REUSEPORT_CBPF", 51 },
                { "SO_ATTACH_REUSEPORT_EBPF", 52 } };
        struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, 0);
        struct sock_fprog program = { 1, &code };
        int families[] = { AF_UNIX, AF_INET, AF_NETLINK };

        (void) part;
        for (size_t f = 0; f < N_OF(families); f++) {
                int fd = socket(families[f], SOCK_DGRAM | SOCK_CLOEXEC, 0);
                for (size_t i = 0; fd >= 0 && i < N_OF(options); i++) {
                        POLICY(options[i].name, SYS_setsockopt, fd, SOL_SOCKET, options[i].option, &program,
                                sizeof program);
                        POLICY(options[i].name, SYS_setsockopt, fd, HIGH | SOL_SOCKET, HIGH | options[i].option,
                                &program, sizeof program);
                }
                int one = 1;
                if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) < 0)
                        hole("ordinary options are refused too");
        }
        return verdict("four options, three families");
}

int attack_aio_contexts(char part) {
        unsigned long context = 0;

        (void) part;
        POLICY("io_setup", SYS_io_setup, 1, &context);
        return verdict("no contexts");
}

/* Which pages of shared files are in memory tells what others have read. */
int attack_page_residency(char part) {
        static const char *const files[] = { "/etc/passwd", "/bin/sh", "/usr/bin/env" };
        uint64_t range[2] = { 0, 4096 }, answer[8];

        (void) part;
        for (size_t i = 0; i < N_OF(files); i++) {
                char byte;
                struct iovec v = { &byte, 1 };
                int fd = open(files[i], O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        continue;
                errno = 0;
                if (preadv2(fd, &v, 1, 0, RWF_NOWAIT) >= 0 || errno == EAGAIN)
                        hole("RWF_NOWAIT tells about %s", files[i]);
                POLICY("cachestat", NR_cachestat, fd, range, answer, 0);
                struct stat st;
                unsigned char resident[64] = { 0 };
                if (fstat(fd, &st) < 0 || st.st_size == 0)
                        continue;
                size_t pages = ((size_t) st.st_size + 4095) / 4096 < 64 ? ((size_t) st.st_size + 4095) / 4096 : 64;
                void *map = mmap(NULL, pages * 4096, PROT_READ, MAP_SHARED, fd, 0);
                if (map != MAP_FAILED && mincore(map, pages * 4096, resident) == 0)
                        for (size_t p = 0; p < pages; p++)
                                if (!(resident[p] & 1))
                                        hole("mincore() tells about %s", files[i]);
                (void) close(fd);
        }
        /* and to put pages out, to see who reads them in again */
        if (posix_fadvise(-1, 0, 0, POSIX_FADV_DONTNEED) != 0)
                hole("posix_fadvise() reached the kernel");
        return verdict("three ways to see, one to change it");
}
