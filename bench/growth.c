/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "bench.h"

#define FEW 10
#define BLOCKS 6 /* each: some rounds with few sessions, then with many */

/* One round; microseconds of a create from the pool, a create on demand and a command. */
static void measure(Bench *b, double usec[static 3]) {
        char id[SESSION_ID_MAX];

        pool_wait(&b->client);
        usec[0] = session_create(&b->client, NULL, id);
        (void) session_delete(&b->client, id);
        pool_wait(&b->client);
        usec[1] = session_create(&b->client, ON_DEMAND, id);
        usec[2] = session_exec(&b->client, id, RUN_TRUE);
        (void) session_delete(&b->client, id);
}

void part_growth(Bench *b) {
        static const char *const names[] = { "create, from the pool", "create, on demand", "/bin/true" };
        static const double targets[] = { 1.3, 1.3, 1.3 };
        unsigned rounds = MAX(b->rounds / BLOCKS, 10U);
        Pair pairs[3] = { 0 };
        Herd herd = { 0 };
        char title[64];

        for (unsigned block = 0; block < BLOCKS; block++) {
                Sample few[3] = { 0 };

                herd_resize(b, &herd, FEW);
                for (unsigned i = 0; i < rounds; i++) {
                        double usec[3];
                        measure(b, usec);
                        for (size_t k = 0; k < 3; k++)
                                sample_add(&few[k], usec[k]);
                }
                herd_resize(b, &herd, b->sessions);
                for (unsigned i = 0; i < rounds; i++) {
                        double usec[3];
                        measure(b, usec);
                        for (size_t k = 0; k < 3; k++)
                                pair_add(&pairs[k], usec[k], few[k].values[i]);
                }
                for (size_t k = 0; k < 3; k++)
                        sample_clear(&few[k]);
        }
        herd_free(b, &herd);
        (void) snprintf(title, sizeof title, "%u sessions alive against %u, us", b->sessions, FEW);
        report_title(title, "many", "few");
        for (size_t k = 0; k < 3; k++) {
                report_pair(names[k], &pairs[k], targets[k]);
                pair_clear(&pairs[k]);
        }
}
