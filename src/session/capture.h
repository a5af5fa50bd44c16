/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Keeps the head and the tail of a stream: at most @max bytes, half of them from the beginning, and how many there
 * were in all. Memory grows with what is kept, but all captures together keep no more than CAPTURE_BUDGET. */
#define CAPTURE_BUDGET (32 * MIB)

typedef struct Capture {
        uint64_t max;
        uint64_t total; /* bytes that came */
        char *head;     /* owned */
        size_t head_used, head_size;
        char *tail;                           /* owned: a ring, allocated when the head is full */
        size_t tail_used, tail_size, tail_at; /* @tail_at: where the next byte goes once it is a ring */
        bool head_is_full, tail_is_ring;
} Capture;

void capture_clear(Capture *c);

/* What does not fit is counted, not kept. Returns 0, or -ENOBUFS or -ENOMEM when less than @max is kept from now on. */
int capture_add(Capture *c, const char *data, size_t length);

static inline bool capture_is_truncated(const Capture *c) {
        return c->total > c->head_used + c->tail_used;
}

/* All that was kept, in order. Returns a new buffer ended by NUL, NULL when out of memory. */
char *capture_join(const Capture *c, size_t *ret_length);

/* Bytes that all captures of this process take now. */
uint64_t capture_kept_now(void);
