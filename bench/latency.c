/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <unistd.h>

#include "bench.h"

#define ROUNDS_WARM 5
#define ROW 9                  /* sessions one upon another before the one that is measured */
#define BURST_REST_USEC 100000 /* until all is made ahead again */

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

static double run_ondemand(Bench *b, const char *spec, double *ret_create) {
        char id[SESSION_ID_MAX];
        double start = now_usec();

        *ret_create = session_create(&b->client, spec, id);
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

/* A size of files that was not asked for lately: nothing of such a sandbox can be made ahead. */
static double run_unlike(Bench *b, unsigned i) {
        char spec[64];
        double create;

        (void) snprintf(spec, sizeof spec, "{\"disk_limit\":\"%um\"}", 100 + i % 100);
        return run_ondemand(b, spec, &create);
}

/* Sessions that come faster than they can be made: what is made ahead serves the first of them. */
static void measure_burst(Bench *b, const Sample *single) {
        enum { BURST = 16 };
        char ids[BURST][SESSION_ID_MAX];
        Pair each[2] = { 0 };

        for (unsigned i = 0; i < MAX(b->rounds / 15, 5U); i++) {
                (void) usleep(BURST_REST_USEC);
                for (unsigned k = 0; k < BURST; k++)
                        pair_add(&each[k >= BURST / 4], session_create(&b->client, ON_DEMAND, ids[k]),
                                sample_quantile(single, 0.5));
                for (unsigned k = 0; k < BURST; k++)
                        (void) session_delete(&b->client, ids[k]);
        }
        report_title("16 creations on demand, one upon another, us", "each", "alone");
        report_pair("the first 4", &each[0], 0);
        report_pair("the other 12", &each[1], 0);
        pair_clear(&each[0]);
        pair_clear(&each[1]);
}

void part_ondemand(Bench *b) {
        static const char *const true_argv[] = { "/bin/true", NULL };
        enum { N_MAX = 16 };
        Pair pairs[N_MAX] = { 0 }, pooled = { 0 }, bare = { 0 }, create = { 0 }, row = { 0 }, unlike = { 0 };
        const Peer *peers = peers_find(b);
        unsigned n = 0;

        while (peers[n].name)
                n++;
        for (unsigned i = 0; i < b->rounds / 2 + ROUNDS_WARM; i++) {
                double usec[N_MAX + 5], only_create = 0, ignored;
                unsigned order[N_MAX + 5];

                shuffle(order, n + 5);
                for (unsigned k = 0; k < n + 5; k++) {
                        unsigned what = order[k];
                        pool_wait(&b->client);
                        for (unsigned again = 0; what == n + 3 && again < ROW; again++)
                                (void) run_ondemand(b, ON_DEMAND, &ignored);
                        usec[what] = what == n       ? run_ondemand(b, ON_DEMAND, &only_create)
                                     : what == n + 1 ? run_pooled(b)
                                     : what == n + 2 ? bare_run(&b->image, true_argv)
                                     : what == n + 3 ? run_ondemand(b, ON_DEMAND, &ignored)
                                     : what == n + 4 ? run_unlike(b, i)
                                                     : bare_run(&b->host, peers[what].argv);
                }
                if (i < ROUNDS_WARM)
                        continue;
                for (unsigned k = 0; k < n; k++)
                        pair_add(&pairs[k], usec[n], usec[k]);
                pair_add(&pooled, usec[n + 1], usec[n + 2]);
                pair_add(&bare, usec[n], usec[n + 2]);
                pair_add(&create, only_create, usec[n + 2]);
                pair_add(&row, usec[n + 3], usec[n + 2]);
                pair_add(&unlike, usec[n + 4], usec[n + 2]);
        }
        report_title("create + /bin/true + delete, us", "sandboxd", "other");
        for (unsigned k = 0; k < n; k++) {
                char label[64];
                (void) snprintf(label, sizeof label, "on demand, against %s", peers[k].name);
                report_faster(label, &pairs[k], peers[k].target);
                pair_clear(&pairs[k]);
        }
        report_pair("on demand, against a bare /bin/true", &bare, 0);
        report_pair("the 10th of some without a pause, the same", &row, 0);
        report_pair("unlike any before, the same", &unlike, 0);
        report_pair("from the pool, against a bare /bin/true", &pooled, 0);
        report_pair("create alone, on demand, against the same", &create, 0);
        measure_burst(b, &create.ours);
        pair_clear(&row);
        pair_clear(&unlike);
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
