/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"

#include <time.h>

static usec_t shift;

static usec_t now(clockid_t clock) {
        struct timespec t;

        (void) clock_gettime(clock, &t); /* cannot fail for these two clocks */
        return (usec_t) t.tv_sec * USEC_PER_SEC + (usec_t) t.tv_nsec / 1000 + shift;
}

usec_t clock_monotonic(void) {
        return now(CLOCK_MONOTONIC);
}

usec_t clock_realtime(void) {
        return now(CLOCK_REALTIME);
}

void clock_shift_for_test(usec_t offset) {
        shift = offset;
}
