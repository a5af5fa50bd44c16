/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define REPEATS 5

typedef enum Cycle {
        CYCLE_HEALTH,
        CYCLE_CREATE,          /* create + delete */
        CYCLE_CREATE_ONDEMAND, /* the same, never from the pool */
        CYCLE_RUN,             /* create + /bin/true + delete */
        CYCLE_EXEC,            /* /bin/true in a session that is there */
        CYCLE_MAX_,
} Cycle;

typedef struct Runner {
        pthread_t thread;
        Client client;
        const Bench *bench;
        Cycle cycle;
        double deadline;
        unsigned long n;
} Runner;

static void *run(void *userdata) {
        Runner *r = userdata;
        char id[SESSION_ID_MAX];

        if (r->cycle == CYCLE_EXEC)
                (void) session_create(&r->client, NULL, id);
        for (; now_usec() < r->deadline; r->n++) {
                if (r->cycle == CYCLE_HEALTH)
                        (void) client_request(&r->client, "GET", "/health", NULL, 200);
                if (r->cycle == CYCLE_CREATE || r->cycle == CYCLE_RUN)
                        (void) session_create(&r->client, NULL, id);
                if (r->cycle == CYCLE_CREATE_ONDEMAND)
                        (void) session_create(&r->client, ON_DEMAND, id);
                if (r->cycle == CYCLE_RUN || r->cycle == CYCLE_EXEC)
                        (void) session_exec(&r->client, id, RUN_TRUE);
                if (r->cycle != CYCLE_HEALTH && r->cycle != CYCLE_EXEC)
                        (void) session_delete(&r->client, id);
        }
        if (r->cycle == CYCLE_EXEC)
                (void) session_delete(&r->client, id);
        return NULL;
}

/* Returns how many cycles a second @n connections reach together. */
static double measure(const Bench *b, Cycle cycle, unsigned n) {
        Runner *runners = calloc(n, sizeof *runners);
        unsigned long sum = 0;

        if (!runners)
                err(EXIT_FAILURE, "connections");
        for (unsigned i = 0; i < n; i++) {
                runners[i].bench = b;
                runners[i].cycle = cycle;
                client_open(&runners[i].client, b->tcp);
        }
        double start = now_usec();
        for (unsigned i = 0; i < n; i++) {
                runners[i].deadline = start + b->seconds * 1e6;
                errno = pthread_create(&runners[i].thread, NULL, run, &runners[i]);
                if (errno != 0)
                        err(EXIT_FAILURE, "pthread_create");
        }
        for (unsigned i = 0; i < n; i++) {
                (void) pthread_join(runners[i].thread, NULL);
                sum += runners[i].n;
                client_close(&runners[i].client);
        }
        double elapsed = now_usec() - start;
        free(runners);
        return (double) sum / elapsed * 1e6;
}

void part_rate(Bench *b) {
        static const char *const true_argv[] = { "/bin/true", NULL };
        static const struct {
                const char *name;
                Cycle cycle;
                unsigned connections;
                bool to_peer; /* compared with the first peer, else with a bare /bin/true */
                double target;
        } rows[] = {
                { "GET /health, 1 connection", CYCLE_HEALTH, 1, false, 0 },
                { "GET /health, 4 connections", CYCLE_HEALTH, 4, false, 0 },
                { "create + delete, 1 connection", CYCLE_CREATE, 1, true, 0 },
                { "create + delete, 4 connections", CYCLE_CREATE, 4, true, 0 },
                { "create + delete, 16 connections", CYCLE_CREATE, 16, true, 0 },
                { "create + delete on demand, 4 connections", CYCLE_CREATE_ONDEMAND, 4, true, 0 },
                { "create + true + delete, 1 connection", CYCLE_RUN, 1, true, 0 },
                { "create + true + delete, 4 connections", CYCLE_RUN, 4, true, 3.0 },
                { "create + true + delete, 16 connections", CYCLE_RUN, 16, true, 0 },
                { "/bin/true, 1 connection", CYCLE_EXEC, 1, false, 0 },
                { "/bin/true, 4 connections", CYCLE_EXEC, 4, false, 0.7 },
                { "/bin/true, 16 connections", CYCLE_EXEC, 16, false, 0 },
        };
        unsigned cpus = (unsigned) MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
        Sample ours[ELEMENTSOF(rows)] = { 0 }, bare = { 0 }, other = { 0 };
        const Peer *peer = peers_find(b);

        for (unsigned i = 0; i < REPEATS; i++) {
                unsigned order[ELEMENTSOF(rows) + 2];

                shuffle(order, ELEMENTSOF(order));
                for (size_t k = 0; k < ELEMENTSOF(order); k++) {
                        unsigned what = order[k];
                        pool_wait(&b->client);
                        if (what == ELEMENTSOF(rows))
                                sample_add(&bare, bare_rate(b->root, cpus, b->seconds, true_argv));
                        else if (what == ELEMENTSOF(rows) + 1) {
                                if (peer->name)
                                        sample_add(&other, bare_rate(NULL, cpus, b->seconds, peer->argv));
                        } else
                                sample_add(&ours[what], measure(b, rows[what].cycle, rows[what].connections));
                }
        }
        (void) printf(
                "\n%-46s %9s %9s %9s %9s  %6s\n", "a second, sustained, medians", "sandboxd", "", "other", "", "ratio");
        for (size_t k = 0; k < ELEMENTSOF(rows); k++) {
                report_rate(rows[k].name, sample_quantile(&ours[k], 0.5),
                        sample_quantile(rows[k].to_peer ? &other : &bare, 0.5), rows[k].target);
                sample_clear(&ours[k]);
        }
        (void) printf("other: %s for sandboxes, else a bare /bin/true, as many loops as CPUs (%u)\n",
                peer->name ? peer->name : "none", cpus);
        sample_clear(&bare);
        sample_clear(&other);
}
