/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/capture.h"

#include <string.h>

#define SIZE_FIRST 4096U

void capture_clear(Capture *c) {
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
        char *p = realloc(*buf, new_size);
        if (!p)
                return -ENOMEM;
        *buf = p;
        *size = new_size;
        return 0;
}

static int add_tail(Capture *c, const char *data, size_t length, size_t max) {
        if (max == 0)
                return 0;
        if (length > max) { /* only its own tail stays */
                data += length - max;
                length = max;
        }
        if (c->tail_used < max) {
                size_t n = MIN(length, max - c->tail_used);
                if (grow(&c->tail, &c->tail_size, c->tail_used + n, max) < 0)
                        return -ENOMEM;
                memcpy(c->tail + c->tail_used, data, n);
                c->tail_used += n;
                data += n;
                length -= n;
        }
        while (length > 0) {
                size_t n = MIN(length, max - c->tail_at);
                memcpy(c->tail + c->tail_at, data, n);
                c->tail_at = (c->tail_at + n) % max;
                data += n;
                length -= n;
        }
        return 0;
}

int capture_add(Capture *c, const char *data, size_t length) {
        size_t head_max = (size_t) (c->max - c->max / 2), tail_max = (size_t) (c->max / 2);
        size_t n = MIN(length, head_max - c->head_used);

        c->total += length;
        if (n > 0) {
                if (grow(&c->head, &c->head_size, c->head_used + n, head_max) < 0)
                        return -ENOMEM;
                memcpy(c->head + c->head_used, data, n);
                c->head_used += n;
        }
        return n < length ? add_tail(c, data + n, length - n, tail_max) : 0;
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
