/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/pieces.h"

#include <string.h>

void http_pieces_clear(HttpPieces *p) {
        free(take_ptr(p->text));
        p->length = p->sent = 0;
}

int http_pieces_put(HttpPieces *p, char *text) {
        http_pieces_clear(p);
        p->text = text;
        p->length = text ? strlen(text) : 0;
        return text ? 1 : HTTP_STREAM_BROKEN;
}

static ssize_t on_read(HttpRequest *r, char *buf, size_t size, void *userdata) {
        HttpPieces *p = userdata;
        size_t used = 0;
        int k = 1;

        (void) r;
        while (used < size) {
                if (p->sent == p->length) {
                        k = p->next(p);
                        if (k <= 0)
                                break;
                }
                size_t n = MIN(size - used, p->length - p->sent);
                memcpy(buf + used, p->text + p->sent, n);
                p->sent += n;
                used += n;
        }
        if (used > 0)
                return (ssize_t) used;
        p->waiting = k == 0;
        if (k < 0)
                p->over(p);
        return k;
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        HttpPieces *p = userdata;

        (void) r;
        p->over(p);
}

void http_pieces_begin(HttpPieces *p, unsigned status, const char *content_type) {
        http_stream_begin(p->request, status, content_type, HTTP_LENGTH_UNKNOWN, on_read, on_cancelled, p);
}

void http_pieces_wake(HttpPieces *p) {
        if (!p->waiting)
                return;
        p->waiting = false;
        http_stream_wake(p->request);
}
