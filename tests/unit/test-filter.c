/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macro.h"
#include "child.h"
#include "init/init.h"
#include "init/syscalls.h"
#include "spec/calls.h"

/* The filters as they are installed in each sandbox: the calls are made, in a child, and their answers looked at. */

#define HIGH (1L << 32)
#define HIGHEST LONG_MIN /* the bit of the sign */
#define NO_FILTER 1U /* for the answer of the kernel alone */

static unsigned without; /* NO_FILTER or 0 */
static uint32_t given;   /* groups of calls, CALLS_... */

/* What a new process hears: 0, an errno, or minus the signal that ended it. */
#define ANSWER(...) answer_of(IN_CHILD(enter(); _exit(syscall(__VA_ARGS__) < 0 ? errno : 0)))

static void enter(void) {
        if (!without && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                _exit(254);
        if (!without && (filter_install_allowed() < 0 || filter_install_lock(given) < 0))
                _exit(255);
        (void) alarm(5);
}

static int answer_of(int status) {
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#define ALL_ONES -1L, -1L, -1L, -1L, -1L, -1L

static const char *const payload[] = {
#define NAME(name) #name,
        SYSCALLS_PAYLOAD(NAME)
};
static const char *const setup[] = { SYSCALLS_SETUP(NAME) };
static const char *const refused[] = { SYSCALLS_REFUSED(NAME) };
static const char *const aio[] = { SYSCALLS_AIO(NAME) };
static const char *const debug[] = { SYSCALLS_DEBUG(NAME) };
static const char *const numa[] = { SYSCALLS_NUMA(NAME) };

static const struct {
        uint32_t bit;
        int error; /* where it is not given */
        const char *const *calls;
        size_t n;
} groups[] = {
        { CALLS_AIO, ENOSYS, aio, ELEMENTSOF(aio) },
        { CALLS_DEBUG, EPERM, debug, ELEMENTSOF(debug) },
        { CALLS_NUMA, EPERM, numa, ELEMENTSOF(numa) },
};

/* What ends the process or does not come back. */
static bool cannot_be_tried(const char *name) {
        static const char *const names[] = { "exit", "exit_group", "pause", "rt_sigreturn", "fork", "vfork" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strcmp(name, names[i]) == 0)
                        return true;
        return false;
}

static bool is_listed(int number) {
        for (size_t i = 0; i < ELEMENTSOF(payload); i++)
                if (seccomp_syscall_resolve_name(payload[i]) == number)
                        return true;
        for (size_t i = 0; i < ELEMENTSOF(setup); i++)
                if (seccomp_syscall_resolve_name(setup[i]) == number)
                        return true;
        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                if (seccomp_syscall_resolve_name(refused[i]) == number)
                        return true;
        for (size_t i = 0; i < ELEMENTSOF(groups); i++)
                for (size_t j = 0; j < groups[i].n; j++)
                        if (seccomp_syscall_resolve_name(groups[i].calls[j]) == number)
                                return true;
        return false;
}

static void test_allowed_calls_reach_the_kernel(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(payload); i++) {
                int number = seccomp_syscall_resolve_name(payload[i]);
                if (number < 0 || cannot_be_tried(payload[i]))
                        continue;
                int answer = ANSWER(number, ALL_ONES);
                if (answer != ENOSYS)
                        continue;
                without = NO_FILTER; /* some say so themselves */
                int bare = ANSWER(number, ALL_ONES);
                without = 0;
                if (bare != ENOSYS)
                        fail_msg("%s does not reach the kernel", payload[i]);
        }
}

static void test_refused_calls_are_not_permitted(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                int number = seccomp_syscall_resolve_name(refused[i]);
                if (number >= 0 && ANSWER(number, ALL_ONES) != EPERM)
                        fail_msg("%s is answered otherwise", refused[i]);
        }
}

static void test_what_makes_sandboxes_is_taken_away(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(setup); i++) {
                int number = seccomp_syscall_resolve_name(setup[i]);
                if (number >= 0 && ANSWER(number, ALL_ONES) != (strcmp(setup[i], "clone3") == 0 ? ENOSYS : EPERM))
                        fail_msg("%s is answered otherwise", setup[i]);
        }
}

static void test_all_other_calls_do_not_exist(void **state) {
        (void) state;
        for (int number = 0; number < 500; number++) {
                if (is_listed(number) || number == 335 ||
                        number == 336) /* the kernel's own for probes: never filtered */
                        continue;
                int answer = ANSWER(number, ALL_ONES);
                if (answer != ENOSYS)
                        fail_msg("call %d is answered with %s", number,
                                answer < 0 ? strsignal(-answer) : strerror(answer));
        }
}

static void test_programs_run(void **state) {
        (void) state;
        assert_int_equal(ANSWER(SYS_getpid), 0);
        assert_int_equal(ANSWER(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL), 0);
        assert_int_equal(ANSWER(SYS_unshare, CLONE_FILES | CLONE_FS), 0);
        assert_int_equal(ANSWER(SYS_mmap, NULL, 4096L, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L), 0);
        assert_int_equal(ANSWER(SYS_memfd_create, "test", 0L), 0);
}

#if defined(__x86_64__)
static void test_foreign_architectures_kill(void **state) {
        int status;

        (void) state;
        assert_int_equal(ANSWER(0x40000000L | SYS_getpid), -SIGSYS);

        pid_t pid = fork();
        if (pid == 0) {
                long result = 20;
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_install_allowed() < 0 ||
                        filter_install_lock(0) < 0)
                        _exit(255);
                __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
}
#endif

static void test_namespaces(void **state) {
        static const unsigned long kinds[] = { CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC,
                CLONE_NEWUTS, CLONE_NEWCGROUP };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                assert_int_equal(ANSWER(SYS_clone, kinds[i] | SIGCHLD, NULL, NULL, NULL, NULL), EPERM);
                assert_int_equal(ANSWER(SYS_clone, HIGH | kinds[i] | SIGCHLD, NULL, NULL, NULL, NULL), EPERM);
                assert_int_equal(ANSWER(SYS_unshare, kinds[i]), EPERM);
                assert_int_equal(ANSWER(SYS_unshare, HIGH | kinds[i]), EPERM);
                assert_int_equal(ANSWER(SYS_unshare, kinds[i] | CLONE_FS), EPERM);
        }
        assert_int_equal(ANSWER(SYS_unshare, 0x80L /* CLONE_NEWTIME */), EPERM);
}

static void test_socket_families(void **state) {
        static const long allowed[][3] = {
                { AF_UNIX, SOCK_STREAM, 0 },
                { AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0 },
                { AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0 },
                { AF_INET, SOCK_STREAM, IPPROTO_TCP },
                { AF_INET, SOCK_DGRAM, IPPROTO_UDP },
                { AF_NETLINK, SOCK_RAW, NETLINK_ROUTE },
        };
        static const long others[][3] = {
                { AF_INET, SOCK_RAW, IPPROTO_ICMP },
                { AF_INET, SOCK_DGRAM, IPPROTO_ICMP },
                { AF_INET, SOCK_STREAM, IPPROTO_UDP },
                { AF_INET, SOCK_STREAM, 132 /* SCTP */ },
                { AF_INET, SOCK_STREAM, 262 /* MPTCP */ },
                { AF_INET, SOCK_STREAM, HIGH },
                { AF_INET, SOCK_STREAM, HIGH | IPPROTO_TCP },
                { AF_INET6, SOCK_SEQPACKET, 0 },
                { AF_INET6, SOCK_RAW, 58 },
                { AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER },
                { AF_NETLINK, SOCK_RAW, NETLINK_XFRM },
                { AF_NETLINK, SOCK_RAW, HIGH },
                { -1, SOCK_STREAM, 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(allowed); i++)
                assert_int_equal(ANSWER(SYS_socket, allowed[i][0], allowed[i][1], allowed[i][2]), 0);
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                if (ANSWER(SYS_socket, others[i][0], others[i][1], others[i][2]) != EAFNOSUPPORT)
                        fail_msg("socket(%lx, %lx, %lx)", others[i][0], others[i][1], others[i][2]);
        for (long family = 0; family < 64; family++) {
                if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK)
                        assert_int_equal(ANSWER(SYS_socket, family, SOCK_STREAM, 0), EAFNOSUPPORT);
                assert_int_equal(ANSWER(SYS_socket, HIGH | family, SOCK_STREAM, 0), EAFNOSUPPORT);
                assert_int_equal(ANSWER(SYS_socket, HIGHEST | family, SOCK_DGRAM, 0), EAFNOSUPPORT);
        }
}

static void test_socket_pairs_are_local(void **state) {
        int pair[2];

        (void) state;
        assert_int_equal(ANSWER(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(ANSWER(SYS_socketpair, AF_INET, SOCK_STREAM, 0, pair), EAFNOSUPPORT);
        assert_int_equal(ANSWER(SYS_socketpair, HIGH | AF_UNIX, SOCK_STREAM, 0, pair), EAFNOSUPPORT);
        assert_int_equal(ANSWER(SYS_socketpair, 40, SOCK_STREAM, 0, pair), EAFNOSUPPORT);
}

static void test_out_of_band_data(void **state) {
        static const struct {
                long number;
                int flags; /* which argument */
                int error;
        } calls[] = {
                { SYS_sendto, 3, EOPNOTSUPP },
                { SYS_sendmsg, 2, EOPNOTSUPP },
                { SYS_sendmmsg, 3, EOPNOTSUPP },
                { SYS_recvfrom, 3, EINVAL },
                { SYS_recvmsg, 2, EINVAL },
                { SYS_recvmmsg, 3, EINVAL },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(calls); i++)
                for (int high = 0; high < 2; high++) {
                        long args[6] = { -1, 0, 0, 0, 0, 0 };
                        args[calls[i].flags] = MSG_DONTWAIT | (high ? HIGH : 0);
                        assert_int_equal(
                                ANSWER(calls[i].number, args[0], args[1], args[2], args[3], args[4], args[5]), EBADF);
                        args[calls[i].flags] |= MSG_OOB;
                        assert_int_equal(ANSWER(calls[i].number, args[0], args[1], args[2], args[3], args[4], args[5]),
                                calls[i].error);
                }
}

static void test_terminals(void **state) {
        static const long requests[] = { TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                assert_int_equal(ANSWER(SYS_ioctl, -1L, requests[i], 0L), EPERM);
                assert_int_equal(ANSWER(SYS_ioctl, -1L, HIGH | requests[i], 0L), EPERM);
        }
        assert_int_equal(ANSWER(SYS_ioctl, -1L, TIOCGWINSZ, 0L), EBADF);
        assert_int_equal(ANSWER(SYS_ioctl, -1L, FIONREAD, 0L), EBADF);
}

static void test_device_nodes(void **state) {
        (void) state;
        assert_int_equal(ANSWER(SYS_mknodat, -1L, "x", S_IFCHR | 0600, 0L), EPERM);
        assert_int_equal(ANSWER(SYS_mknodat, -1L, "x", S_IFBLK | 0600, 0L), EPERM);
        assert_int_equal(ANSWER(SYS_mknodat, -1L, "x", HIGH | S_IFBLK | 0600, 0L), EPERM);
        assert_int_equal(ANSWER(SYS_mknodat, -1L, "x", S_IFIFO | 0600, 0L), EBADF);
        assert_int_equal(ANSWER(SYS_mknodat, -1L, "x", S_IFREG | 0600, 0L), EBADF);
#ifdef SYS_mknod
        assert_int_equal(ANSWER(SYS_mknod, "", S_IFCHR | 0600, 0L), EPERM);
        assert_int_equal(ANSWER(SYS_mknod, "", S_IFIFO | 0600, 0L), ENOENT);
#endif
}

static void test_personality(void **state) {
        (void) state;
        assert_int_equal(ANSWER(SYS_personality, PER_LINUX), 0);
        assert_int_equal(ANSWER(SYS_personality, ADDR_NO_RANDOMIZE), 0);
        assert_int_equal(ANSWER(SYS_personality, 0xffffffffL), 0);
        assert_int_equal(ANSWER(SYS_personality, PER_LINUX32), EPERM);
        assert_int_equal(ANSWER(SYS_personality, READ_IMPLIES_EXEC), EPERM);
        assert_int_equal(ANSWER(SYS_personality, MMAP_PAGE_ZERO | ADDR_NO_RANDOMIZE), EPERM);
        assert_int_equal(ANSWER(SYS_personality, HIGH | PER_LINUX32), EPERM);
}

static void test_process_1_cannot_be_named(void **state) {
        struct rlimit limit = { 1, 1 };

        (void) state;
        assert_int_equal(ANSWER(SYS_prlimit64, 1L, RLIMIT_NOFILE, &limit, NULL), EPERM);
        assert_int_equal(ANSWER(SYS_prlimit64, 1L, RLIMIT_NOFILE, NULL, &limit), EPERM);
        assert_int_equal(ANSWER(SYS_prlimit64, HIGH | 1, RLIMIT_NOFILE, &limit, NULL), EPERM);
        assert_int_equal(ANSWER(SYS_prlimit64, 0L, RLIMIT_NOFILE, NULL, &limit), 0);
        assert_int_equal(ANSWER(SYS_sched_setaffinity, 1L, 0L, NULL), EPERM);
        assert_int_equal(ANSWER(SYS_sched_setattr, 1L, NULL, 0L), EPERM);
        assert_int_equal(ANSWER(SYS_sched_setparam, 1L, NULL), EPERM);
        assert_int_equal(ANSWER(SYS_sched_setscheduler, 1L, 0L, NULL), EPERM);
        assert_int_equal(ANSWER(SYS_sched_setparam, 0L, NULL), EINVAL);
        assert_int_equal(ANSWER(SYS_setpriority, PRIO_PROCESS, 1L, 19L), EPERM);
        assert_int_equal(ANSWER(SYS_setpriority, PRIO_USER, 0L, 19L), EPERM);
        assert_int_equal(ANSWER(SYS_setpriority, HIGH | PRIO_USER, 0L, 19L), EPERM);
        assert_int_equal(ANSWER(SYS_setpriority, PRIO_PROCESS, 0L, 19L), 0);
        assert_int_equal(ANSWER(SYS_setpriority, PRIO_PGRP, -1L, 19L), ESRCH);
        assert_int_equal(ANSWER(SYS_ioprio_set, 1L, 1L, 0L), EPERM);
        assert_int_equal(ANSWER(SYS_ioprio_set, 3L, 0L, 0L), EPERM);
        assert_int_equal(ANSWER(SYS_ioprio_set, 1L, 0L, 0L), 0);
}

/* Setting it seems to work, and changes nothing. */
static void test_core_limit_stays(void **state) {
        struct rlimit limit = { 0, 0 }, now;
        int p[2], status;

        (void) state;
        assert_int_equal(pipe(p), 0);
        pid_t pid = fork();
        if (pid == 0) {
                struct rlimit before, after;
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_install_allowed() < 0 ||
                        filter_install_lock(0) < 0 || getrlimit(RLIMIT_CORE, &before) < 0)
                        _exit(1);
                limit.rlim_cur = limit.rlim_max = before.rlim_cur == 0 ? 1 : 0;
                if (syscall(SYS_prlimit64, 0, RLIMIT_CORE, &limit, NULL) < 0)
                        _exit(2);
#ifdef SYS_setrlimit
                if (syscall(SYS_setrlimit, RLIMIT_CORE, &limit) < 0)
                        _exit(3);
#endif
                if (syscall(SYS_prlimit64, HIGH, HIGH | RLIMIT_CORE, &limit, NULL) < 0)
                        _exit(4);
                if (getrlimit(RLIMIT_CORE, &after) < 0 || memcmp(&before, &after, sizeof before) != 0)
                        _exit(5);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(getrlimit(RLIMIT_CORE, &now), 0);
        assert_int_equal(ANSWER(SYS_prlimit64, 0L, RLIMIT_NOFILE, &(struct rlimit){ 64, 64 }, NULL), 0);
}

static void test_pools_of_the_host(void **state) {
        const long map = MAP_PRIVATE | MAP_ANONYMOUS;

        (void) state;
        assert_int_equal(ANSWER(SYS_mmap, NULL, 2L << 20, PROT_READ, map | MAP_HUGETLB, -1L, 0L), ENOMEM);
        assert_int_equal(ANSWER(SYS_mmap, NULL, 2L << 20, PROT_READ, map | MAP_HUGETLB | (30 << 26), -1L, 0L), ENOMEM);
        assert_int_equal(ANSWER(SYS_memfd_create, "test", 4L /* MFD_HUGETLB */), EPERM);
        assert_int_equal(ANSWER(SYS_shmget, IPC_PRIVATE, 4096L, (long) (IPC_CREAT | SHM_HUGETLB)), EPERM);
        assert_int_equal(ANSWER(SYS_fcntl, 0L, F_SETPIPE_SZ, 1L << 20), EPERM);
        assert_int_equal(ANSWER(SYS_fcntl, 0L, HIGH | F_SETPIPE_SZ, 1L << 20), EPERM);
        assert_int_equal(ANSWER(SYS_fcntl, -1L, F_GETPIPE_SZ, 0L), EBADF);
        assert_int_equal(ANSWER(SYS_io_setup, 1L, NULL), ENOSYS);
        assert_int_equal(ANSWER(SYS_sync), 0);
}

static void test_socket_options(void **state) {
        static const long refused_options[][2] = { { SOL_SOCKET, SO_ATTACH_FILTER }, { SOL_SOCKET, SO_ATTACH_BPF },
                { SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF }, { SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF },
                { IPPROTO_TCP, TCP_ULP } };
        static const long others[][2] = { { SOL_SOCKET, SO_KEEPALIVE }, { SOL_SOCKET, SO_RCVBUF },
                { IPPROTO_TCP, TCP_NODELAY }, { IPPROTO_IP, SO_ATTACH_FILTER }, { IPPROTO_IPV6, TCP_ULP } };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(refused_options); i++) {
                assert_int_equal(
                        ANSWER(SYS_setsockopt, -1L, refused_options[i][0], refused_options[i][1], NULL, 0L), EPERM);
                assert_int_equal(ANSWER(SYS_setsockopt, -1L, HIGH | refused_options[i][0], HIGH | refused_options[i][1],
                                         NULL, 0L),
                        EPERM);
        }
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                assert_int_equal(ANSWER(SYS_setsockopt, -1L, others[i][0], others[i][1], NULL, 0L), EBADF);
}

static void test_page_residency(void **state) {
        char c;
        struct iovec v = { &c, 1 };

        (void) state;
        assert_int_equal(ANSWER(SYS_preadv2, -1L, &v, 1L, 0L, 0L, RWF_NOWAIT), EOPNOTSUPP);
        assert_int_equal(ANSWER(SYS_preadv2, -1L, &v, 1L, 0L, 0L, HIGH | RWF_NOWAIT), EOPNOTSUPP);
        assert_int_equal(ANSWER(SYS_preadv2, -1L, &v, 1L, 0L, 0L, 0L), EBADF);
        assert_int_equal(ANSWER(SYS_fadvise64, -1L, 0L, 0L, 4L /* POSIX_FADV_DONTNEED */), 0);
}

static int bare_answer(int number) {
        without = NO_FILTER;
        int answer = ANSWER(number, ALL_ONES);
        without = 0;
        return answer;
}

/* All sets of groups: what is given reaches the kernel, what is not is closed, whatever else is given. */
static void test_groups_are_closed_unless_given(void **state) {
        unsigned n_tried = 0;

        (void) state;
        for (given = 0; given <= CALLS_ALL; given++)
                for (size_t i = 0; i < ELEMENTSOF(groups); i++)
                        for (size_t j = 0; j < groups[i].n; j++) {
                                int number = seccomp_syscall_resolve_name(groups[i].calls[j]);
                                assert_true(number >= 0);
                                int expected = given & groups[i].bit ? bare_answer(number) : groups[i].error;
                                int answer = ANSWER(number, ALL_ONES);
                                if (answer != expected)
                                        fail_msg("%s is answered with %d where groups %x are given", groups[i].calls[j],
                                                answer, given);
                                n_tried += given & groups[i].bit && expected != groups[i].error;
                        }
        given = 0;
        assert_true(n_tried > 0); /* the kernel's own answer is another than the filter's */
}

static void test_all_groups_open_nothing_else(void **state) {
        given = CALLS_ALL;
        test_refused_calls_are_not_permitted(state);
        test_what_makes_sandboxes_is_taken_away(state);
        test_all_other_calls_do_not_exist(state);
        test_namespaces(state);
        test_socket_families(state);
        given = 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_allowed_calls_reach_the_kernel),
                cmocka_unit_test(test_refused_calls_are_not_permitted),
                cmocka_unit_test(test_what_makes_sandboxes_is_taken_away),
                cmocka_unit_test(test_all_other_calls_do_not_exist),
                cmocka_unit_test(test_programs_run),
#if defined(__x86_64__)
                cmocka_unit_test(test_foreign_architectures_kill),
#endif
                cmocka_unit_test(test_namespaces),
                cmocka_unit_test(test_socket_families),
                cmocka_unit_test(test_socket_pairs_are_local),
                cmocka_unit_test(test_out_of_band_data),
                cmocka_unit_test(test_terminals),
                cmocka_unit_test(test_device_nodes),
                cmocka_unit_test(test_personality),
                cmocka_unit_test(test_process_1_cannot_be_named),
                cmocka_unit_test(test_core_limit_stays),
                cmocka_unit_test(test_pools_of_the_host),
                cmocka_unit_test(test_socket_options),
                cmocka_unit_test(test_page_residency),
                cmocka_unit_test(test_groups_are_closed_unless_given),
                cmocka_unit_test(test_all_groups_open_nothing_else),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
