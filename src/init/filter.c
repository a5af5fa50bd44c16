/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/ioprio.h>
#include <linux/memfd.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/confine.h"
#include "init/init.h"
#include "init/syscalls.h"
#include "spec/calls.h"

/*
 * Two programs. The tests of arguments and behind them the allow list are installed once, in the zygote, and inherited by
 * all sandboxes; the kernel answers most calls from a bitmap that it keeps of them. They are one program, since each
 * costs those calls that are not in the bitmap some 15 ns: a call whose arguments are tested does not reach the list,
 * and has to be in it. The lock is installed in each sandbox and takes away what only the zygote needs, and those groups
 * of calls that the image has not been given; it is short since its length is paid for with each sandbox. The strictest
 * answer of the two counts; of two errors, the one of the program that was installed last.
 *
 * Whole 64-bit arguments are tested: the kernel itself reads some as 32-bit numbers, so that a test of the lower half
 * alone would do, but only an exact test of all bits cannot be led astray by those above.
 */

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#define NAMESPACES                                                                                                     \
        (CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

/* clang-format off */
#define LOAD(field)      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_LOW(n)      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))
#define LOAD_HIGH(n)     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]) + 4)
#define IF_EQ(k, t, f)   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), (t), (f))
#define IF_ANY(k, t, f)  BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (k), (t), (f))
#define ONLY_BITS(k)     BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (k))
#define ALLOW            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE(error)    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))

/* Skips the next @n instructions unless the call is @name; tests then follow that end in ALLOW or REFUSE. */
#define CALL(name, n)    IF_EQ(__NR_##name, 0, (n))
/* Refuses the call outright. */
#define NEVER(name, e)   IF_EQ(__NR_##name, 0, 1), REFUSE(e)

static const struct sock_filter allowed[] = {
        LOAD(arch),
        IF_EQ(NATIVE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),

        /* what programs call most comes first: of each test that does not apply, one instruction is run */

        /* huge pages come from a pool of the host that the sandbox's memory limit does not count */
        CALL(mmap, 4),
                LOAD_LOW(3),
                IF_ANY(MAP_HUGETLB, 0, 1),
                REFUSE(ENOMEM),
                ALLOW,

        /* the size of pipes is counted for who made them, which for a command's streams is the worker */
        CALL(fcntl, 4),
                LOAD_LOW(1),
                IF_EQ(F_SETPIPE_SZ, 0, 1),
                REFUSE(EPERM),
                ALLOW,

        /* input pushed into a terminal, its selection, its line discipline, its console */
        CALL(ioctl, 7),
                LOAD_LOW(1),
                IF_EQ(TIOCSTI, 4, 0),
                IF_EQ(TIOCLINUX, 3, 0),
                IF_EQ(TIOCSETD, 2, 0),
                IF_EQ(TIOCCONS, 1, 0),
                ALLOW,
                REFUSE(EPERM),

        /* out-of-band data on local sockets has been a way into the kernel and nothing needs it */
        CALL(sendto, 4),
                LOAD_LOW(3),
                IF_ANY(MSG_OOB, 0, 1),
                REFUSE(EOPNOTSUPP),
                ALLOW,
        CALL(recvfrom, 4),
                LOAD_LOW(3),
                IF_ANY(MSG_OOB, 0, 1),
                REFUSE(EINVAL),
                ALLOW,
        CALL(sendmsg, 4),
                LOAD_LOW(2),
                IF_ANY(MSG_OOB, 0, 1),
                REFUSE(EOPNOTSUPP),
                ALLOW,
        CALL(recvmsg, 4),
                LOAD_LOW(2),
                IF_ANY(MSG_OOB, 0, 1),
                REFUSE(EINVAL),
                ALLOW,
        CALL(sendmmsg, 4),
                LOAD_LOW(3),
                IF_ANY(MSG_OOB, 0, 1),
                REFUSE(EOPNOTSUPP),
                ALLOW,
        CALL(recvmmsg, 4),
                LOAD_LOW(3),
                IF_ANY(MSG_OOB, 0, 1),
                REFUSE(EINVAL),
                ALLOW,

        /* programs in the kernel take from what all users of the host share (net.core.bpf_jit_limit); layers over TCP are
         * code that nothing here needs */
        CALL(setsockopt, 13),
                LOAD_LOW(1),
                IF_EQ(SOL_SOCKET, 0, 5),
                        LOAD_LOW(2),
                        IF_EQ(SO_ATTACH_FILTER, 8, 0),
                        IF_EQ(SO_ATTACH_BPF, 7, 0),
                        IF_EQ(SO_ATTACH_REUSEPORT_CBPF, 6, 0),
                        IF_EQ(SO_ATTACH_REUSEPORT_EBPF, 5, 4),
                IF_EQ(IPPROTO_TCP, 0, 3),
                        LOAD_LOW(2),
                        IF_EQ(TCP_ULP, 2, 0),
                        ALLOW,
                ALLOW,
                REFUSE(EPERM),

        /* socket(family, type, protocol): local ones, TCP and UDP, routing information */
        CALL(socket, 25),
                LOAD_HIGH(0),
                IF_EQ(0, 0, 21), /* any bit above: refuse */
                LOAD_LOW(0),
                IF_EQ(AF_UNIX, 20, 0),
                IF_EQ(AF_NETLINK, 0, 4),
                        LOAD_HIGH(2),
                        IF_EQ(0, 0, 16),
                        LOAD_LOW(2),
                        IF_EQ(NETLINK_ROUTE, 15, 14),
                IF_EQ(AF_INET, 1, 0),
                IF_EQ(AF_INET6, 0, 12),
                LOAD_HIGH(2),
                IF_EQ(0, 0, 10),
                LOAD_LOW(1),
                ONLY_BITS(0xf), /* without SOCK_NONBLOCK and SOCK_CLOEXEC, which lie above */
                IF_EQ(SOCK_STREAM, 0, 3),
                        LOAD_LOW(2),
                        IF_EQ(0, 6, 0),
                        IF_EQ(IPPROTO_TCP, 5, 4),
                IF_EQ(SOCK_DGRAM, 0, 3),
                        LOAD_LOW(2),
                        IF_EQ(0, 2, 0),
                        IF_EQ(IPPROTO_UDP, 1, 0),
                REFUSE(EAFNOSUPPORT),
                ALLOW,
        CALL(socketpair, 6),
                LOAD_HIGH(0),
                IF_EQ(0, 0, 2),
                LOAD_LOW(0),
                IF_EQ(AF_UNIX, 1, 0),
                REFUSE(EAFNOSUPPORT),
                ALLOW,

        /* device nodes */
#ifdef __NR_mknod
        CALL(mknod, 6),
                LOAD_LOW(1),
                ONLY_BITS(S_IFMT),
                IF_EQ(S_IFCHR, 2, 0),
                IF_EQ(S_IFBLK, 1, 0),
                ALLOW,
                REFUSE(EPERM),
#endif
        CALL(mknodat, 6),
                LOAD_LOW(2),
                ONLY_BITS(S_IFMT),
                IF_EQ(S_IFCHR, 2, 0),
                IF_EQ(S_IFBLK, 1, 0),
                ALLOW,
                REFUSE(EPERM),

        /* process 1 has the payload's id, which is all that the kernel asks for here: it is not to be starved */
#define NOT_FIRST(name)                                                                                                \
        CALL(name, 4),                                                                                                 \
                LOAD_LOW(0),                                                                                           \
                IF_EQ(1, 0, 1),                                                                                        \
                REFUSE(EPERM),                                                                                         \
                ALLOW
        NOT_FIRST(sched_setaffinity),
        NOT_FIRST(sched_setattr),
        NOT_FIRST(sched_setparam),
        NOT_FIRST(sched_setscheduler),
        CALL(setpriority, 7),
                LOAD_LOW(0),
                IF_EQ(PRIO_USER, 3, 0), /* all processes of the id */
                IF_EQ(PRIO_PROCESS, 0, 3),
                LOAD_LOW(1),
                IF_EQ(1, 0, 1),
                REFUSE(EPERM),
                ALLOW,
        CALL(ioprio_set, 7),
                LOAD_LOW(0),
                IF_EQ(IOPRIO_WHO_USER, 3, 0),
                IF_EQ(IOPRIO_WHO_PROCESS, 0, 3),
                LOAD_LOW(1),
                IF_EQ(1, 0, 1),
                REFUSE(EPERM),
                ALLOW,

        /* nor limited. The core limit stays at 1, the value at which the kernel does not even run a core_pattern that is
         * a pipe: whoever lowers it hears that it is done, since no core is written either way */
        CALL(prlimit64, 11),
                LOAD_LOW(0),
                IF_EQ(1, 0, 1),
                REFUSE(EPERM),
                LOAD_LOW(1),
                IF_EQ(RLIMIT_CORE, 0, 5),
                LOAD_LOW(2),
                IF_EQ(0, 0, 2), /* no new limit: it is asked only */
                LOAD_HIGH(2),
                IF_EQ(0, 1, 0),
                REFUSE(0),
                ALLOW,
        CALL(setrlimit, 4),
                LOAD_LOW(0),
                IF_EQ(RLIMIT_CORE, 0, 1),
                REFUSE(0),
                ALLOW,

        /* huge pages again */
        CALL(memfd_create, 4),
                LOAD_LOW(1),
                IF_ANY(MFD_HUGETLB, 0, 1),
                REFUSE(EPERM),
                ALLOW,
        CALL(shmget, 4),
                LOAD_LOW(2),
                IF_ANY(SHM_HUGETLB, 0, 1),
                REFUSE(EPERM),
                ALLOW,

        /* which pages of a shared file are in memory tells what neighbours read */
        CALL(preadv2, 4),
                LOAD_LOW(5),
                IF_ANY(RWF_NOWAIT, 0, 1),
                REFUSE(EOPNOTSUPP),
                ALLOW,

        /* writes out all file systems of the host, none of which is the sandbox's: what it may write lies in memory */
        NEVER(sync, 0),

        /* puts the image's pages out of memory, for all sandboxes; on files in memory it does nothing anyway */
        NEVER(fadvise64, 0),

        /* debuggers switch off the randomisation of addresses; no other personality is a Linux program's business */
        CALL(personality, 6),
                LOAD_LOW(0),
                IF_EQ(PER_LINUX, 3, 0),
                IF_EQ(ADDR_NO_RANDOMIZE, 2, 0),
                IF_EQ(0xffffffff, 1, 0), /* asks which one it is */
                REFUSE(EPERM),
                ALLOW,

        /* and for all others the allow list, in which those above are too */
#include "filter-allowed.inc"
};

static const struct sock_filter lock_head[] = {
        LOAD(arch),
        IF_EQ(NATIVE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
};

/* Between them, for each group that is not given: see refuse_group(). */

static const struct sock_filter lock_tail[] = {
        NEVER(clone3, ENOSYS), /* its flags lie in memory, where no filter reaches; C libraries fall back to clone */
        NEVER(mount, EPERM),
        NEVER(umount2, EPERM),
        NEVER(pivot_root, EPERM),
        NEVER(setns, EPERM),

        /* new namespaces; clone has its flags in the first argument on both architectures */
        CALL(clone, 4),
                LOAD_LOW(0),
                IF_ANY(NAMESPACES, 0, 1),
                REFUSE(EPERM),
                ALLOW,
        CALL(unshare, 4),
                LOAD_LOW(0),
                IF_ANY(NAMESPACES | CLONE_NEWTIME, 0, 1),
                REFUSE(EPERM),
                ALLOW,

        ALLOW,
};
/* clang-format on */

#define NUMBER(name) __NR_##name,
static const unsigned aio[] = { SYSCALLS_AIO(NUMBER) };
static const unsigned debug[] = { SYSCALLS_DEBUG(NUMBER) };
static const unsigned numa[] = { SYSCALLS_NUMA(NUMBER) };

static const struct {
        uint32_t bit;
        int error;
        const unsigned *calls;
        size_t n;
} groups[] = {
        { CALLS_AIO, ENOSYS, aio, ELEMENTSOF(aio) },
        { CALLS_DEBUG, EPERM, debug, ELEMENTSOF(debug) },
        { CALLS_NUMA, EPERM, numa, ELEMENTSOF(numa) },
};
#define GROUPS_LENGTH (ELEMENTSOF(aio) + ELEMENTSOF(debug) + ELEMENTSOF(numa) + ELEMENTSOF(groups))

/* One test for each call, which leads to the one refusal behind them. Returns how many instructions it wrote. */
static size_t refuse_group(struct sock_filter *at, const unsigned *calls, size_t n, int error) {
        for (size_t i = 0; i < n; i++)
                at[i] = (struct sock_filter) IF_EQ(calls[i], (uint8_t) (n - 1 - i), i == n - 1 ? 1 : 0);
        at[n] = (struct sock_filter) REFUSE((uint32_t) error);
        return n + 1;
}

static int install(const struct sock_filter *filter, size_t n) {
        struct sock_fprog program = { .len = (unsigned short) n, .filter = (struct sock_filter *) filter };

        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
                return -errno;
        return 0;
}

int filter_install_allowed(void) {
        return install(allowed, ELEMENTSOF(allowed));
}

int filter_install_lock(uint32_t calls) {
        struct sock_filter lock[ELEMENTSOF(lock_head) + GROUPS_LENGTH + ELEMENTSOF(lock_tail)];
        size_t n = ELEMENTSOF(lock_head);

        memcpy(lock, lock_head, sizeof lock_head);
        for (size_t i = 0; i < ELEMENTSOF(groups); i++)
                if (!(calls & groups[i].bit))
                        n += refuse_group(lock + n, groups[i].calls, groups[i].n, groups[i].error);
        memcpy(lock + n, lock_tail, sizeof lock_tail);
        return install(lock, n + ELEMENTSOF(lock_tail));
}
