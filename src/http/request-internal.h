/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <microhttpd.h>
#include <sys/queue.h>

#include "http/linger.h"
#include "http/request.h"
#include "http/server.h"

/* Shared by server.c, request.c and connection.c only. */

#define HTTP_PARAMETERS_MAX 3U
#define HTTP_HEADERS_MAX 96U

typedef struct HttpConnection {
        HttpServer *server; /* borrowed */
        int fd;             /* borrowed from the library */
        bool busy;          /* a request is being read or served */
        bool reading;
        bool closing;                  /* it was shut down, which the library has not noticed yet */
        bool bad_target;               /* of the request that is being read */
        bool unread;                   /* it ends before all that the client sends is read */
        HttpRequest *request;          /* borrowed: that is being read or served, or NULL */
        usec_t piece;                  /* monotonic: when the last part of a body came */
        usec_t seen;                   /* monotonic: since when it might have been stuck at the last look */
        int seen_unread;               /* and what had come that was not read, in bytes */
        unsigned n_unread;             /* looks on end at which it was still there */
        bool tried;                    /* it is held to see whether it is stuck */
        bool doubtful;                 /* and will be let go to see that */
        unsigned guilt;                /* so many times the library began to circle when it was let go */
        usec_t accused;                /* in that time of circling */
        usec_t held;                   /* monotonic: since when it is not read from, for we are not ready; 0: it is */
        char caller[72];               /* where it comes from, for the log */
        bool own;                      /* see http_server_listen_own() */
        char *target;                  /* owned: of the request that is being read or served; kept on demand */
        usec_t since;                  /* monotonic: accepted, or the last request ended */
        usec_t deadline;               /* of the head or the body that is being read */
        struct MHD_Connection *broken; /* see http_server_break() */
        sd_event_source *hangup;       /* tells once that the client has gone; from the first request that waits on */
        bool gone;                     /* it has told so */
        TAILQ_ENTRY(HttpConnection) entry;
} HttpConnection;

/* Who is stuck, see stuck.c? */
typedef enum HttpTrial {
        HTTP_TRIAL_NONE,
        HTTP_TRIAL_HOLDING,   /* all that may be it are held */
        HTTP_TRIAL_RELEASING, /* and are let go, one after another */
} HttpTrial;

typedef TAILQ_HEAD(HttpConnectionList, HttpConnection) HttpConnectionList;

struct HttpRequest {
        HttpServer *server;                /* borrowed */
        struct MHD_Connection *connection; /* borrowed */
        HttpConnection *client;            /* borrowed */
        const HttpRoute *route;
        char *method;
        char *owner;
        char id[HTTP_REQUEST_ID_MAX + 1];
        char *parameters[HTTP_PARAMETERS_MAX]; /* owned */
        char *body;
        size_t body_used, body_size;
        uint64_t body_max;

        bool unclear;   /* the head may mean several things */
        bool chunked;   /* the body */
        bool refused;   /* answered before the body was read */
        bool head_over; /* the library has been told that the body is wanted */
        bool running;   /* inside the handler */
        bool suspended;
        bool answered;
        struct MHD_Response *response; /* owned, until it is queued */
        unsigned status;
        struct HttpAnswerHeader {
                char *name, *value;
        } * headers; /* owned */
        unsigned n_headers;
        bool incomplete; /* there was no memory for one of them */

        void (*cancelled)(HttpRequest *r, void *userdata);
        void *userdata;
        bool watched; /* that the client goes is heard of */

        HttpStreamRead *stream_read; /* of an answer that is being streamed */
        size_t stream_block;         /* bytes, 0: the default */
        bool stream_ended;
        void (*release)(void *data);
        void *release_data;
        HttpUpgraded *upgraded;
        void *upgrade_userdata;
        HttpBodyWrite *body_write;
        void *body_userdata;
        bool body_ended;
        uint64_t body_paid; /* bytes of it that have bought time */
};

struct HttpServer {
        sd_event *event; /* borrowed */
        HttpServerSettings settings;
        struct MHD_Daemon *daemon;
        sd_event_source *io, *again, *tick;
        HttpLinger *linger;
        HttpConnectionList connections; /* idle ones in order of their last use come before busy ones */
        unsigned n_connections, n_busy, n_broken;
        HttpCounters counters;
        int reserve; /* owned: a descriptor to give up when there are none left, so that accept() can refuse */
        uint64_t id_prefix, last_id;
        unsigned refusals_left; /* that may be told, see audit.c */
        uint64_t refusals_hidden;
        usec_t refusals_since;
        sd_event_source **listeners;
        size_t n_listeners;
        bool adding_own; /* the connection that is being added is of this process */
        usec_t circling; /* monotonic: since when the library has wanted to run at once each time; 0: it does not */
        usec_t looked;   /* then: when stuck connections were looked for */
        HttpTrial trial;
        HttpConnection *suspect; /* borrowed: that was let go last */
};

/* server.c: makes the library look at what has changed. */
void http_server_run_soon(HttpServer *s);
/* A stream ends in the middle, the library is about to hear so. It (0.9.75) then closes the connection, but does not
 * look at it again and keeps its descriptor until all that have been idle for longer are gone: so it is held, and let
 * go in the next turn. */
void http_server_break(HttpServer *s, HttpConnection *c, struct MHD_Connection *connection);

/* Answers in the middle of a body, and ends the connection. @detail: plain ASCII without quotes. */
void http_connection_refuse(HttpServer *s, HttpConnection *c, ErrorKind kind, const char *detail);

/* stuck.c: after a turn in which the library wanted to run at once each time, refuses those for whom it does so in vain;
 * and after one in which it was content, so that nobody is stuck but those that are held. */
void http_stuck_look(HttpServer *s);
void http_stuck_content(HttpServer *s);

/* request.c */
/* Nobody watches the connection any more. */
void http_connection_forget(HttpConnection *c);
HttpRequest *http_request_new(
        HttpServer *s, struct MHD_Connection *connection, HttpConnection *client, const char *method);
HttpRequest *http_request_free(HttpRequest *r);
void http_request_make_id(HttpRequest *r, const char *given);
int http_request_add_body(HttpRequest *r, const char *data, size_t size);
/* Gives the answer to the library. */
enum MHD_Result http_request_queue(HttpRequest *r);
/* Holds the connection until http_request_resume(), and notices meanwhile when the client goes. */
void http_request_suspend(HttpRequest *r);
void http_request_resume(HttpRequest *r);
/* The client is gone. */
void http_request_cancel(HttpRequest *r);
/* The same, and lets go of the connection. */
void http_request_abandon(HttpRequest *r);

/* head.c */
int http_head_check(HttpRequest *r, const char *version, Error *error);
const char *http_head_key(const HttpRequest *r);
/* Decodes a part of the target of the request that @c reads, in place. Returns its length. */
size_t http_head_unescape(HttpConnection *c, char *text);

/* audit.c: who is at the other end, once; what has been done, when the request is over. */
void http_connection_describe(HttpConnection *c, const struct sockaddr *peer);
void http_audit(HttpRequest *r);

/* route.c: finds the route and fills @r's route and parameters. Returns 0 or -errno with @error set. */
int http_route_find(HttpRequest *r, const char *path, Error *error);
