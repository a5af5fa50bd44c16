/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Random schedules of operations and faults against the real code, each from a seed of its own. What went wrong can be
 * seen again: MODEL_SEED=N runs that schedule alone, and prints each step.
 */

#define MODEL_SCHEDULES 1000U

typedef struct Model {
        uint64_t random;
        unsigned seed, step;
        bool loud;
} Model;

static inline unsigned model_random(Model *m, unsigned n) {
        m->random ^= m->random << 13;
        m->random ^= m->random >> 7;
        m->random ^= m->random << 17;
        return (unsigned) ((m->random >> 16) % n);
}

#define model_say(m, ...)                                                                                              \
        do {                                                                                                           \
                if ((m)->loud) {                                                                                       \
                        (void) printf("seed %u step %u: ", (m)->seed, (m)->step);                                      \
                        (void) printf(__VA_ARGS__);                                                                    \
                        (void) puts("");                                                                               \
                }                                                                                                      \
        } while (0)

#define model_check(m, condition)                                                                                      \
        do {                                                                                                           \
                if (!(condition)) {                                                                                    \
                        (void) fprintf(stderr, "seed %u, step %u: not so: %s\n"                                        \
                                               "run it again with MODEL_SEED=%u\n",                                    \
                                (m)->seed, (m)->step, #condition, (m)->seed);                                          \
                        fail();                                                                                        \
                }                                                                                                      \
        } while (0)

/* Calls @schedule for each seed, or for the one that is asked for. */
static inline void model_run(void (*schedule)(Model *m)) {
        const char *only = getenv("MODEL_SEED");
        unsigned first = only ? (unsigned) strtoul(only, NULL, 10) : 1, last = only ? first : MODEL_SCHEDULES;

        (void) printf("seeds %u to %u\n", first, last);
        for (unsigned seed = first; seed <= last; seed++) {
                Model m = { .seed = seed, .random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1, .loud = only != NULL };
                for (unsigned i = 0; i < 8; i++)
                        (void) model_random(&m, 2);
                schedule(&m);
        }
}
