/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/port-internal.h"

/*
 * A reverse proxy to servers inside sandboxes. The connection is a sandbox's and its answers are hostile; a library
 * reads them. Bodies are passed on as they come, with one small buffer each. With "Upgrade: sandboxd-tcp" the client
 * gets the connection itself, for any protocol.
 */

#define CONNECT_PATIENCE_USEC (10 * USEC_PER_SEC)
#define HEAD_PATIENCE_USEC (300 * USEC_PER_SEC)
#define METHODS "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
#define RAW "sandboxd-tcp"

/* --- the request --- */

static size_t on_client_writes(HttpRequest *r, const char *data, size_t size, void *userdata) {
        PortExchange *x = userdata;

        (void) r;
        if (size == 0) {
                if (x->body_ended)
                        return 0;
                x->body_ended = true;
                if (x->fetch && x->answer_waits)
                        port_exchange_begin_answer(x);
                else if (x->fetch)
                        fetch_wake_read(x->fetch);
                return 0;
        }
        if (x->body_sent > 0) {
                memmove(x->body, x->body + x->body_sent, x->body_used - x->body_sent);
                x->body_used -= x->body_sent;
                x->body_sent = 0;
        }
        size_t n = MIN(size, PORT_BUFFER - x->body_used);
        memcpy(x->body + x->body_used, data, n);
        x->body_used += n;
        x->body_held = n < size;
        if (x->fetch)
                fetch_wake_read(x->fetch);
        return n;
}

ssize_t port_exchange_read(Fetch *f, char *buf, size_t size, void *userdata) {
        PortExchange *x = userdata;
        size_t n = MIN(size, x->body_used - x->body_sent);

        (void) f;
        if (n == 0)
                return x->body_ended ? FETCH_END : 0;
        memcpy(buf, x->body + x->body_sent, n);
        x->body_sent += n;
        if (x->body_held && x->body_sent == x->body_used) {
                x->body_held = false;
                http_body_wake(x->request);
        }
        return (ssize_t) n;
}

/* The library is set up when it is needed first: most workers never do. */
static int connect_to(PortExchange *x, bool ipv6) {
        char url[40];

        int r = x->api->fetcher ? 0 : fetcher_new(x->event, &x->api->fetcher);
        if (r < 0)
                return r;
        (void) snprintf(url, sizeof url, "http://%s:%u", ipv6 ? "[::1]" : "127.0.0.1", x->port);
        x->server = fetch_server_free(x->server);
        return fetch_server_new(x->api->fetcher, url, &x->server);
}

/* Sends the request over the socket @i. */
static int send_request(PortExchange *x, size_t i, Error *error) {
        const char *target = port_target(http_request_target(x->request), x->prefix);
        _cleanup_free_ char *whole = NULL;
        PortHead head;

        if (x->socks[i] <= 0)
                return -EBADF; /* never one of our own, which would reach the host */
        int r = connect_to(x, i > 0);
        if (r == 0)
                r = port_head_make(&head, x->request, x->port, x->prefix, error);
        if (r < 0)
                return r;
        if (target[0] != '/') {
                if (asprintf(&whole, "/%s", target) < 0)
                        return -ENOMEM;
                target = whole;
        }
        x->upgrading = head.upgrade && x->body_length == 0;
        FetchRequest q = {
                .method = http_request_method(x->request),
                .target = target,
                .headers = head.headers,
                .n_headers = head.n,
                .body_size = x->body_length,
                .connect_patience = CONNECT_PATIENCE_USEC,
                .head_patience = HEAD_PATIENCE_USEC,
                .upgrade = x->upgrading,
                .sock = x->socks[i],
        };
        if (q.body_size == 0 && (strcmp(q.method, "POST") == 0 || strcmp(q.method, "PUT") == 0))
                q.body = ""; /* says that there is none */
        r = fetch_start(x->server, &q, &port_exchange_ops, x, &x->fetch);
        if (r == 0)
                x->socks[i] = -EBADF;
        return r;
}

/* The server may know nothing but IPv6. */
int port_exchange_try_next(PortExchange *x) {
        Error error = { 0 };

        if (x->socks[1] < 0)
                return -ENOENT;
        x->fetch = fetch_free(x->fetch);
        int r = send_request(x, 1, &error);
        error_clear(&error);
        return r;
}

/* --- another protocol --- */

static void on_relay_ended(Relay *r, void *userdata) {
        (void) r;
        (void) port_exchange_free(userdata);
}

static int begin_relay(PortExchange *x, int client, const char *extra, size_t extra_length) {
        int server = x->raw ? x->socks[0] : x->fetch ? fetch_take_over(x->fetch) : -EBADF;

        if (server < 0 || x->answer_broken)
                return -ENOTCONN;
        int r = relay_new(x->event, client, server, on_relay_ended, x, &x->relay);
        if (r == 0)
                r = relay_add(x->relay, true, x->answer, x->answer_used);
        if (r == 0)
                r = relay_add(x->relay, false, extra, extra_length);
        return r < 0 ? r : relay_begin(x->relay);
}

static void on_upgraded(int sock, const char *extra, size_t extra_length, void *handle, void *userdata) {
        PortExchange *x = userdata;

        x->request = NULL;
        x->handle = handle;
        if (begin_relay(x, sock, extra, extra_length) < 0)
                (void) port_exchange_free(x);
}

void port_exchange_upgrade(PortExchange *x, const char *protocol) {
        if (x->fetch)
                for (size_t i = 0; i < fetch_n_headers(x->fetch); i++) {
                        FetchHeader h = fetch_header_at(x->fetch, i);
                        if (strncasecmp(h.name, "Sec-WebSocket-", 14) == 0)
                                http_request_set_header(x->request, h.name, h.value);
                }
        x->answer_ended = x->answer_whole = true; /* what comes at once is kept */
        http_upgrade(x->request, protocol, on_upgraded, x);
}

/* --- the way in --- */

static void on_sockets(int result, int socks[static PORT_SOCKETS_MAX], Error *error, void *userdata) {
        PortExchange *x = userdata;

        x->dial = NULL;
        memcpy(x->socks, socks, sizeof x->socks);
        if (result == 0 && !x->raw)
                result = send_request(x, 0, error);
        if (result < 0) {
                port_exchange_fail(x, error, result);
                return;
        }
        if (x->raw) {
                x->upgrading = true;
                port_exchange_upgrade(x, RAW);
        }
}

/* Is the request one that can be passed on? */
static int read_head(PortExchange *x, Error *error) {
        HttpRequest *r = x->request;
        const char *length = http_request_header(r, "Content-Length"), *method = http_request_method(r),
                   *upgrade = http_request_header(r, "Upgrade");

        if (strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(method) || strlen(method) > 16 ||
                strcmp(method, "CONNECT") == 0 || strcmp(method, "TRACE") == 0) {
                http_request_set_header(r, "Allow", METHODS);
                return error_set_field(error, ERROR_METHOD_NOT_ALLOWED, "method", METHODS, "This method is not known.");
        }
        if (port_parse(http_request_parameter(r, 1), &x->port) < 0)
                return error_set_field(error, ERROR_INVALID_VALUE, "port", "1 to 65535",
                        "The port has to be a number from 1 to 65535, without leading zeros.");
        (void) snprintf(
                x->prefix, sizeof x->prefix, "/v1/sessions/%.64s/ports/%u", http_request_parameter(r, 0), x->port);
        const char *target = port_target(http_request_target(r), x->prefix);
        for (const char *p = target; p && *p; p++)
                if (*p <= ' ' || *p >= 0x7f)
                        target = NULL;
        if (!target)
                return error_set_field(
                        error, ERROR_MALFORMED, "path", NULL, "The path is not written as an address has to be.");
        if (http_request_header(r, "Transfer-Encoding"))
                x->body_length = FETCH_SIZE_UNKNOWN;
        else if (length && parse_unsigned(length, &x->body_length) < 0)
                return error_set_field(error, ERROR_MALFORMED, "Content-Length", NULL, "This is no length.");
        x->body_ended = x->body_length == 0;
        if (!x->body_ended && !(x->body = malloc(PORT_BUFFER)))
                return -ENOMEM;
        x->raw = upgrade && strcasecmp(upgrade, RAW) == 0 && x->body_ended;
        return 0;
}

void http_port(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        Session *s = http_find_session(r, api);
        Error error = { 0 };

        if (!s)
                return;
        PortExchange *x = calloc(1, sizeof *x);
        if (!x) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        x->api = api;
        x->event = http_request_event(r);
        x->request = r;
        x->socks[0] = x->socks[1] = -EBADF;
        x->use.ended = port_exchange_on_session_ended;
        int k = read_head(x, &error);
        if (k == 0)
                k = port_use(s, &x->use, &error);
        if (k == 0)
                k = port_dial(s, x->raw ? x->port : 0, on_sockets, x, &x->dial, &error);
        if (k < 0) {
                port_exchange_fail(x, &error, k);
                return;
        }
        http_request_defer(r, port_exchange_on_cancelled, x);
        http_body_receive(r, on_client_writes, x);
}
