/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <curl/curl.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "fetch/answer.h"
#include "fetch/fetch.h"
#include "fetch/names.h"

/* Shared by the files of this folder only. */

#define WIRE_BUFFER (16U * 1024U)

typedef TAILQ_HEAD(FetchList, Fetch) FetchList;
typedef TAILQ_HEAD(FetchHandleList, FetchHandle) FetchHandleList;
typedef TAILQ_HEAD(WireList, Wire) WireList;

/* A curl handle with all options that never change; kept for the next request. */
typedef struct FetchHandle {
        CURL *curl;
        FetchServer *server;           /* borrowed: whose options are set, or NULL */
        struct curl_slist *connect_to; /* owned: curl keeps the pointer */
        TAILQ_ENTRY(FetchHandle) entry;
} FetchHandle;

/* A connection of our own, see wire.c: it carries one request after the other, and is kept between them. */
typedef struct Wire {
        Fetcher *fetcher;        /* borrowed */
        FetchServer *server;     /* borrowed */
        Fetch *fetch;            /* borrowed: that it carries; NULL while it is idle */
        int fd;                  /* owned */
        sd_event_source *source; /* stays as it is from one request to the next */
        uint32_t events;         /* that it is watched for */
        bool connected;
        bool used;           /* has carried a request before */
        bool broken;         /* takes nothing any more, but an answer may be there */
        unsigned generation; /* of the server's address */
        usec_t idle_since;   /* monotonic */
        size_t sent;         /* bytes of the request: head and body */
        Answer answer;
        char *held; /* owned: what came, and is not wanted now */
        size_t held_size;
        TAILQ_ENTRY(Wire) entry, idle; /* of the server's and of all idle ones; last used first */
} Wire;

/* What is watched of a descriptor. */
typedef struct FetchSocket {
        sd_event_source *source;
        bool wanted; /* by curl: else the connection is idle */
} FetchSocket;

struct Fetcher {
        sd_event *event; /* borrowed */
        CURLM *multi;
        sd_event_source *timer, *soon, *tick;
        usec_t timer_at;       /* monotonic, USEC_INFINITY: not armed */
        FetchSocket **sockets; /* by descriptor */
        size_t n_sockets;
        FetchList active;
        unsigned n_active;
        FetchHandleList spare; /* last used first */
        unsigned n_spare;
        bool can_reuse; /* handles, see REUSABLE_SINCE */
        bool tick_armed;
        Names *names; /* owned, once a name was to be looked up */
        WireList idle; /* connections of our own */
        unsigned n_wires, n_idle;
        unsigned n_settled;       /* requests whose end is to be told */
        char buffer[WIRE_BUFFER]; /* what was received last */
};

struct FetchServer {
        Fetcher *fetcher; /* borrowed */
        char *url;        /* owned: what curl gets */
        char *authority;  /* owned: for the Host header */
        uint16_t port;
        bool tls;
        WireList idle;       /* connections of our own to it */
        unsigned generation; /* of its address */
        char *host;       /* owned, or NULL */
        char *path;       /* owned: of the socket, or NULL */
        char *connect_to; /* owned: curl's rule that replaces the host by an address, or NULL */

        /* When the host is a name: what it was last known to stand for. */
        bool is_name;
        char *addresses[NAME_ADDRESSES_MAX]; /* owned */
        size_t n_addresses, address;         /* the one that is used */
        usec_t looked_up;                    /* monotonic: last begun; 0: never */
        NameQuery *query;
        bool *freed; /* borrowed, or NULL: set when it is freed */
};

struct Fetch {
        Fetcher *fetcher;    /* borrowed */
        FetchServer *server; /* borrowed */
        FetchHandle *handle; /* owned; NULL: it goes over a connection of our own */
        Wire *wire;          /* that it has, or NULL */
        char *text;          /* owned: the head of the request, for that */
        size_t text_size;
        const char *body; /* borrowed */
        size_t body_size;
        bool is_head, settled;
        const FetchOps *ops;
        void *userdata;
        struct curl_slist *headers;
        usec_t started, head_at;
        usec_t connect_deadline, head_deadline, deadline; /* monotonic, USEC_INFINITY for none */
        unsigned n_connections;                           /* that the request was begun on */
        bool repeatable;                                  /* may go out twice */
        bool added;                                       /* curl has it */
        bool waiting;                                     /* for the server's address, before that */
        bool send_paused;
        bool late;
        bool taken_over;
        bool connect_only;
        int sock;       /* borrowed from curl: the last that was opened for it, or -EBADF */
        int connecting; /* the same, until the connection stands */
        int given;      /* owned: a socket to connect with that curl has not taken yet, or -EBADF */
        bool is_given;
        int failure;    /* negative: why it was given up, whatever curl says */
        CURLcode code;  /* with which it ended */

        char *head; /* owned: names and values, each ended by NUL */
        size_t head_used, head_size, head_total;
        uint32_t names[FETCH_HEADERS_MAX], values[FETCH_HEADERS_MAX]; /* offsets */
        unsigned n_headers;
        bool head_done;
        unsigned status;
        bool length_known; /* from a connection of our own */
        uint64_t length;

        TAILQ_ENTRY(Fetch) entry;
};

/* Is there anything that can be too late? */
static inline bool fetch_goes_on(const Fetch *f) {
        return f->added || f->waiting || f->wire;
}

/* fetcher.c */
void fetcher_unlink(Fetcher *f, Fetch *fetch);
/* Its end is told from the loop. */
void fetcher_settle(Fetcher *f, Fetch *fetch, int result);
void fetcher_link(Fetcher *f, Fetch *fetch);
CURLMcode fetcher_add(Fetcher *f, Fetch *fetch);
void fetcher_remove(Fetcher *f, Fetch *fetch);
void fetcher_run_soon(Fetcher *f);
void fetcher_forget_socket(Fetcher *f, int fd);
curl_socket_t fetcher_open_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *address);
int fetcher_close_socket(void *userdata, curl_socket_t fd);

/* fetch.c */
FetchHandle *fetch_handle_new(Fetcher *f);
FetchHandle *fetch_handle_free(FetchHandle *h);
/* Tells the owner, who may free it. */
void fetch_finish(Fetch *f, CURLcode code);
/* The server has an address: the request goes there. */
int fetch_begin(Fetch *f);

/* Keep a line of the head, and what follows it. Return 0 or -errno. */
int fetch_keep_header(Fetch *f, const char *line, size_t size);
int fetch_take_head(Fetch *f, unsigned status);

/* request.c: makes the head of the request. Returns 0, -EINVAL or -ENOMEM. */
int fetch_make_text(Fetch *f, const FetchRequest *q);

/* wire.c */
int wire_begin(Fetch *f);
Wire *wire_free(Wire *w);
void wire_wake(Wire *w);

/* server.c */
/* Where it is. Returns 0 or -EHOSTUNREACH. */
int server_address(const FetchServer *s, struct sockaddr_storage *ret, socklen_t *ret_size);
bool server_needs_address(const FetchServer *s);
/* The name is looked up, unless that was done just now. */
void server_look_up(FetchServer *s);
/* No connection was to be had. */
void server_next_address(FetchServer *s);
