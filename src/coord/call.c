/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/call.h"

#include <string.h>

#define CONNECT_PATIENCE_USEC (1 * USEC_PER_SEC)

static bool on_data(Fetch *f, const char *data, size_t size, void *userdata) {
        Call *c = userdata;
        size_t wanted = c->body_used + size + 1;

        (void) f;
        if (wanted > CALL_ANSWER_MAX) {
                c->body_used = SIZE_MAX / 2; /* it stays too long */
                return true;
        }
        if (wanted > c->body_size) {
                size_t new_size = MAX(wanted, 2 * c->body_size);
                char *p = realloc(c->body, new_size);
                if (!p) {
                        c->body_used = SIZE_MAX / 2;
                        return true;
                }
                c->body = p;
                c->body_size = new_size;
        }
        memcpy(c->body + c->body_used, data, size);
        c->body_used += size;
        c->body[c->body_used] = '\0';
        return true;
}

static void on_done(Fetch *f, int result, void *userdata) {
        Call *c = userdata;

        worker_wait_end(c->worker, &c->waiter);
        c->was_sent = fetch_was_sent(f);
        if (result == 0 && c->body_used > CALL_ANSWER_MAX)
                result = -EPROTO;
        c->done(c, result, c->userdata);
}

static const FetchOps call_ops = { .data = on_data, .done = on_done };

static void on_lost(WorkerWaiter *w) {
        Call *c = CONTAINER_OF(w, Call, waiter);

        c->was_sent = fetch_was_sent(c->fetch);
        c->fetch = fetch_free(c->fetch);
        c->done(c, -ECONNRESET, c->userdata);
}

int call_start(Worker *w, const CallRequest *q, CallDone *done, void *userdata, Call **ret) {
        _cleanup_(call_freep) Call *c = calloc(1, sizeof *c);
        FetchRequest request = {
                .method = q->method,
                .target = q->target,
                .headers = q->headers,
                .n_headers = q->n_headers,
                .body = q->body                          ? q->body
                        : strcmp(q->method, "POST") == 0 ? ""
                                                         : NULL,
                .body_size = q->body ? q->body_size : 0,
                .connect_patience = CONNECT_PATIENCE_USEC,
                .patience = q->patience,
        };

        if (!c)
                return -ENOMEM;
        c->worker = w;
        c->done = done;
        c->userdata = userdata;
        c->waiter.lost = on_lost;
        int r = fetch_start(w->server, &request, &call_ops, c, &c->fetch);
        if (r < 0)
                return r;
        worker_wait(w, &c->waiter);
        *ret = take_ptr(c);
        return 0;
}

Call *call_free(Call *c) {
        if (!c)
                return NULL;
        c->fetch = fetch_free(c->fetch);
        worker_wait_end(c->worker, &c->waiter);
        free(c->body);
        free(c);
        return NULL;
}

unsigned call_status(const Call *c) {
        return fetch_status(c->fetch);
}

const char *call_header(const Call *c, const char *name) {
        return fetch_header(c->fetch, name);
}
