/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/capture.h"

#include <string.h>

#define SIZE_FIRST 4096U

/* All captures of this process together: where it is used up, less is kept of what comes. */
static uint64_t kept_now;

uint64_t capture_kept_now(void) {
        return kept_now;
}

void capture_clear(Capture *c) {
        kept_now -= c->head_size + c->tail_size;
        free(c->head);
        free(c->tail);
        *c = (Capture){ .max = c->max };
}

/* Doubles up to @max. */
static int grow(char **buf, size_t *size, size_t wanted, size_t max) {
        size_t new_size = *size ? *size : SIZE_FIRST;

        if (wanted <= *size)
                return 0;
        while (new_size < wanted)
                new_size *= 2;
        new_size = MIN(new_size, max);
        if (kept_now + new_size - *size > CAPTURE_BUDGET)
                return -ENOBUFS;
        char *p = realloc(*buf, new_size);
        if (!p)
                return -ENOMEM;
        kept_now += new_size - *size;
        *buf = p;
        *size = new_size;
        return 0;
}

/* A ring; where it cannot grow to its size it is a smaller one from then on. */
static int add_tail(Capture *c, const char *data, size_t length, size_t max) {
        int r = 0;

        while (length > 0 && !c->tail_is_ring) {
                size_t n = MIN(length, max - c->tail_used);
                r = grow(&c->tail, &c->tail_size, c->tail_used + n, max);
                if (r < 0) {
                        n = MIN(n, c->tail_size - c->tail_used);
                        c->tail_is_ring = true;
                }
                if (n > 0)
                        memcpy(c->tail + c->tail_used, data, n);
                c->tail_used += n;
                data += n;
                length -= n;
                if (c->tail_used == max)
                        c->tail_is_ring = true;
        }
        if (c->tail_used == 0)
                return r;
        if (length > c->tail_used) { /* only its own tail stays */
                data += length - c->tail_used;
                length = c->tail_used;
        }
        while (length > 0) {
                size_t n = MIN(length, c->tail_used - c->tail_at);
                memcpy(c->tail + c->tail_at, data, n);
                c->tail_at = (c->tail_at + n) % c->tail_used;
                data += n;
                length -= n;
        }
        return r;
}

int capture_add(Capture *c, const char *data, size_t length) {
        size_t head_max = (size_t) (c->max - c->max / 2), tail_max = (size_t) (c->max / 2);
        size_t n = c->head_is_full ? 0 : MIN(length, head_max - c->head_used);

        int r = 0;

        c->total += length;
        if (n > 0) {
                r = grow(&c->head, &c->head_size, c->head_used + n, head_max);
                if (r < 0)
                        n = MIN(n, c->head_size - c->head_used);
                if (n > 0)
                        memcpy(c->head + c->head_used, data, n);
                c->head_used += n;
        }
        if (n < length) {
                c->head_is_full = true;
                int k = add_tail(c, data + n, length - n, tail_max);
                r = r < 0 ? r : k;
        }
        return r;
}

char *capture_join(const Capture *c, size_t *ret_length) {
        size_t length = c->head_used + c->tail_used;
        char *p = malloc(length + 1);

        if (!p)
                return NULL;
        if (c->head_used > 0)
                memcpy(p, c->head, c->head_used);
        if (c->tail_used > 0) {
                size_t old = c->tail_used - c->tail_at; /* the oldest bytes lie behind the place of the next */
                memcpy(p + c->head_used, c->tail + c->tail_at, old);
                memcpy(p + c->head_used + old, c->tail, c->tail_at);
        }
        p[length] = '\0';
        *ret_length = length;
        return p;
}
