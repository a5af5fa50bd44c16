/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <err.h>

#include "bench.h"

void herd_resize(Bench *b, Herd *h, unsigned n) {
        if (n > h->size) {
                h->ids = reallocarray(h->ids, n, sizeof *h->ids);
                if (!h->ids)
                        err(EXIT_FAILURE, "sessions");
                h->size = n;
        }
        while (h->n < n)
                (void) session_create(&b->client, NULL, h->ids[h->n++]);
        while (h->n > n)
                (void) session_delete(&b->client, h->ids[--h->n]);
}

void herd_free(Bench *b, Herd *h) {
        herd_resize(b, h, 0);
        free(h->ids);
}
