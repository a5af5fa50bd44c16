/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sample.h"

/* bench-hop ROUNDS MILLISECONDS CONNECTIONS HEALTH REQUEST PROXY...
 * The same request to a server and through proxies, over CONNECTIONS keep-alive connections that ask again as soon as
 * they are answered. Each is a target PORT:PATH[@PID]. A round measures all of them by turns in random order, for a
 * short time each, so that what else the machine does meets all alike; what a proxy adds is divided by the time of
 * HEALTH in the same round. @PID: of the process whose processor time is counted. */

#define TARGETS_MAX 8U
#define CONNECTIONS_MAX 256U
#define ANSWER_MAX (64U * 1024U)

typedef struct Target {
        struct sockaddr_in address;
        char request[512];
        size_t request_size;
        long pid; /* 0 for none */
        double cpu_usec, n_requests;
        double p50; /* of this round */
        Sample all, ratio, cpu;
} Target;

typedef struct Connection {
        int fd;
        size_t used;
        double started;
        char answer[ANSWER_MAX];
} Connection;

static Connection connections[CONNECTIONS_MAX];

static void read_target(Target *t, const char *text) {
        char path[256] = "";
        unsigned port;

        if (sscanf(text, "%u:%255[^@]@%ld", &port, path, &t->pid) < 2 || port > 65535)
                errx(EXIT_FAILURE, "%s: no PORT:PATH", text);
        t->address = (struct sockaddr_in){
                .sin_family = AF_INET, .sin_port = htons((uint16_t) port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
        };
        t->request_size = (size_t) snprintf(
                t->request, sizeof t->request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", path, port);
}

/* Microseconds of processor time of the process so far. */
static double cpu_of(long pid) {
        unsigned long long ns = 0;
        char path[64];

        (void) snprintf(path, sizeof path, "/proc/%ld/schedstat", pid);
        FILE *f = pid > 0 ? fopen(path, "re") : NULL;
        if (!f)
                return 0;
        if (fscanf(f, "%llu", &ns) != 1)
                ns = 0;
        (void) fclose(f);
        return (double) ns / 1000;
}

static void ask(const Target *t, Connection *c) {
        c->used = 0;
        c->started = now_usec();
        if (send(c->fd, t->request, t->request_size, MSG_NOSIGNAL) != (ssize_t) t->request_size)
                err(EXIT_FAILURE, "send");
}

/* Returns true when the answer is complete. */
static bool receive(Connection *c) {
        ssize_t n = recv(c->fd, c->answer + c->used, sizeof c->answer - 1 - c->used, 0);

        if (n <= 0)
                err(EXIT_FAILURE, "recv");
        c->used += (size_t) n;
        c->answer[c->used] = '\0';
        const char *end = strstr(c->answer, "\r\n\r\n"), *length = strcasestr(c->answer, "\r\nContent-Length:");
        if (!end)
                return false;
        if (strncmp(c->answer, "HTTP/1.1 200 ", 13) != 0 || !length || length > end)
                errx(EXIT_FAILURE, "answer: %.*s", (int) (end - c->answer), c->answer);
        return c->used >= (size_t) (end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
}

static void connect_all(const Target *t, unsigned n, int poll) {
        int one = 1;

        for (unsigned i = 0; i < n; i++) {
                struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };
                int fd = connections[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (fd < 0 || connect(fd, (const struct sockaddr *) &t->address, sizeof t->address) < 0 ||
                        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
                        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0)
                        err(EXIT_FAILURE, "connect");
        }
}

static void measure(Target *t, unsigned n, double usec) {
        int poll = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event events[CONNECTIONS_MAX];
        Sample took = { 0 };

        connect_all(t, n, poll);
        double start = now_usec(), cpu = cpu_of(t->pid);
        bool warm = false;
        for (unsigned i = 0; i < n; i++)
                ask(t, connections + i);
        for (double now = start; now < start + usec;) {
                int ready = epoll_wait(poll, events, (int) n, 1000);
                if (ready <= 0)
                        errx(EXIT_FAILURE, "no answer");
                now = now_usec();
                if (!warm && now > start + usec / 5) { /* the connections stand, all caches are full */
                        warm = true;
                        sample_clear(&took);
                        took = (Sample){ 0 };
                        cpu = cpu_of(t->pid);
                }
                for (int i = 0; i < ready; i++) {
                        Connection *c = connections + events[i].data.u32;
                        if (!receive(c))
                                continue;
                        sample_add(&took, now_usec() - c->started);
                        ask(t, c);
                }
        }
        t->cpu_usec += cpu_of(t->pid) - cpu;
        t->n_requests += (double) took.n;
        t->p50 = sample_quantile(&took, 0.5);
        for (unsigned i = 0; i < n; i++)
                (void) close(connections[i].fd);
        (void) close(poll);
        sample_clear(&took);
}

int main(int argc, char *argv[]) {
        Target targets[TARGETS_MAX] = { 0 };
        unsigned order[TARGETS_MAX], n = (unsigned) argc - 4U;

        if (argc < 7 || n > TARGETS_MAX)
                errx(EXIT_FAILURE, "ROUNDS MILLISECONDS CONNECTIONS HEALTH REQUEST PROXY...");
        unsigned rounds = (unsigned) atoi(argv[1]), count = MIN((unsigned) atoi(argv[3]), CONNECTIONS_MAX);
        double usec = 1000 * atof(argv[2]);
        for (unsigned i = 0; i < n; i++)
                read_target(targets + i, argv[4 + i]);
        for (unsigned round = 0; round < rounds; round++) {
                shuffle(order, n);
                for (unsigned i = 0; i < n; i++)
                        measure(targets + order[i], count, usec);
                for (unsigned i = 0; i < n; i++) {
                        Target *t = targets + i;
                        sample_add(&t->all, t->p50);
                        sample_add(&t->ratio, (t->p50 - targets[1].p50) / targets[0].p50);
                }
        }

        printf("%-14u", count);
        for (unsigned i = 0; i < n; i++)
                printf(" %11.0f", sample_quantile(&targets[i].all, 0.5));
        for (unsigned i = 2; i < n; i++) {
                const Target *t = targets + i;
                printf("   %5.2f (%.2f to %.2f)", sample_quantile(&t->ratio, 0.5), sample_quantile(&t->ratio, 0.25),
                        sample_quantile(&t->ratio, 0.75));
                if (t->pid)
                        printf(" %5.1f", t->cpu_usec / MAX(t->n_requests, 1.0));
        }
        printf("\n");
        return EXIT_SUCCESS;
}
