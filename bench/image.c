/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <err.h>

#include "bench.h"

#define ROUNDS_WARM 5
#define TARGET 1.3
#define OF_IMAGE "{\"image\":\"bench:1\",\"pids_limit\":200}"

/* An imported image against base: each from its pool, and made on demand. */
void part_image(Bench *b) {
        static Client base, other;
        Pair pooled = { 0 }, demand = { 0 };

        if (!b->other)
                errx(EXIT_FAILURE, "--other is missing: a worker whose default image is bench:1");
        client_open(&base, b->tcp);
        client_open(&other, b->other);
        for (unsigned i = 0; i < b->rounds + ROUNDS_WARM; i++) {
                double usec[4] = { 0 };
                unsigned order[4];

                shuffle(order, 4);
                for (unsigned k = 0; k < 4; k++) {
                        Client *c = order[k] == 1 ? &other : &base;
                        const char *json = order[k] < 2 ? NULL : order[k] == 2 ? ON_DEMAND : OF_IMAGE;
                        char id[SESSION_ID_MAX];

                        pool_wait(c);
                        usec[order[k]] = session_create(c, json, id);
                        (void) session_delete(c, id);
                }
                if (i < ROUNDS_WARM)
                        continue;
                pair_add(&pooled, usec[1], usec[0]);
                pair_add(&demand, usec[3], usec[2]);
        }
        report_title("create, us", "imported", "base");
        report_pair("create of an imported image, from its pool", &pooled, TARGET);
        report_pair("create of an imported image, on demand", &demand, TARGET);
        pair_clear(&pooled);
        pair_clear(&demand);
        client_close(&base);
        client_close(&other);
}
