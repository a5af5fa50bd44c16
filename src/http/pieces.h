/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "http/request.h"

/* An answer that is made piece by piece, the next one when the client has taken the last. Lies in what makes it. */
typedef struct HttpPieces HttpPieces;

struct HttpPieces {
        HttpRequest *request; /* borrowed */
        /* Makes the next piece by http_pieces_put(). Returns 1, 0 when there is none now (http_pieces_wake() follows),
         * HTTP_STREAM_END or HTTP_STREAM_BROKEN. */
        int (*next)(HttpPieces *p);
        /* It has ended, one way or another. */
        void (*over)(HttpPieces *p);
        char *text; /* owned */
        size_t length, sent;
        bool waiting;
};

void http_pieces_begin(HttpPieces *p, unsigned status, const char *content_type);
void http_pieces_clear(HttpPieces *p);
void http_pieces_wake(HttpPieces *p);

/* @text: taken; NULL: out of memory. Returns 1, or HTTP_STREAM_BROKEN. */
int http_pieces_put(HttpPieces *p, char *text);
