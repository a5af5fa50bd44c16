/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "base/macro.h"

/* Is a worker there? Decided from what probes and requests meet, with hysteresis: one failure makes it suspect, which
 * is enough not to send new work there; only more of them make it down, and it takes more than one good answer to be
 * trusted again. Knows no time but what it is told, and does nothing by itself. */

typedef enum LivenessState {
        LIVENESS_NEW,     /* not heard of yet */
        LIVENESS_UP,      /* in rotation */
        LIVENESS_SUSPECT, /* not for new sessions while there are others */
        LIVENESS_DOWN,
} LivenessState;

typedef struct Liveness {
        LivenessState state;
        unsigned n_good, n_bad; /* in a row */
        usec_t down_since;      /* monotonic; valid when down */
} Liveness;

#define LIVENESS_BAD_MAX 2U  /* failures in a row that make a worker down */
#define LIVENESS_GOOD_MIN 2U /* good answers in a row that make it up again */

/* Each returns true when the state is another one now. */
bool liveness_good(Liveness *l);             /* a probe was answered well */
bool liveness_bad(Liveness *l, usec_t now);  /* a probe failed or was not answered in time */
bool liveness_doubt(Liveness *l);            /* a request failed in a way that may be the worker's fault */
bool liveness_gone(Liveness *l, usec_t now); /* somebody knows that it ended */

/* When to probe next, relative to the end of the last one. @interval: of a worker that is well. */
usec_t liveness_interval(const Liveness *l, usec_t interval);
/* How long to wait for the answer. */
usec_t liveness_patience(const Liveness *l, usec_t interval);

const char *liveness_text(LivenessState state);
