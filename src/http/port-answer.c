/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <strings.h>

#include "base/fd.h"
#include "http/port-internal.h"

/* What a server in a sandbox answers, on its way to the client. */

PortExchange *port_exchange_free(PortExchange *x) {
        port_use_end(&x->use);
        x->relay = relay_free(x->relay);
        x->dial = port_dial_free(x->dial);
        x->fetch = fetch_free(x->fetch);
        x->server = fetch_server_free(x->server);
        sockets_close(x->socks, PORT_SOCKETS_MAX);
        if (x->handle)
                http_upgrade_end(x->handle);
        free(x->body);
        free(x->answer);
        free(x);
        return NULL;
}

void port_exchange_on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        (void) port_exchange_free(userdata);
}

void port_exchange_fail(PortExchange *x, Error *error, int result) {
        HttpRequest *r = x->request;

        (void) port_exchange_free(x);
        http_answer_error(r, error, result);
}

/* The answer cannot be completed. */
static void break_off(PortExchange *x, int result) {
        Error error = { 0 };
        int k;

        x->fetch = fetch_free(x->fetch);
        if (x->answer_begun) {
                x->answer_broken = true;
                http_stream_wake(x->request); /* its next read says so and frees us */
                return;
        }
        if (x->no_memory)
                k = error_set(&error, ERROR_INTERNAL, "Out of memory; what was asked may have been done.");
        else if (result == -ECONNREFUSED)
                k = error_set_field(&error, ERROR_NO_SERVER, "port", NULL,
                        "Nothing in the sandbox listens on port %u of its loopback interface.", x->port);
        else if (result == -ETIMEDOUT)
                k = error_set_field(
                        &error, ERROR_NO_ANSWER, "port", NULL, "The server on port %u does not answer.", x->port);
        else if (result == -EPROTO)
                k = error_set_field(&error, ERROR_BAD_ANSWER, "port", NULL,
                        "What the server on port %u answers is not HTTP, or its head is too large.", x->port);
        else
                k = error_set_field(&error, ERROR_BAD_ANSWER, "port", NULL,
                        "The server on port %u ended the connection before its answer was complete.", x->port);
        port_exchange_fail(x, &error, k);
}

/* The session is no more. */
void port_exchange_on_session_ended(PortUse *u) {
        PortExchange *x = CONTAINER_OF(u, PortExchange, use);
        Error error = { 0 };

        if (!x->request)
                (void) port_exchange_free(x);
        else if (x->upgrading && x->answer_ended)
                x->answer_broken = true; /* the connection is about to be handed over, which finds out */
        else if (x->answer_begun)
                break_off(x, -ECONNRESET);
        else {
                int k = error_set(&error, ERROR_SESSION_ENDED, "The session has ended.");
                port_exchange_fail(x, &error, k);
        }
}

/* --- the answer, on its way to the client --- */

static ssize_t on_client_reads(HttpRequest *r, char *buf, size_t size, void *userdata) {
        PortExchange *x = userdata;

        (void) r;
        if (x->answer_used == 0 && x->answer_held && x->fetch) {
                x->answer_held = false;
                fetch_wake_data(x->fetch); /* may put more into the buffer at once */
        }
        size_t n = MIN(size, x->answer_used - x->answer_sent);
        if (n > 0) {
                memcpy(buf, x->answer + x->answer_sent, n);
                x->answer_sent += n;
                if (x->answer_sent == x->answer_used)
                        x->answer_sent = x->answer_used = 0;
                return (ssize_t) n;
        }
        free(take_ptr(x->answer)); /* the next may take long, and there may be many */
        if (!x->answer_broken && !x->answer_ended)
                return 0;
        bool broken = x->answer_broken;
        (void) port_exchange_free(x);
        return broken ? HTTP_STREAM_BROKEN : HTTP_STREAM_END;
}

static void copy_headers(PortExchange *x) {
        const char *connection = fetch_header(x->fetch, "Connection");

        /* first, since there is room for so many only, and the server inside may send as many */
        http_request_set_header(x->request, "Content-Security-Policy", PORT_POLICY);
        for (size_t i = 0; i < fetch_n_headers(x->fetch); i++) {
                FetchHeader h = fetch_header_at(x->fetch, i);
                bool drop;
                if (!port_answer_has(h.name, connection))
                        continue;
                _cleanup_free_ char *value = port_answer_value(h.name, h.value, x->prefix, x->port, &drop);
                if (!drop)
                        http_request_set_header(x->request, h.name, value ? value : h.value);
        }
}

void port_exchange_begin_answer(PortExchange *x) {
        uint64_t length = fetch_length(x->fetch);

        x->answer_waits = false;
        x->answer_begun = true;
        copy_headers(x);
        http_stream_begin(x->request, fetch_status(x->fetch), NULL,
                length == FETCH_SIZE_UNKNOWN ? HTTP_LENGTH_UNKNOWN : length, on_client_reads,
                port_exchange_on_cancelled, x);
}

static bool on_data(Fetch *f, const char *data, size_t size, void *userdata) {
        PortExchange *x = userdata;
        size_t limit = x->answer_whole ? PORT_ANSWER_WHOLE + PORT_BUFFER : PORT_BUFFER;

        (void) f;
        if (!x->answer && !x->no_memory)
                x->answer = malloc(PORT_ANSWER_WHOLE + PORT_BUFFER);
        assert(size <= PORT_BUFFER); /* the library's own buffer is smaller */
        if (!x->answer) {
                /* dropped up to its end: nobody would say when there is memory again */
                x->answer_broken = x->no_memory = true;
                if (x->answer_begun)
                        http_stream_wake(x->request);
                return true;
        }
        if (x->answer_used + size > limit) {
                x->answer_held = true;
                return false;
        }
        memcpy(x->answer + x->answer_used, data, size);
        x->answer_used += size;
        if (x->answer_begun)
                http_stream_wake(x->request);
        return true;
}

static void answer_whole(PortExchange *x) {
        HttpRequest *r = x->request;
        unsigned status = fetch_status(x->fetch);
        size_t length = x->answer_used;
        char *bytes = take_ptr(x->answer);

        copy_headers(x);
        (void) port_exchange_free(x);
        if (length > 0) {
                http_answer_bytes(r, status, NULL, bytes, length);
                return;
        }
        free(bytes);
        http_answer_empty(r, status);
}

static void on_head(Fetch *f, void *userdata) {
        PortExchange *x = userdata;
        unsigned status = fetch_status(f);
        uint64_t length = fetch_length(f);
        bool is_head = strcmp(http_request_method(x->request), "HEAD") == 0;

        if (status == 101) {
                const char *protocol = fetch_header(f, "Upgrade");
                if (!x->upgrading || !protocol)
                        x->answer_broken = true;
                else
                        port_exchange_upgrade(x, protocol);
                return;
        }
        x->upgrading = false;
        if (status == 204 || status == 304 ||
                (!is_head && length != FETCH_SIZE_UNKNOWN && length <= PORT_ANSWER_WHOLE)) {
                x->answer_whole = true;
                return;
        }
        if (x->body_ended)
                port_exchange_begin_answer(x);
        else
                x->answer_waits = true;
}

static void on_done(Fetch *f, int result, void *userdata) {
        PortExchange *x = userdata;

        (void) f;
        if (x->upgrading && x->answer_ended) {
                x->fetch = fetch_free(x->fetch); /* which is seen when it should be handed over */
                return;
        }
        if (result == -ECONNREFUSED && port_exchange_try_next(x) == 0)
                return;
        if (result < 0 || x->answer_broken) {
                break_off(x, x->answer_broken ? -EPROTO : result);
                return;
        }
        if (!x->answer_begun && !x->answer_waits) {
                answer_whole(x);
                return;
        }
        x->answer_ended = true;
        if (x->answer_waits) { /* what the client still sends is of no interest any more */
                x->body_ended = true;
                port_exchange_begin_answer(x);
        }
        x->fetch = fetch_free(x->fetch);
        http_stream_wake(x->request);
}

const FetchOps port_exchange_ops = { .head = on_head, .data = on_data, .read = port_exchange_read, .done = on_done };
