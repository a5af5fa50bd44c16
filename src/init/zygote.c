/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/init.h"
#include "init/landlock.h"
#include "init/stack.h"
#include "init/undertaker.h"

/*
 * The zygote lives in the finished, nearly empty root that all sandboxes are cloned from, and in a user namespace where
 * it is root over nothing but sandboxes. It holds no state: the spawner may start another at any time.
 */

#define INOTIFY_INSTANCES "/sys/user/max_inotify_instances"
#define INOTIFY_INSTANCES_MAX "32"
#define INOTIFY_WATCHES "/sys/user/max_inotify_watches" /* written after the other */
#define INOTIFY_WATCHES_MAX "16384"

#define NETNS_OWNER_FD 9 /* not a number that comes and goes while the zygote gets ready */

typedef struct Zygote {
        int home_netns;     /* its own, empty one: not the host's */
        int netns_owner;    /* the user namespace that those of sandboxes belong to */
        /* what a namespace looks like that nobody has used; 0: cannot be told. Written by the process that makes one, which
         * never returns, so that a compiler would not see it */
        volatile uint64_t new_netns;
} Zygote;

static int fail(const char *what, int error) {
        (void) dprintf(STDERR_FILENO, "sandbox-init: %s: %s\n", what, strerror(error < 0 ? -error : error));
        return EXIT_FAILURE;
}

static int answer(const ZygoteMessage *m, int fd) {
        struct iovec iov = { .iov_base = (void *) m, .iov_len = sizeof *m };

        return message_send(INIT_ZYGOTE_FD, &iov, 1, &fd, fd >= 0 ? 1 : 0);
}

static ZygoteMessage failure(const ZygoteMessage *request, int error, const char *what) {
        ZygoteMessage m = { .type = request->type == ZYGOTE_NETNS ? ZYGOTE_NETNS : ZYGOTE_DONE,
                .cookie = request->cookie,
                .error = error < 0 ? -error : error };

        (void) snprintf(m.text, sizeof m.text, "%s", what);
        return m;
}

static int enter_userns(int userns) {
        if (setns(userns, CLONE_NEWUSER) < 0)
                return -errno;
        if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
                return -errno;
        /* ends with the spawner; the change of ids had taken that away. It also made our files in /proc the host
         * root's: they are ours again, since uid_map has to be read and written */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
                return -errno;
        return 0;
}

/* How many sandbox ids are mapped into this user namespace. Allocates nothing: each sandbox would have a copy. */
static uint32_t count_identities(void) {
        char text[4096];
        unsigned inside, outside, count, found = 0;

        if (file_read(AT_FDCWD, TEMPLATE_PROC "/self/uid_map", text, sizeof text) < 0)
                return 0;
        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (sscanf(line, "%u %u %u", &inside, &outside, &count) == 3 && inside == NAMESPACE_SANDBOX_ID)
                        found = count;
        }
        return found;
}

static int loopback_up(void) {
        _cleanup_fd_ int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };

        if (sock < 0)
                return -errno;
        return ioctl(sock, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* What tells in a network namespace that somebody has used it: counters of whatever was sent, also without success,
 * flow labels that outlive their owner, local sockets that lie in messages nobody received. 0: cannot be told. */
static uint64_t netns_fingerprint(void) {
        static const char *const files[] = { "snmp", "snmp6", "ip6_flowlabel", "unix" };
        uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                char path[48], buf[4096];
                ssize_t n;

                (void) snprintf(path, sizeof path, TEMPLATE_PROC "/self/net/%s", files[i]);
                _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0 && errno == ENOENT) /* a kernel without IPv6 */
                        continue;
                while ((n = read(fd, buf, sizeof buf)) > 0)
                        for (ssize_t at = 0; at < n; at++)
                                hash = (hash ^ (unsigned char) buf[at]) * UINT64_C(1099511628211);
                if (n < 0)
                        return 0;
        }
        return hash;
}

static void go_home(const Zygote *z) {
        if (setns(z->home_netns, CLONE_NEWNET) < 0)
                _exit(fail("returning to the zygote's network namespace", errno));
}

/* A network namespace is the dearest part of a sandbox, and most sandboxes never use theirs: those go to another one.
 */
static void serve_check(const Zygote *z, const ZygoteMessage *request, int netns) {
        bool clean = setns(netns, CLONE_NEWNET) == 0 && netns_fingerprint() == z->new_netns;

        go_home(z);
        (void) answer(request, clean ? netns : -EBADF);
}

/* A network namespace with nothing but its loopback interface; nobody in a sandbox has a right over it. */
static int make_netns(const Zygote *z, const char **ret_what) {
        *ret_what = "entering the user namespace that owns it";
        if (setns(z->netns_owner, CLONE_NEWUSER) < 0)
                return -errno;
        *ret_what = "unshare(CLONE_NEWNET)";
        if (unshare(CLONE_NEWNET) < 0)
                return -errno;
        *ret_what = "bringing loopback up";
        int r = loopback_up();
        if (r < 0)
                return r;
        *ret_what = "opening the network namespace";
        int netns = open(TEMPLATE_PROC "/self/ns/net", O_RDONLY | O_CLOEXEC);
        return netns < 0 ? -errno : netns;
}

/* The zygote waits for it and shares its memory with it. */
_noreturn_ static void answer_with_netns(Zygote *z, const ZygoteMessage *request) {
        ZygoteMessage m = { .type = ZYGOTE_NETNS, .cookie = request->cookie };
        const char *what = "";

        int netns = make_netns(z, &what);
        if (netns < 0)
                m = failure(request, netns, what);
        else {
                if (z->new_netns == 0)
                        z->new_netns = netns_fingerprint();
                if (z->new_netns != 0)
                        m.flags |= ZYGOTE_NETNS_REUSABLE;
                (void) file_write(AT_FDCWD, TEMPLATE_PROC "/sys/net/ipv4/ip_unprivileged_port_start", "0"); /* a comfort */
        }
        (void) answer(&m, netns);
        _exit(EXIT_SUCCESS);
}

/* By a process that ends with that, since no way leads back out of a user namespace. */
static void serve_netns(Zygote *z, const ZygoteMessage *request) {
        pid_t pid = vfork();

        if (pid == 0)
                answer_with_netns(z, request);
        if (pid < 0) {
                ZygoteMessage m = failure(request, errno, "vfork");
                (void) answer(&m, -EBADF);
        }
}

static pid_t clone_sandbox(int leaf, int *ret_pidfd) {
        struct clone_args args = {
                .flags = CLONE_PIDFD | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                         (leaf >= 0 ? CLONE_INTO_CGROUP : 0),
                .pidfd = (uint64_t) (uintptr_t) ret_pidfd,
                .exit_signal = SIGCHLD,
                .cgroup = leaf >= 0 ? (uint64_t) leaf : 0,
        };

        return (pid_t) syscall(SYS_clone3, &args, sizeof args);
}

static void serve_create(const Zygote *z, const ZygoteMessage *request, int control, int netns, int leaf) {
        _cleanup_fd_ int pidfd = -EBADF;
        ZygoteMessage m = { .type = ZYGOTE_DONE, .cookie = request->cookie };

        if (setns(netns, CLONE_NEWNET) < 0) {
                m = failure(request, errno, "entering the network namespace");
                (void) answer(&m, -EBADF);
                return;
        }

        pid_t pid = clone_sandbox(leaf, &pidfd);
        if (pid == 0) {
                Birth b = {
                        .identity = request->identity,
                        .flags = request->flags,
                        .calls = request->calls,
                        .limits = request->limits,
                        .image = request->image,
                        .control = control,
                        .rules = -EBADF,
                };
                birth_run(&b);
        }
        int error = errno;

        go_home(z);
        if (pid < 0)
                m = failure(request, error, "clone3");
        else
                m.pid = (uint32_t) pid;
        (void) answer(&m, pidfd);
        if (pid >= 0)
                undertaker_hold((uint32_t) request->cookie, pid);
}

static void serve(Zygote *z, const ZygoteMessage *m, const int *fds, size_t n_fds) {
        switch (m->type) {
        case ZYGOTE_CREATE:
                if (n_fds == 2 || n_fds == 3)
                        serve_create(z, m, fds[0], fds[1], n_fds == 3 ? fds[2] : -EBADF);
                break;
        case ZYGOTE_NETNS:
                serve_netns(z, m);
                break;
        case ZYGOTE_CHECK:
                if (n_fds == 1)
                        serve_check(z, m, fds[0]);
                break;
        case ZYGOTE_CLEAR:
                if (undertaker_clear((uint32_t) m->cookie) < 0) /* what it held is gone, and so are we */
                        _exit(fail("telling what takes down mounts", EPIPE));
                break;
        case ZYGOTE_PING:
                (void) answer(m, -EBADF);
                break;
        default:
                break;
        }
}

/* No resource limit counts these, and those of the user who owns the worker's namespace are for all sandboxes together.
 * In the worker's namespace they are counted for each id in it, and each sandbox has one of its own. */
static int limit_each_identity(void) {
        struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWNS, .exit_signal = SIGCHLD };
        char text[16];

        pid_t pid = (pid_t) syscall(SYS_clone3, &args, sizeof args);
        if (pid < 0)
                return -errno;
        if (pid == 0) { /* the host's /proc may be read-only for us, one of our own is not */
                bool done = mount("proc", TEMPLATE_NEW, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0 &&
                            file_write(AT_FDCWD, TEMPLATE_NEW INOTIFY_INSTANCES, INOTIFY_INSTANCES_MAX) == 0 &&
                            file_write(AT_FDCWD, TEMPLATE_NEW INOTIFY_WATCHES, INOTIFY_WATCHES_MAX) == 0;
                _exit(done ? EXIT_SUCCESS : EXIT_FAILURE);
        }
        (void) waitpid(pid, NULL, 0); /* has no status to give, since SIGCHLD is ignored */
        ssize_t n = file_read(AT_FDCWD, TEMPLATE_PROC INOTIFY_WATCHES, text, sizeof text);
        if (n < 0)
                return (int) n;
        return strcmp(text, INOTIFY_WATCHES_MAX) == 0 ? 0 : -EPERM;
}

/* What is seen of a network namespace in /sys belongs to root of the user namespace that owns it, and to say so takes
 * memory for each file, unless it is the host's root: which it is in a user namespace that has no root. */
static int make_netns_owner(void) {
        struct clone_args args = { .flags = CLONE_FILES, .exit_signal = SIGCHLD };

        pid_t pid = (pid_t) syscall(SYS_clone3, &args, sizeof args);
        if (pid < 0)
                return -errno;
        if (pid == 0) { /* leaves it in the table of descriptors that both have */
                int fd = unshare(CLONE_NEWUSER) < 0 ? -errno : open(TEMPLATE_PROC "/self/ns/user", O_RDONLY | O_CLOEXEC);
                _exit(fd >= 0 && dup3(fd, NETNS_OWNER_FD, O_CLOEXEC) >= 0 && close(fd) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
        }
        (void) waitpid(pid, NULL, 0); /* has no status to give, since SIGCHLD is ignored */
        return fcntl(NETNS_OWNER_FD, F_GETFD) < 0 ? -EPERM : NETNS_OWNER_FD;
}

/* Receives what the spawner says first and makes this process the zygote. */
static int prepare(Zygote *z, const char **ret_what) {
        ZygoteMessage m;
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds = 0;

        *ret_what = "receiving the spawner's first message";
        ssize_t n = message_recv(INIT_ZYGOTE_FD, &m, sizeof m, fds, &n_fds, 0);
        if (n != sizeof m || m.type != ZYGOTE_SETUP || n_fds != 1)
                return n < 0 ? (int) n : -EBADMSG;

        *ret_what = "entering the worker's user namespace";
        int r = enter_userns(fds[0]);
        fds_close(fds, n_fds);
        if (r < 0)
                return r;

        m.text[sizeof m.text - 1] = '\0';
        r = template_enter(m.text, ret_what);
        if (r < 0)
                return r;

        *ret_what = "limiting inotify instances";
        r = limit_each_identity();
        if (r < 0)
                return r;

        *ret_what = "making the user namespace that owns network namespaces";
        z->netns_owner = make_netns_owner();
        if (z->netns_owner < 0)
                return z->netns_owner;

        *ret_what = "making a network namespace";
        if (unshare(CLONE_NEWNET) < 0)
                return -errno;
        z->home_netns = open(TEMPLATE_PROC "/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (z->home_netns < 0)
                return -errno;

        *ret_what = "setting the host name"; /* of which each sandbox gets a copy */
        if (unshare(CLONE_NEWUTS) < 0 || sethostname("sandbox", 7) < 0 || setdomainname("(none)", 6) < 0)
                return -errno;

        (void) landlock_version(); /* remembers it: each sandbox would write it to a page of its own */

        *ret_what = "setting limits";
        r = birth_limit_all();
        if (r < 0)
                return r;

        *ret_what = "installing the system call filter";
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        r = filter_install_allowed();
        if (r < 0)
                return r;

        *ret_what = "starting what takes down mounts";
        return undertaker_start();
}

_noreturn_ static void run(void) {
        Zygote z = { .home_netns = -EBADF, .netns_owner = -EBADF };
        ZygoteMessage m = { .type = ZYGOTE_HELLO };
        const char *what = "";
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds;

        (void) syscall(SYS_close_range, INIT_ZYGOTE_FD + 1, ~0U, 0);
        (void) prctl(PR_SET_NAME, INIT_PROCESS_NAME); /* or it has that of a descriptor */
        /* what a shell or nohup(1) had us ignore is not for the sandboxes */
        for (int i = 1; i <= SIGRTMAX; i++)
                (void) signal(i, SIG_DFL);
        /* sandboxes are the spawner's to watch, by pidfd; nobody waits for them */
        (void) signal(SIGCHLD, SIG_IGN);
        (void) signal(SIGPIPE, SIG_IGN);
        (void) umask(022);

        int r = prepare(&z, &what);
        if (r < 0)
                _exit(fail(what, r));

        m.identity = count_identities();
        r = answer(&m, -EBADF);
        while (r == 0) {
                ssize_t n = message_recv(INIT_ZYGOTE_FD, &m, sizeof m, fds, &n_fds, 0);
                if (n <= 0)
                        break;
                if (n == sizeof m) {
                        m.text[sizeof m.text - 1] = '\0';
                        m.image[sizeof m.image - 1] = '\0';
                        serve(&z, &m, fds, n_fds);
                }
                fds_close(fds, n_fds);
        }
        _exit(EXIT_SUCCESS);
}

int zygote_main(void) {
        return fail("making a stack", stack_move(run));
}
