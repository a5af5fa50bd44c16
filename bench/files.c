/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <err.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/* Files in and out: a small one against a request that does nothing, a large one against cat through a pipe. */

#define ROUNDS_WARM 20
#define SMALL (64 * KIB)
#define LARGE GIB
#define LARGE_ROUNDS 5
#define PIECE (256 * KIB)
#define MEMORY_TARGET 8.0

extern char **environ;

static char piece[PIECE];

static void send_all(int fd, const char *data, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, data, size);
                if (n <= 0)
                        err(EXIT_FAILURE, "writing");
                data += n;
                size -= (size_t) n;
        }
}

/* Reads an answer's head. Returns how much of its body is in @c->answer behind @c->body already. */
static size_t read_head(Client *c) {
        size_t used = 0;
        char *end = NULL;

        while (!end) {
                ssize_t n = recv(c->fd, c->answer + used, sizeof c->answer - 1 - used, 0);
                if (n <= 0)
                        errx(EXIT_FAILURE, "the connection was closed");
                used += (size_t) n;
                c->answer[used] = '\0';
                end = strstr(c->answer, "\r\n\r\n");
        }
        c->body = end + 4;
        c->status = (unsigned) strtoul(c->answer + 9, NULL, 10);
        if (c->status / 100 != 2)
                errx(EXIT_FAILURE, "status %u: %s", c->status, c->body);
        return used - (size_t) (c->body - c->answer);
}

static double put_file(Client *c, const char *path, size_t size) {
        char head[512];
        int n = snprintf(
                head, sizeof head, "PUT %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %zu\r\n\r\n", path, size);
        double start = now_usec();

        send_all(c->fd, head, (size_t) n);
        for (size_t left = size; left > 0; left -= MIN(left, sizeof piece))
                send_all(c->fd, piece, MIN(left, sizeof piece));
        size_t got = read_head(c);
        const char *text = strcasestr(c->answer, "Content-Length:");
        size_t length = text ? strtoul(text + 15, NULL, 10) : 0;
        while (got < length) {
                ssize_t k = recv(c->fd, piece, MIN(sizeof piece, length - got), 0);
                if (k <= 0)
                        errx(EXIT_FAILURE, "the connection was closed");
                got += (size_t) k;
        }
        return now_usec() - start;
}

static double get_file(Client *c, const char *path, size_t size) {
        char head[512];
        int n = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path);
        double start = now_usec();

        send_all(c->fd, head, (size_t) n);
        for (size_t got = read_head(c); got < size;) {
                ssize_t k = recv(c->fd, piece, MIN(sizeof piece, size - got), 0);
                if (k <= 0)
                        errx(EXIT_FAILURE, "the connection was closed");
                got += (size_t) k;
        }
        return now_usec() - start;
}

static void measure_small(Bench *b, const char *address, const char *name) {
        static Client c, peer;
        char id[SESSION_ID_MAX], path[SESSION_ID_MAX + 64], label[64];
        Pair both = { 0 }, up = { 0 }, down = { 0 }, peers = { 0 };
        bool with_peer = b->dav && address == b->tcp;

        client_open(&c, address);
        if (with_peer)
                client_open(&peer, b->dav);
        (void) session_create(&c, NULL, id);
        (void) snprintf(path, sizeof path, "/v1/sessions/%s/files?path=small", id);
        for (unsigned i = 0; i < b->rounds + ROUNDS_WARM; i++) {
                double bare = client_request(&c, "GET", "/health", NULL, 200);
                double put = put_file(&c, path, SMALL), get = get_file(&c, path, SMALL), other = 0;

                if (with_peer)
                        other = put_file(&peer, "/small", SMALL) + get_file(&peer, "/small", SMALL);
                if (i < ROUNDS_WARM)
                        continue;
                if (with_peer)
                        pair_add(&peers, other, bare);
                pair_add(&both, put + get, bare);
                pair_add(&up, put, bare);
                pair_add(&down, get, bare);
        }
        (void) snprintf(label, sizeof label, "64 KiB written and read, %s", name);
        report_pair(label, &both, 3);
        report_pair("  written", &up, 0);
        report_pair("  read", &down, 0);
        if (with_peer) {
                report_pair("  nginx, no sandbox, written and read", &peers, 0);
                client_close(&peer);
        }
        pair_clear(&peers);
        pair_clear(&both);
        pair_clear(&up);
        pair_clear(&down);
        (void) session_delete(&c, id);
        client_close(&c);
}

/* --- cat --- */

static pid_t spawn_cat(int in, int out) {
        char *argv[] = { (char *) "cat", NULL };
        posix_spawn_file_actions_t actions;
        pid_t pid;

        (void) posix_spawn_file_actions_init(&actions);
        (void) posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
        (void) posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        if (posix_spawnp(&pid, "cat", &actions, NULL, argv, environ) != 0)
                errx(EXIT_FAILURE, "cat cannot be run");
        (void) posix_spawn_file_actions_destroy(&actions);
        return pid;
}

static void wait_cat(pid_t pid) {
        int status;

        if (waitpid(pid, &status, 0) != pid || status != 0)
                errx(EXIT_FAILURE, "cat failed");
}

/* Into a file in memory, through a pipe. */
static double cat_up(int file) {
        int p[2];

        if (ftruncate(file, 0) < 0 || lseek(file, 0, SEEK_SET) < 0 || pipe2(p, O_CLOEXEC) < 0)
                err(EXIT_FAILURE, "a pipe");
        double start = now_usec();
        pid_t pid = spawn_cat(p[0], file);
        (void) close(p[0]);
        for (size_t left = LARGE; left > 0; left -= sizeof piece)
                send_all(p[1], piece, sizeof piece);
        (void) close(p[1]);
        wait_cat(pid);
        return now_usec() - start;
}

static double cat_down(int file) {
        int p[2];
        ssize_t n;

        if (lseek(file, 0, SEEK_SET) < 0 || pipe2(p, O_CLOEXEC) < 0)
                err(EXIT_FAILURE, "a pipe");
        double start = now_usec();
        pid_t pid = spawn_cat(file, p[1]);
        (void) close(p[1]);
        while ((n = read(p[0], piece, sizeof piece)) > 0)
                ;
        (void) close(p[0]);
        wait_cat(pid);
        return now_usec() - start;
}

/* --- a large file --- */

/* KiB, from /proc. */
static double worker_memory(const Bench *b, const char *field) {
        char path[64], line[256];
        double value = 0;

        (void) snprintf(path, sizeof path, "/proc/%d/status", (int) b->worker);
        FILE *f = fopen(path, "re");
        if (!f)
                err(EXIT_FAILURE, "%s", path);
        while (fgets(line, sizeof line, f))
                if (strncmp(line, field, strlen(field)) == 0)
                        value = strtod(line + strlen(field) + 1, NULL);
        (void) fclose(f);
        return value;
}

static void forget_peak(const Bench *b) {
        char path[64];

        (void) snprintf(path, sizeof path, "/proc/%d/clear_refs", (int) b->worker);
        FILE *f = fopen(path, "we");
        if (!f || fputs("5", f) < 0 || fclose(f) != 0)
                err(EXIT_FAILURE, "%s", path);
}

static void report_speed(const char *name, const Sample *ours, const Sample *theirs) {
        double mib = (double) (LARGE / MIB) * 1e6;

        report_rate(name, mib / sample_quantile(ours, 0.5), mib / sample_quantile(theirs, 0.5), 0.5);
}

static void measure_large(Bench *b, const char *address, const char *name) {
        static Client c;
        char id[SESSION_ID_MAX], path[SESSION_ID_MAX + 64], label[64];
        Pair up = { 0 }, down = { 0 };
        int file = memfd_create("cat", MFD_CLOEXEC);

        if (file < 0)
                err(EXIT_FAILURE, "a file in memory");
        client_open(&c, address);
        (void) session_create(&c, "{\"memory_limit\":\"3g\",\"disk_limit\":\"2g\",\"cpu_quota\":200000}", id);
        (void) snprintf(path, sizeof path, "/v1/sessions/%s/files?path=large", id);
        (void) put_file(&c, path, SMALL);
        (void) get_file(&c, path, SMALL);
        double before = worker_memory(b, "VmRSS");
        forget_peak(b);
        for (unsigned i = 0; i < LARGE_ROUNDS; i++) {
                double cat = cat_up(file);
                pair_add(&up, put_file(&c, path, LARGE), cat);
                cat = cat_down(file);
                pair_add(&down, get_file(&c, path, LARGE), cat);
                /* the next one is written beside the one that it replaces */
                (void) client_request(&c, "DELETE", path, NULL, 204);
        }
        (void) snprintf(label, sizeof label, "1 GiB up, MiB/s, %s", name);
        report_speed(label, &up.ours, &up.theirs);
        (void) snprintf(label, sizeof label, "1 GiB down, MiB/s, %s", name);
        report_speed(label, &down.ours, &down.theirs);
        report_value("  memory that the worker took for it", (worker_memory(b, "VmHWM") - before) / 1024, "MiB",
                MEMORY_TARGET);
        pair_clear(&up);
        pair_clear(&down);
        (void) session_delete(&c, id);
        client_close(&c);
        (void) close(file);
}

void part_files(Bench *b) {
        report_title("files, us", "sandboxd", "health");
        measure_small(b, b->tcp, "TCP");
        measure_small(b, b->local, "UNIX socket");
        report_title("files", "sandboxd", "cat");
        measure_large(b, b->tcp, "TCP");
        measure_large(b, b->local, "UNIX socket");
}
