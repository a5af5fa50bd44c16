/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "bench.h"

#define ROUNDS_WARM 5

/* --- a session from the pool, against a request that does nothing --- */

static void measure_create(Bench *b, const char *address, const char *name) {
        static Client c;
        Pair create = { 0 }, delete = { 0 };
        char label[64];

        client_open(&c, address);
        for (unsigned i = 0; i < b->rounds + ROUNDS_WARM; i++) {
                double usec[3] = { 0 };
                unsigned order[2];

                shuffle(order, 2);
                for (unsigned k = 0; k < 2; k++) {
                        char id[SESSION_ID_MAX];

                        pool_wait(&c);
                        if (order[k] == 0) {
                                usec[0] = client_request(&c, "GET", "/health", NULL, 200);
                                continue;
                        }
                        usec[1] = session_create(&c, NULL, id);
                        pool_wait(&c);
                        usec[2] = session_delete(&c, id);
                }
                if (i < ROUNDS_WARM)
                        continue;
                pair_add(&create, usec[1], usec[0]);
                pair_add(&delete, usec[2], usec[0]);
        }
        (void) snprintf(label, sizeof label, "create, from the pool, %s", name);
        report_pair(label, &create, 1.5);
        (void) snprintf(label, sizeof label, "delete, until nothing of it runs, %s", name);
        report_pair(label, &delete, 0);
        pair_clear(&create);
        pair_clear(&delete);
        client_close(&c);
}

void part_create(Bench *b) {
        report_title("request, us", "sandboxd", "health");
        measure_create(b, b->tcp, "TCP");
        measure_create(b, b->local, "UNIX socket");
}

/* --- everything on demand, against programs that do it in one go --- */

static double run_ondemand(Bench *b, double *ret_create) {
        char id[SESSION_ID_MAX];
        double start = now_usec();

        *ret_create = session_create(&b->client, ON_DEMAND, id);
        (void) session_exec(&b->client, id, RUN_TRUE);
        (void) session_delete(&b->client, id);
        return now_usec() - start;
}

static double run_pooled(Bench *b) {
        char id[SESSION_ID_MAX];
        double start = now_usec();

        (void) session_create(&b->client, NULL, id);
        (void) session_exec(&b->client, id, RUN_TRUE);
        (void) session_delete(&b->client, id);
        return now_usec() - start;
}

void part_ondemand(Bench *b) {
        static const char *const true_argv[] = { "/bin/true", NULL };
        enum { N_MAX = 16 };
        Pair pairs[N_MAX] = { 0 }, pooled = { 0 }, bare = { 0 }, create = { 0 };
        const Peer *peers = peers_find(b);
        unsigned n = 0;

        while (peers[n].name)
                n++;
        for (unsigned i = 0; i < b->rounds / 2 + ROUNDS_WARM; i++) {
                double usec[N_MAX + 3], only_create = 0;
                unsigned order[N_MAX + 3];

                shuffle(order, n + 3);
                for (unsigned k = 0; k < n + 3; k++) {
                        unsigned what = order[k];
                        pool_wait(&b->client);
                        usec[what] = what == n       ? run_ondemand(b, &only_create)
                                     : what == n + 1 ? run_pooled(b)
                                     : what == n + 2 ? bare_run(&b->image, true_argv)
                                                     : bare_run(&b->host, peers[what].argv);
                }
                if (i < ROUNDS_WARM)
                        continue;
                for (unsigned k = 0; k < n; k++)
                        pair_add(&pairs[k], usec[n], usec[k]);
                pair_add(&pooled, usec[n + 1], usec[n + 2]);
                pair_add(&bare, usec[n], usec[n + 2]);
                pair_add(&create, only_create, usec[n + 2]);
        }
        report_title("create + /bin/true + delete, us", "sandboxd", "other");
        for (unsigned k = 0; k < n; k++) {
                char label[64];
                (void) snprintf(label, sizeof label, "on demand, against %s", peers[k].name);
                report_faster(label, &pairs[k], peers[k].target);
                pair_clear(&pairs[k]);
        }
        report_pair("on demand, against a bare /bin/true", &bare, 0);
        report_pair("from the pool, against a bare /bin/true", &pooled, 0);
        report_pair("create alone, on demand, against the same", &create, 0);
        pair_clear(&pooled);
        pair_clear(&bare);
        pair_clear(&create);
}

/* --- commands, against the same program in the same files without a sandbox --- */

void part_exec(Bench *b) {
        static const struct {
                const char *name, *json;
                const char *const argv[5];
                double target;
                unsigned share; /* of the rounds */
        } commands[] = {
                { "/bin/true", RUN_TRUE, { "/bin/true" }, 1.5, 1 },
                { "sh -c 'echo 1'", "{\"command\":\"echo 1\"}", { "/bin/sh", "-c", "echo 1" }, 0, 1 },
                { "python3 -c 'print(1)'", "{\"argv\":[\"/usr/bin/python3\",\"-c\",\"print(1)\"]}",
                        { "/usr/bin/python3", "-c", "print(1)" }, 1.1, 2 },
        };
        char id[SESSION_ID_MAX];

        (void) session_create(&b->client, NULL, id);
        report_title("a command in a session, us", "sandboxd", "bare");
        for (size_t c = 0; c < ELEMENTSOF(commands); c++) {
                Pair p = { 0 };

                for (unsigned i = 0; i < b->rounds / commands[c].share + ROUNDS_WARM; i++) {
                        double usec[2];
                        unsigned order[2];

                        shuffle(order, 2);
                        for (unsigned k = 0; k < 2; k++) {
                                pool_wait(&b->client); /* the same moment of rest before each */
                                usec[order[k]] = order[k] == 0 ? session_exec(&b->client, id, commands[c].json)
                                                               : bare_run(&b->image, commands[c].argv);
                        }
                        if (i >= ROUNDS_WARM)
                                pair_add(&p, usec[0], usec[1]);
                }
                report_pair(commands[c].name, &p, commands[c].target);
                pair_clear(&p);
        }
        (void) session_delete(&b->client, id);
}
