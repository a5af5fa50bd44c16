/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http-routes.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/websocket.h"

#define STREAM_PIECE 1000U

static void check(bool condition) {
        if (!condition)
                abort();
}

static void answer_text(HttpRequest *r, const char *text) {
        char *copy = strdup(text);

        check(copy);
        http_answer_text(r, 200, "text/plain", copy);
}

static void on_open(HttpRequest *r, void *userdata) {
        ((HttpRoutes *) userdata)->n_calls++;
        answer_text(r, "open");
}

static void on_owner(HttpRequest *r, void *userdata) {
        const char *owner = http_request_owner(r);

        ((HttpRoutes *) userdata)->n_calls++;
        answer_text(r, owner ? owner : "");
}

static void on_parts(HttpRequest *r, void *userdata) {
        char text[512];

        ((HttpRoutes *) userdata)->n_calls++;
        (void) snprintf(text, sizeof text, "%s|%s", http_request_parameter(r, 0), http_request_parameter(r, 1));
        answer_text(r, text);
}

static int add_argument(const char *name, const char *value, void *userdata) {
        char *text = userdata;
        size_t used = strlen(text);

        (void) snprintf(text + used, 512 - used, "%s=%s;", name, value);
        return 0;
}

static void on_arguments(HttpRequest *r, void *userdata) {
        char text[512] = "";

        ((HttpRoutes *) userdata)->n_calls++;
        (void) http_request_each_argument(r, add_argument, text);
        answer_text(r, text);
}

static void on_echo(HttpRequest *r, void *userdata) {
        size_t length;
        const char *body = http_request_body(r, &length);
        char *copy = malloc(length + 1);

        ((HttpRoutes *) userdata)->n_calls++;
        check(copy && body[length] == '\0');
        memcpy(copy, body, length + 1);
        http_request_set_header(r, "X-Echo", "yes");
        http_request_set_header(r, "X-Evil", "a\r\nX-Injected: yes");
        http_answer_bytes(r, 200, "application/octet-stream", copy, length);
}

static void on_refusal(HttpRequest *r, void *userdata) {
        Error error = { 0 };

        ((HttpRoutes *) userdata)->n_calls++;
        int k = error_set_field(
                &error, ERROR_QUOTA, "a\"b", "5 things", "Too many \xe2\x82\xac: \"%.3s\".", "a\xe2\x82\xac");
        error.retry_after = 7;
        http_answer_error(r, &error, k);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        HttpRoutes *h = userdata;

        h->n_cancelled++;
        if (h->waiting == r)
                h->waiting = NULL;
        if (h->held == r)
                h->held = NULL;
}

static void on_later(HttpRequest *r, void *userdata) {
        HttpRoutes *h = userdata;

        h->n_calls++;
        if (h->waiting) {
                answer_text(r, "another waits");
                return;
        }
        h->waiting = r;
        http_request_defer(r, on_cancelled, h);
}

static size_t on_piece(HttpRequest *r, const char *data, size_t size, void *userdata) {
        HttpRoutes *h = userdata;
        char text[32];

        (void) data;
        if (size == 0) {
                h->held = NULL;
                (void) snprintf(text, sizeof text, "%zu", h->n_body);
                answer_text(r, text);
                return 0;
        }
        size_t n = h->hold ? (size + 1) / 2 : size;
        h->held = n < size ? r : NULL;
        h->n_body += n;
        return n;
}

static void on_stream(HttpRequest *r, void *userdata) {
        HttpRoutes *h = userdata;

        h->n_calls++;
        h->n_body = 0;
        http_request_defer(r, on_cancelled, h);
        http_body_receive(r, on_piece, h);
}

static ssize_t on_flow_read(HttpRequest *r, char *buf, size_t size, void *userdata) {
        HttpRoutes *h = userdata;
        size_t n = MIN(MIN(size, h->n_flow), STREAM_PIECE);

        (void) r;
        if (n == 0)
                return HTTP_STREAM_END;
        memset(buf, 'x', n);
        h->n_flow -= n;
        return (ssize_t) n;
}

static void on_flow(HttpRequest *r, void *userdata) {
        HttpRoutes *h = userdata;

        h->n_calls++;
        http_stream_begin(r, 200, "text/plain", HTTP_LENGTH_UNKNOWN, on_flow_read, on_cancelled, h);
}

static void on_message(WebSocket *w, bool text, const char *data, size_t length, void *userdata) {
        (void) userdata;
        if (websocket_room(w) >= length)
                (void) websocket_send(w, text, data, length);
}

static void on_closed(void *userdata) {
        ((HttpRoutes *) userdata)->n_sockets--;
}

static void on_socket(HttpRequest *r, void *userdata) {
        static const WebSocketHandlers handlers = { .message = on_message, .closed = on_closed };
        HttpRoutes *h = userdata;

        h->n_calls++;
        h->n_sockets++;
        if (websocket_accept(r, http_request_event(r), &handlers, h) < 0)
                h->n_sockets--;
}

/* clang-format off */
static const HttpRoute routes[] = {
        { "GET",    "/open",          0,                   HTTP_ROUTE_OPEN,   on_open },
        { "GET",    "/owner",         0,                   0,                 on_owner },
        { "GET",    "/parts/{}/x/{}", 0,                   HTTP_ROUTE_OPEN,   on_parts },
        { "GET",    "/arguments",     0,                   HTTP_ROUTE_OPEN,   on_arguments },
        { "POST",   "/echo",          HTTP_BODY_SETTING,   HTTP_ROUTE_OPEN,   on_echo },
        { "PUT",    "/echo",          10,                  HTTP_ROUTE_OPEN,   on_echo },
        { "POST",   "/locked",        HTTP_BODY_SETTING,   0,                 on_echo },
        { "GET",    "/refusal",       0,                   HTTP_ROUTE_OPEN,   on_refusal },
        { "GET",    "/later",         0,                   HTTP_ROUTE_OPEN,   on_later },
        { "POST",   "/stream",        HTTP_BODY_UNLIMITED, HTTP_ROUTE_OPEN | HTTP_ROUTE_STREAM, on_stream },
        { "GET",    "/flow",          0,                   HTTP_ROUTE_OPEN,   on_flow },
        { "GET",    "/socket",        0,                   HTTP_ROUTE_OPEN,   on_socket },
        { "GET",    "/v1/sessions/{}/files",    0,         0,                 on_owner,   "read" },
        { "GET",    "/v1/sessions/{}/execs/{}", 0,         0,                 on_refusal, "output" },
        { "GET",    "/v1/sessions/{}/later",    0,         0,                 on_later,   "watch" },
        { 0 },
};
/* clang-format on */

static int authenticate(const HttpRequest *r, const char *key, char **owner, void *userdata, Error *error) {
        (void) r;
        (void) userdata;
        if (!key && http_request_check_anonymous(r, error) < 0)
                return -EACCES;
        if (!key || strcmp(key, "sesame") != 0)
                return error_set(error, ERROR_UNAUTHORIZED, "This key is not known here.");
        *owner = strdup("ali");
        return *owner ? 0 : -ENOMEM;
}

void http_routes_start(HttpRoutes *h, sd_event *event, unsigned connections_max) {
        static unsigned number;
        HttpServerSettings settings = {
                .routes = routes,
                .authenticate = authenticate,
                .userdata = h,
                .body_max = 1000,
                .connections_max = connections_max,
        };
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *h = (HttpRoutes){ 0 };
        h->path_length =
                1 + (unsigned) snprintf(h->path + 1, sizeof h->path - 1, "sandboxd-test-%d-%u", getpid(), ++number);
        memcpy(address.sun_path, h->path, h->path_length);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        check(fd >= 0 && bind(fd, (struct sockaddr *) &address,
                                 (socklen_t) (offsetof(struct sockaddr_un, sun_path) + h->path_length)) == 0);
        check(listen(fd, 128) == 0);
        check(http_server_new(event, &settings, &h->server) == 0 && http_server_listen(h->server, fd) == 0);
}

void http_routes_stop(HttpRoutes *h) {
        h->server = http_server_free(h->server);
        check(!h->waiting && !h->held);
}

int http_routes_connect(const HttpRoutes *h) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        memcpy(address.sun_path, h->path, h->path_length);
        check(fd >= 0 && connect(fd, (struct sockaddr *) &address,
                                 (socklen_t) (offsetof(struct sockaddr_un, sun_path) + h->path_length)) == 0);
        return fd;
}
