/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fetch/fetch-internal.h"

typedef struct Writer {
        char *text, *at, *end;
} Writer;

static void put(Writer *w, const char *text, size_t size) {
        assert((size_t) (w->end - w->at) >= size);
        memcpy(w->at, text, size);
        w->at += size;
}

static void put_text(Writer *w, const char *text) {
        put(w, text, strlen(text));
}

static void put_header(Writer *w, const char *name, const char *value) {
        put_text(w, name);
        put(w, ": ", 2);
        put_text(w, value);
        put(w, "\r\n", 2);
}

/* Whoever called has looked at it; this is what nobody may get wrong. */
static bool is_one_line(const char *text) {
        return !strpbrk(text, "\r\n");
}

int fetch_make_text(Fetch *f, const FetchRequest *q) {
        const char *host = f->server->authority;
        size_t size = strlen(q->method) + strlen(q->target) + strlen(host) + 96;
        char length[24];
        Writer w;

        if (!is_one_line(q->method) || !is_one_line(q->target))
                return -EINVAL;
        for (size_t i = 0; i < q->n_headers; i++) {
                const FetchHeader *h = q->headers + i;
                if (!is_one_line(h->name) || !is_one_line(h->value))
                        return -EINVAL;
                if (strcasecmp(h->name, "Host") == 0)
                        host = NULL;
                size += strlen(h->name) + strlen(h->value) + 4;
        }
        w.text = w.at = f->text = malloc(size);
        if (!f->text)
                return -ENOMEM;
        w.end = w.text + size;

        put_text(&w, q->method);
        put(&w, " ", 1);
        put_text(&w, q->target);
        put_text(&w, " HTTP/1.1\r\n");
        if (host)
                put_header(&w, "Host", host);
        for (size_t i = 0; i < q->n_headers; i++)
                put_header(&w, q->headers[i].name, q->headers[i].value);
        if (q->body) {
                (void) snprintf(length, sizeof length, "%llu", (unsigned long long) q->body_size);
                put_header(&w, "Content-Length", length);
        }
        put(&w, "\r\n", 2);
        f->text_size = (size_t) (w.at - w.text);
        f->body = q->body;
        f->body_size = q->body ? (size_t) q->body_size : 0;
        return 0;
}
