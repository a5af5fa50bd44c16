/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/macro.h"

/* HTTP requests to other servers on an event loop. No thread, nothing that blocks; connections are kept. Requests without
 * TLS whose body is there as a whole go over connections of our own (wire.c), all others through libcurl. */

typedef struct Fetcher Fetcher;         /* all connections */
typedef struct FetchServer FetchServer; /* one server that requests go to */
typedef struct Fetch Fetch;             /* one request: a pending call, freeing it gives it up */

#define FETCH_HEAD_MAX (32U * 1024U) /* bytes of an answer's head */
#define FETCH_HEADERS_MAX 96U

int fetcher_new(sd_event *event, Fetcher **ret);
Fetcher *fetcher_free(Fetcher *f); /* after all requests */
DEFINE_CLEANUP(Fetcher, fetcher_free);

/* @url: "http://HOST[:PORT]", "https://HOST[:PORT]", "unix:/PATH" or, abstract, "unix:@NAME". A name is looked up when
 * it is needed, and again from time to time. Returns 0, -EINVAL or -ENOMEM. */
int fetch_server_new(Fetcher *f, const char *url, FetchServer **ret);
FetchServer *fetch_server_free(FetchServer *s); /* after its requests */
DEFINE_CLEANUP(FetchServer, fetch_server_free);

typedef struct FetchOps {
        /* The head of the answer is known. */
        void (*head)(Fetch *f, void *userdata);
        /* A piece of the body. Returns false when it cannot be taken now: it comes again after fetch_wake_data(). */
        bool (*data)(Fetch *f, const char *data, size_t size, void *userdata);
        /* Gets the request's body: writes at most @size bytes. Returns how many; 0 when there are none now, then
         * fetch_wake_read() has to follow; FETCH_END or FETCH_BROKEN. */
        ssize_t (*read)(Fetch *f, char *buf, size_t size, void *userdata);
        /* It is over. @result: 0 (the whole answer came), -ECONNREFUSED (there was no connection: the server has not
         * seen it), -ETIMEDOUT, -ECONNRESET (the connection broke), -EPROTO (the answer is not HTTP), -ENOMEM.
         * Never called from within a call of ours. The request may be freed, here and anywhere but in the others. */
        void (*done)(Fetch *f, int result, void *userdata);
} FetchOps;

#define FETCH_END (-1)
#define FETCH_BROKEN (-2)

typedef struct FetchHeader {
        const char *name, *value;
} FetchHeader;

typedef struct FetchRequest {
        const char *method;
        const char *target;         /* path and query, as they go on the wire */
        const FetchHeader *headers; /* copied */
        size_t n_headers;
        const void *body;        /* the whole body, borrowed until the request ends; or NULL: @ops->read gives it */
        uint64_t body_size;      /* bytes; FETCH_SIZE_UNKNOWN: as many as @ops->read gives */
        usec_t connect_patience; /* for the connection */
        usec_t head_patience;    /* for the head of the answer, from the start; 0: for ever */
        usec_t patience;         /* for all of it; 0: for ever */
        bool connect_only;       /* nothing is sent: channel.c */
        const char *ca_file;     /* certificates to trust, borrowed until the end; NULL: those of the system */
        bool upgrade;            /* another protocol may follow, see fetch_take_over() */
        int sock; /* above 0: what to connect with, of the family of the server's address; taken on success */
} FetchRequest;

#define FETCH_SIZE_UNKNOWN UINT64_MAX

/* Returns 0, -ENOMEM, or -EINVAL when what it was given would be more than one line. */
int fetch_start(FetchServer *server, const FetchRequest *request, const FetchOps *ops, void *userdata, Fetch **ret);
Fetch *fetch_free(Fetch *f);
DEFINE_CLEANUP(Fetch, fetch_free);

/* Once the head is known. */
unsigned fetch_status(const Fetch *f);
uint64_t fetch_length(const Fetch *f); /* of the body, or FETCH_SIZE_UNKNOWN */
size_t fetch_n_headers(const Fetch *f);
FetchHeader fetch_header_at(const Fetch *f, size_t i);
const char *fetch_header(const Fetch *f, const char *name); /* the first of that name, or NULL */

/* May the server have seen the request? */
bool fetch_was_sent(const Fetch *f);
/* Time from the start to the head of the answer, or to now. */
usec_t fetch_latency(const Fetch *f);

void fetch_wake_data(Fetch *f);
void fetch_wake_read(Fetch *f);

/* After status 101: the connection's descriptor (borrowed, until fetch_free()). What came behind the head was given to
 * @ops->data, nothing more is read or written by us. */
int fetch_take_over(Fetch *f);

/* How many requests go on. */
unsigned fetcher_n_active(const Fetcher *f);
