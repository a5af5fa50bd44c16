/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

/* Output as it comes: a lot of it against the same through a pipe, and many streams at the same time. */

#define LARGE GIB
#define LARGE_ROUNDS 3
#define LARGE_COMMAND "head -c 1073741824 /dev/zero | tr '\\\\0' x"
#define LARGE_SHELL "head -c 1073741824 /dev/zero | tr '\\0' x"
#define STREAMS 200U
#define STREAMS_PER_SESSION 20U /* commands that run at once are limited */
#define STREAMS_SECONDS 5

static char piece[256 * KIB];

/* --- a lot --- */

static double by_pipe(void) {
        double start = now_usec();
        FILE *f = popen(LARGE_SHELL, "re");
        uint64_t total = 0;
        ssize_t n;

        if (!f)
                err(EXIT_FAILURE, "popen");
        while ((n = read(fileno(f), piece, sizeof piece)) > 0)
                total += (uint64_t) n;
        if (pclose(f) != 0 || total != LARGE)
                errx(EXIT_FAILURE, "the pipe gave %llu bytes", (unsigned long long) total);
        return now_usec() - start;
}

static void send_exec(const Client *c, const char *id, const char *json) {
        char text[1024];
        int n = snprintf(text, sizeof text,
                "POST /v1/sessions/%s/exec HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\nContent-Length: "
                "%zu\r\n\r\n"
                "%s",
                id, strlen(json), json);

        if (send(c->fd, text, (size_t) n, MSG_NOSIGNAL) != n)
                err(EXIT_FAILURE, "sending");
}

/* Until the event that tells the end. */
static double by_events(Client *c, const char *id) {
        static const char mark[] = "event: exit";
        double start = now_usec();
        uint64_t total = 0;
        size_t kept = 0;

        send_exec(c, id, "{\"command\":\"" LARGE_COMMAND "\",\"timeout\":600}");
        for (;;) {
                ssize_t n = recv(c->fd, piece + kept, sizeof piece - kept, 0);
                if (n <= 0)
                        errx(EXIT_FAILURE, "the stream broke off after %llu bytes", (unsigned long long) total);
                total += (uint64_t) n;
                size_t used = kept + (size_t) n;
                /* it is small and the last: looked for where it can be */
                size_t tail = MIN(used, (size_t) 4096);
                if (memmem(piece + used - tail, tail, mark, sizeof mark - 1))
                        break;
                kept = MIN(used, sizeof mark - 1);
                memmove(piece, piece + used - kept, kept);
        }
        if (total < LARGE)
                errx(EXIT_FAILURE, "the stream gave %llu bytes", (unsigned long long) total);
        return now_usec() - start;
}

static void measure_large(Bench *b) {
        double mib = (double) (LARGE / MIB) * 1e6;
        char id[SESSION_ID_MAX];
        Pair both = { 0 };

        for (unsigned i = 0; i < LARGE_ROUNDS; i++) {
                static Client c;
                client_open(&c, b->tcp);
                (void) session_create(&c, "{\"cpu_quota\":200000}", id);
                double pipe = by_pipe();
                pair_add(&both, by_events(&c, id), pipe);
                client_close(&c); /* what is left of the stream goes with it */
                client_open(&c, b->tcp);
                (void) session_delete(&c, id);
                client_close(&c);
        }
        report_rate("1 GiB of standard output as events, MiB/s", mib / sample_quantile(&both.ours, 0.5),
                mib / sample_quantile(&both.theirs, 0.5), 0.5);
        pair_clear(&both);
}

/* --- many --- */

static void read_streams(Client *clients, uint64_t *bytes) {
        static struct pollfd p[STREAMS];
        double end = now_usec() + STREAMS_SECONDS * 1e6;

        for (unsigned i = 0; i < STREAMS; i++)
                p[i] = (struct pollfd){ .fd = clients[i].fd, .events = POLLIN };
        while (now_usec() < end) {
                if (poll(p, STREAMS, 100) < 0)
                        err(EXIT_FAILURE, "poll");
                for (unsigned i = 0; i < STREAMS; i++) {
                        ssize_t n = p[i].revents ? recv(p[i].fd, piece, sizeof piece, MSG_DONTWAIT) : 0;
                        if (p[i].revents && n <= 0)
                                errx(EXIT_FAILURE, "stream %u ended", i);
                        bytes[i] += (uint64_t) n;
                }
        }
}

static void measure_many(Bench *b) {
        static uint64_t bytes[STREAMS];
        Client *clients = calloc(STREAMS, sizeof *clients);
        char ids[STREAMS / STREAMS_PER_SESSION][SESSION_ID_MAX];
        Sample all = { 0 };

        if (!clients)
                err(EXIT_FAILURE, "memory");
        client_close(&b->client); /* idle for too long meanwhile */
        client_open(&b->client, b->tcp);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                (void) session_create(&b->client, NULL, ids[i]);
        for (unsigned i = 0; i < STREAMS; i++) {
                client_open(&clients[i], b->tcp);
                send_exec(&clients[i], ids[i / STREAMS_PER_SESSION], "{\"argv\":[\"yes\"],\"timeout\":600}");
        }
        read_streams(clients, bytes); /* until all have begun */
        memset(bytes, 0, sizeof bytes);
        read_streams(clients, bytes);
        for (unsigned i = 0; i < STREAMS; i++) {
                sample_add(&all, (double) bytes[i]);
                client_close(&clients[i]);
        }
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                (void) session_delete(&b->client, ids[i]);
        double median = sample_quantile(&all, 0.5) / (double) KIB / STREAMS_SECONDS;
        report_rate("200 streams at once, KiB/s: the slowest, against the median",
                sample_quantile(&all, 0) / (double) KIB / STREAMS_SECONDS, median, 0.5);
        sample_clear(&all);
        free(clients);
}

void part_streams(Bench *b) {
        report_title("streams", "sandboxd", "pipe");
        measure_large(b);
        report_title("streams", "slowest", "median");
        measure_many(b);
}
