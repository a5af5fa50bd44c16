/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "http/server.h"

/* A server with routes that do all a handler can do, for tests. Key "sesame" belongs to "ali". */

typedef struct HttpRoutes {
        HttpServer *server;
        char path[108]; /* of its socket, in the abstract namespace: begins with NUL */
        unsigned path_length;

        HttpRequest *waiting; /* on "GET /later", to be answered by the test */
        unsigned n_cancelled;
        unsigned n_calls; /* of all handlers */
        size_t n_body;    /* bytes that "POST /stream" took */
        bool hold;        /* it takes only half of what it gets */
        HttpRequest *held;
        size_t n_flow;      /* bytes that "GET /flow" gives */
        unsigned n_sockets; /* of "GET /socket", a WebSocket that gives messages back, that are not closed */
} HttpRoutes;

/* Begins to listen. Fails the test when that does not work. */
void http_routes_start(HttpRoutes *h, sd_event *event, unsigned connections_max);
void http_routes_stop(HttpRoutes *h);

/* A new connection to it, non-blocking. */
int http_routes_connect(const HttpRoutes *h);
