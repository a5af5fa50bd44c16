/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/liveness.h"

#define CONFIRM_USEC (150 * USEC_PER_MSEC) /* between probes of a worker in doubt */
#define DOWN_USEC (1 * USEC_PER_SEC)
#define PATIENCE_USEC (600 * USEC_PER_MSEC)       /* that make a worker suspect; it may only be busy */
#define LAST_PATIENCE_USEC (1500 * USEC_PER_MSEC) /* that make it down */

static bool become(Liveness *l, LivenessState state) {
        if (l->state == state)
                return false;
        l->state = state;
        return true;
}

bool liveness_good(Liveness *l) {
        l->n_bad = 0;
        if (l->n_good < LIVENESS_GOOD_MIN)
                l->n_good++;
        if (l->state == LIVENESS_NEW || l->n_good >= LIVENESS_GOOD_MIN)
                return become(l, LIVENESS_UP);
        return false;
}

bool liveness_bad(Liveness *l, usec_t now) {
        l->n_good = 0;
        if (l->n_bad < LIVENESS_BAD_MAX)
                l->n_bad++;
        if (l->state == LIVENESS_UP)
                return become(l, LIVENESS_SUSPECT);
        if (l->state == LIVENESS_DOWN || (l->state == LIVENESS_SUSPECT && l->n_bad < LIVENESS_BAD_MAX))
                return false;
        l->down_since = now;
        return become(l, LIVENESS_DOWN);
}

bool liveness_doubt(Liveness *l) {
        if (l->state != LIVENESS_UP)
                return false;
        l->n_good = 0; /* the next probe alone does not clear it */
        return become(l, LIVENESS_SUSPECT);
}

bool liveness_gone(Liveness *l, usec_t now) {
        l->n_good = 0;
        l->n_bad = LIVENESS_BAD_MAX;
        if (l->state == LIVENESS_DOWN)
                return false;
        l->down_since = now;
        return become(l, LIVENESS_DOWN);
}

usec_t liveness_interval(const Liveness *l, usec_t interval) {
        switch (l->state) {
        case LIVENESS_UP:
                return interval;
        case LIVENESS_DOWN:
                return l->n_good > 0 ? MIN(CONFIRM_USEC, interval) : MIN(DOWN_USEC, interval);
        default:
                return MIN(CONFIRM_USEC, interval);
        }
}

usec_t liveness_patience(const Liveness *l, usec_t interval) {
        usec_t patience = l->state == LIVENESS_UP ? PATIENCE_USEC : LAST_PATIENCE_USEC;

        return MAX(MIN(patience, interval), 100 * USEC_PER_MSEC);
}

const char *liveness_text(LivenessState state) {
        static const char *const texts[] = {
                [LIVENESS_NEW] = "unknown",
                [LIVENESS_UP] = "up",
                [LIVENESS_SUSPECT] = "suspect",
                [LIVENESS_DOWN] = "down",
        };

        assert(state < ELEMENTSOF(texts));
        return texts[state];
}
