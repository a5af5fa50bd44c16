/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <curl/curl.h>
#include <sys/queue.h>

#include "fetch/fetch.h"
#include "fetch/names.h"

/* Shared by fetch.c and fetcher.c only. */

typedef TAILQ_HEAD(FetchList, Fetch) FetchList;
typedef TAILQ_HEAD(FetchHandleList, FetchHandle) FetchHandleList;

/* A curl handle with all options that never change; kept for the next request. */
typedef struct FetchHandle {
        CURL *curl;
        FetchServer *server;           /* borrowed: whose options are set, or NULL */
        struct curl_slist *connect_to; /* owned: curl keeps the pointer */
        TAILQ_ENTRY(FetchHandle) entry;
} FetchHandle;

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
};

struct FetchServer {
        Fetcher *fetcher; /* borrowed */
        char *url;        /* owned: what curl gets */
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
        FetchHandle *handle; /* owned */
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

        char *head; /* owned: names and values, each ended by NUL */
        size_t head_used, head_size, head_total;
        uint32_t names[FETCH_HEADERS_MAX], values[FETCH_HEADERS_MAX]; /* offsets */
        unsigned n_headers;
        bool head_done;
        unsigned status;

        TAILQ_ENTRY(Fetch) entry;
};

/* fetcher.c */
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

/* server.c */
bool server_needs_address(const FetchServer *s);
/* The name is looked up, unless that was done just now. */
void server_look_up(FetchServer *s);
/* No connection was to be had. */
void server_next_address(FetchServer *s);
