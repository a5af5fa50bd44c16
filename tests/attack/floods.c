/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

/* The runner gives these sandboxes 256 MiB, 128 tasks, 64 MiB of files and half a CPU. All floods end at a bound that
 * no sandbox of that size may reach. */
#define TASKS_MAX 4096
#define MEMORY_MAX_MB 1024
#define DISK_MAX_MB 512
#define INODES_MAX 100000

#define PIECE ((size_t) 1 << 20)

static unsigned forks(void) {
        unsigned n = 0;

        while (n < TASKS_MAX) {
                pid_t pid = fork();
                if (pid < 0)
                        break;
                if (pid == 0) {
                        sleep_ms(5000);
                        _exit(0);
                }
                n++;
        }
        return n;
}

int attack_fork_bomb(char part) {
        (void) part;
        (void) signal(SIGCHLD, SIG_IGN);
        unsigned n = forks();
        if (n >= TASKS_MAX)
                hole("%u processes", n);
        sleep_ms(1500);
        (void) signal(SIGTERM, SIG_IGN);
        (void) kill(-1, SIGKILL);
        return verdict("%u processes", n);
}

static void *sleeper(void *argument) {
        (void) argument;
        sleep_ms(4000);
        return NULL;
}

int attack_thread_bomb(char part) {
        pthread_attr_t attr;
        pthread_t thread;
        unsigned n = 0;

        (void) part;
        (void) pthread_attr_init(&attr);
        (void) pthread_attr_setstacksize(&attr, 16384);
        while (n < TASKS_MAX && pthread_create(&thread, &attr, sleeper, NULL) == 0)
                n++;
        if (n >= TASKS_MAX)
                hole("%u threads", n);
        sleep_ms(1500);
        return verdict("%u threads", n);
}

static int orphans(void *argument) {
        (void) argument;
        for (int i = 0; i < 50; i++)
                if (fork() == 0) {
                        sleep_ms(1);
                        _exit(0);
                }
        return 0;
}

int attack_zombie_storm(char part) {
        (void) part;
        for (int i = 0; i < 40; i++)
                (void) in_child(orphans, NULL);
        unsigned n;
        for (uint64_t end = now_ms() + 3000; (n = count_in_state('Z')) > 0 && now_ms() < end;)
                sleep_ms(50);
        if (n > 0) /* all the time: those that end only now are seen for a moment, too */
                hole("%u zombies after 3 s", n);
        return verdict("2,000 orphans are gone");
}

static int eat_memory(void *argument) {
        (void) argument;
        for (size_t i = 0; i < MEMORY_MAX_MB; i++) {
                char *p = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (p == MAP_FAILED)
                        return 2;
                memset(p, (int) i | 1, PIECE);
        }
        return 0;
}

int attack_memory_bomb(char part) {
        (void) part;
        int r = in_child(eat_memory, NULL);
        if (r == 0)
                hole("%d MiB of memory", MEMORY_MAX_MB);
        return verdict("the child ended with %d", r);
}

static int hide_memory(void *argument) {
        static char data[PIECE];
        size_t total = 0;

        (void) argument;
        memset(data, 'x', sizeof data);
        for (int i = 0; i < 500; i++) {
                int p[2];
                if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
                        break;
                ssize_t n = write(p[1], data, 65536);
                total += n > 0 ? (size_t) n : 0;
        }
        for (int file = 0; file < MEMORY_MAX_MB / 32; file++) { /* each below the limit of a file */
                int fd = (int) syscall(SYS_memfd_create, "attack", 1U);
                for (int i = 0; i < 32 && fd >= 0 && write(fd, data, sizeof data) == (ssize_t) sizeof data; i++)
                        total += sizeof data;
        }
        return total < MEMORY_MAX_MB * PIECE ? 2 : 0;
}

int attack_memfd_bomb(char part) {
        (void) part;
        int r = in_child(hide_memory, NULL);
        if (r == 0)
                hole("%d MiB in pipes and a memfd", MEMORY_MAX_MB);
        return verdict("the child ended with %d", r);
}

static int fill_sockets(void *argument) {
        static char data[PIECE];
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t n = sizeof a;
        int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        size_t total = 0;

        (void) argument;
        if (bind(server, (struct sockaddr *) &a, sizeof a) < 0 || listen(server, 4096) < 0 ||
                getsockname(server, (struct sockaddr *) &a, &n) < 0)
                return 3;
        for (int i = 0; i < 3000 && total < MEMORY_MAX_MB * PIECE; i++) {
                int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                ssize_t sent;
                if (client < 0)
                        break;
                if (connect(client, (struct sockaddr *) &a, sizeof a) < 0 && errno != EINPROGRESS)
                        break;
                (void) accept4(server, NULL, NULL, SOCK_CLOEXEC);
                while ((sent = send(client, data, sizeof data, MSG_NOSIGNAL)) > 0)
                        total += (size_t) sent;
        }
        sleep_ms(1500);
        return total < MEMORY_MAX_MB * PIECE ? 2 : 0;
}

int attack_tcp_memory(char part) {
        (void) part;
        int r = in_child(fill_sockets, NULL);
        if (r == 0)
                hole("%d MiB in socket buffers", MEMORY_MAX_MB);
        return verdict("the child ended with %d", r);
}

static int fill_disk(void *argument) {
        static const char *const folders[] = { "/home/sandboxuser", "/tmp", "/dev/shm", "/var/tmp", "/run", "/home",
                "/var", "/" };
        static char data[PIECE];
        size_t total = 0;
        unsigned files = 0;
        char path[128];

        (void) argument;
        memset(data, 'x', sizeof data);
        for (size_t i = 0; i < N_OF(folders); i++)
                for (int j = 0; j < DISK_MAX_MB; j++) {
                        (void) snprintf(path, sizeof path, "%s/attack-fill-%d", folders[i], j);
                        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
                        ssize_t n = fd < 0 ? -1 : write(fd, data, sizeof data);
                        (void) close(fd);
                        if (n <= 0)
                                break;
                        total += (size_t) n;
                }
        if (total >= DISK_MAX_MB * PIECE)
                return 1;
        for (size_t i = 0; i < N_OF(folders); i++)
                for (int j = 0; j < DISK_MAX_MB; j++) {
                        (void) snprintf(path, sizeof path, "%s/attack-fill-%d", folders[i], j);
                        (void) unlink(path);
                }
        int fd = open("/tmp/attack-sparse", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        (void) signal(SIGXFSZ, SIG_IGN);
        if (fd >= 0 && fallocate(fd, 0, 0, (off_t) DISK_MAX_MB * (off_t) PIECE) == 0)
                return 2;
        (void) unlink("/tmp/attack-sparse");
        for (; files < INODES_MAX; files++) {
                (void) snprintf(path, sizeof path, "/tmp/attack-%u", files);
                if (mknod(path, S_IFREG | 0600, 0) < 0)
                        break;
        }
        return files >= INODES_MAX ? 3 : 0;
}

int attack_disk_fill(char part) {
        (void) part;
        int r = in_child(fill_disk, NULL);
        if (r > 0)
                hole("%s", r == 1   ? "512 MiB were written"
                           : r == 2 ? "512 MiB were reserved"
                                    : "100,000 files were made");
        return verdict(r < 0 ? "the child was killed (%d)" : "full (%d)", r);
}

int attack_fd_bomb(char part) {
        unsigned n = 0, parked = 0;
        int pair[2];

        (void) part;
        struct rlimit limit = { 0 };
        (void) getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
        if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return broken("no socketpair");
        while (n < 100000 && dup(0) >= 0)
                n++;
        if (n >= 100000)
                hole("%u descriptors", n);
        for (int batch = 0; batch < 2000; batch++) {
                union {
                        struct cmsghdr align;
                        char bytes[CMSG_SPACE(200 * sizeof(int))];
                } control = { 0 };
                char c = 0;
                struct iovec v = { &c, 1 };
                struct msghdr m = {
                        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
                };
                struct cmsghdr *h = CMSG_FIRSTHDR(&m);
                int fds[200];
                for (size_t i = 0; i < N_OF(fds); i++)
                        fds[i] = 10 + (int) i;
                *h = (struct cmsghdr){
                        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fds)
                };
                memcpy(CMSG_DATA(h), fds, sizeof fds);
                if (sendmsg(pair[0], &m, MSG_NOSIGNAL) < 0) {
                        if (errno != EAGAIN)
                                break;
                        /* this queue is full; the limit is over all of them. For each a fresh pair, in place of two */
                        (void) close(1000 + batch * 2);
                        (void) close(1001 + batch * 2);
                        if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                                break;
                        continue;
                }
                parked += N_OF(fds);
        }
        if (parked > 70000)
                hole("%u descriptors in flight", parked);
        return verdict("%u open, %u in flight", n, parked);
}

int attack_cpu_hog(char part) {
        struct rusage usage;
        uint64_t start = now_ms();

        (void) part;
        for (int i = 0; i < 8; i++) {
                pid_t pid = fork();
                if (pid == 0) {
                        for (volatile unsigned long n = 0;; n++)
                                if ((n & 0xffff) == 0 && now_ms() - start > 4000)
                                        _exit(0);
                }
        }
        while (wait(NULL) > 0)
                ;
        uint64_t elapsed = now_ms() - start;
        (void) getrusage(RUSAGE_CHILDREN, &usage);
        uint64_t used = (uint64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
                        (uint64_t) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
        unsigned percent = (unsigned) (used * 100 / (elapsed ? elapsed : 1));
        if (percent > 63) /* half a CPU and a quarter more */
                hole("%u %% of a CPU where 50 were given", percent);
        return verdict("%u %% of a CPU", percent);
}

int attack_scm_flood(char part) {
        (void) part;
        for (int stream = 0; stream < 3; stream++) {
                union {
                        struct cmsghdr align;
                        char bytes[CMSG_SPACE(200 * sizeof(int))];
                } control = { 0 };
                char c = '\n';
                struct iovec v = { &c, 1 };
                struct msghdr m = {
                        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
                };
                struct cmsghdr *h = CMSG_FIRSTHDR(&m);
                int fds[200] = { 0 };
                *h = (struct cmsghdr){
                        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fds)
                };
                memcpy(CMSG_DATA(h), fds, sizeof fds);
                for (int i = 0; i < 20; i++)
                        if (sendmsg(stream, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
                                hole("descriptors can be sent over descriptor %d", stream);
        }
        return verdict("three streams");
}

/* What an unprivileged user may have in pipes is counted for who made the pipe: the worker. */
int attack_pipe_size(char part) {
        (void) part;
        for (int fd = 0; fd < 3; fd++) {
                int before = fcntl(fd, F_GETPIPE_SZ);
                if (before > 0 && fcntl(fd, F_SETPIPE_SZ, 1 << 20) >= 0)
                        hole("the worker's pipe at descriptor %d grows from %d to %d", fd, before,
                                fcntl(fd, F_GETPIPE_SZ));
        }
        return verdict("they stay as they are");
}

int attack_output_flood(char part) {
        static char data[65536];

        (void) part;
        memset(data, 'x', sizeof data);
        for (uint64_t end = now_ms() + 1500; now_ms() < end;)
                if (write(1, data, sizeof data) < 0)
                        break;
        (void) write(1, "\n", 1);
        return held("written for 1.5 s");
}

/* Where it is done, even an idle machine takes longer. */
int attack_sync_storm(char part) {
        uint64_t start = now_ms();
        unsigned n = 0;

        (void) part;
        for (; n < 20000 && now_ms() - start < 2000; n++)
                sync();
        if (n < 20000)
                hole("%u calls took 2 s", n);
        return verdict("20,000 calls in %u ms", (unsigned) (now_ms() - start));
}

int attack_ipc_flood(char part) {
        struct {
                long flags, maxmsg, msgsize, current, reserved[4];
        } attr = { .maxmsg = 10, .msgsize = 8192 };
        char name[32];
        unsigned n = 0;

        (void) part;
        for (; n < 2000; n++) {
                (void) snprintf(name, sizeof name, "attack-%u", n);
                if (syscall(SYS_mq_open, name, O_CREAT | O_RDWR, 0600, &attr) < 0)
                        break;
        }
        if (n > 100)
                hole("%u message queues of 80 KiB", n);
        return verdict("%u message queues", n);
}
