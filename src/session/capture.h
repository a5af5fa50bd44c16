/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Keeps the head and the tail of a stream: at most @max bytes, half of them from the beginning, and how many there
 * were in all. Memory grows with what is kept. */
typedef struct Capture {
        uint64_t max;
        uint64_t total; /* bytes that came */
        char *head;     /* owned */
        size_t head_used, head_size;
        char *tail;                           /* owned: a ring, allocated when the head is full */
        size_t tail_used, tail_size, tail_at; /* @tail_at: where the next byte goes once it is full */
} Capture;

void capture_clear(Capture *c);

/* Returns 0 or -ENOMEM; what does not fit is counted, not kept. */
int capture_add(Capture *c, const char *data, size_t length);

static inline bool capture_is_truncated(const Capture *c) {
        return c->total > c->max;
}

/* All that was kept, in order. Returns a new buffer ended by NUL, NULL when out of memory. */
char *capture_join(const Capture *c, size_t *ret_length);
