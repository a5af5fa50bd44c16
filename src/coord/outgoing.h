/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/coord.h"
#include "http/headers.h"

/* The head of a client's request as a worker gets it: what is of one connection stays away, what the worker has to know
 * comes in. */

#define OUTGOING_MAX 128U

typedef struct Outgoing {
        FetchHeader headers[OUTGOING_MAX]; /* borrowed from the request and from below */
        size_t n;
        bool full;
        bool upgrade; /* the client asks for another protocol */

        const HttpRequest *request;
        const Coordinator *coord;
        const char *connection; /* names of headers that are of the connection, or NULL */
        char forwarded[512], authorization[API_KEY_MAX + 16];
} Outgoing;

/* Returns 0, or -errno with @error set. */
int outgoing_make(Outgoing *o, const Coordinator *c, const HttpRequest *r, const Worker *w, Error *error);
int outgoing_add(Outgoing *o, const char *name, const char *value);

/* Address that a request came from, as text; proxies that are trusted are believed. "" for a local socket. */
#define CLIENT_ADDRESS_MAX 64U
const char *client_address(const Coordinator *c, const HttpRequest *r, char buf[static CLIENT_ADDRESS_MAX]);
