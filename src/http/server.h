/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "base/clock.h"
#include "error/error.h"
#include "http/request.h"

/* HTTP/1.1 on an event loop: listening, limits, routing. Knows nothing of what the routes do. */

typedef struct HttpServer HttpServer;

typedef void HttpHandler(HttpRequest *r, void *userdata);

typedef enum HttpRouteFlags {
        HTTP_ROUTE_OPEN = 1 << 0,   /* needs no key */
        HTTP_ROUTE_STREAM = 1 << 1, /* the handler gets the body piece by piece, see http_body_receive() */
} HttpRouteFlags;

/* A pattern's "{}" stands for one segment of the path, which the request keeps as parameter; "*" at its end for any
 * rest. The first row that fits is taken. */
typedef struct HttpRoute {
        const char *method; /* "*": any */
        const char *pattern;
        uint64_t body_max; /* bytes; HTTP_BODY_SETTING: the configured limit */
        HttpRouteFlags flags;
        HttpHandler *handler;
        const char *audit; /* what it is called in the log of what was done, or NULL: it changes and tells nothing */
} HttpRoute;

#define HTTP_BODY_SETTING UINT64_MAX
#define HTTP_BODY_UNLIMITED (UINT64_MAX - 1) /* for bodies that go on as they come */

/* Who sent the request? Sets @owner (a new string, or NULL for everyone) or @error (-errno is returned).
 * @key: what the client gave, or NULL. */
typedef int HttpAuthenticate(const HttpRequest *r, const char *key, char **owner, void *userdata, Error *error);

typedef struct HttpServerSettings {
        const HttpRoute *routes; /* ended by a row without method */
        HttpAuthenticate *authenticate;
        void *userdata; /* of handlers and authenticate */
        uint64_t body_max;
        unsigned connections_max;
        bool keep_targets; /* for http_request_target() */
} HttpServerSettings;

typedef struct HttpCounters {
        uint64_t requests;
        uint64_t answers[6];  /* by the first digit of the status */
        uint64_t connections; /* now */
        uint64_t refused;     /* connections that were closed for want of room */
} HttpCounters;

int http_server_new(sd_event *event, const HttpServerSettings *settings, HttpServer **ret);
HttpServer *http_server_free(HttpServer *s);
DEFINE_CLEANUP(HttpServer, http_server_free);

void http_server_configure(HttpServer *s, uint64_t body_max, unsigned connections_max);

/* An address that other machines reach is not served without keys, unless that is wanted: @guarded is either. @what:
 * stands for an address that cannot be told. Returns 0, or -EPERM after it was logged. */
int http_check_public(int fd, const char *what, bool guarded);

/* Serves what connects to @fd (taken), a listening stream socket. */
int http_server_listen(HttpServer *s, int fd);

/* Serves requests of this process, on a socket without a file: they need no key, and say by X-Sandboxd-Owner whose they
 * are. @name: of the socket, an abstract one. Whoever else connects is cut off. */
#define HTTP_OWN_NAME_MAX 16U
int http_server_listen_own(HttpServer *s, char name[static HTTP_OWN_NAME_MAX]);

/* Closes the connections of requests that are being served and @wanted. */
void http_server_close(HttpServer *s, bool (*wanted)(const HttpRequest *r, void *userdata), void *userdata);

/* While it does not accept, connections wait in the kernel. It does at first. */
void http_server_set_accepting(HttpServer *s, bool accepting);

/* Accepts no more; what is connected is served. */
void http_server_stop_listening(HttpServer *s);

const HttpCounters *http_server_counters(const HttpServer *s);

/* How many requests are being served. */
unsigned http_server_n_busy(const HttpServer *s);
