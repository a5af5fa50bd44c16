/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "base/clock.h"
#include "base/macro.h"
#include "ctl/endpoint.h"

/* Largest answer that is taken in, bytes. */
#define ANSWER_MAX (64 * MIB)

/* A connection to one server, kept open between calls. */
typedef struct Client Client;

/* @endpoints: taken over, tried in turn until one accepts a connection; that one stays.
 * @key: copied, NULL for none; sent as bearer token. */
int client_new(EndpointList *endpoints, const char *key, Client **ret);
Client *client_free(Client *c);
DEFINE_CLEANUP(Client, client_free);

typedef struct Call {
        const char *method;
        const char *path;   /* with query; what is not a literal went through client_escape() or is an id */
        const json_t *body; /* borrowed; NULL for none */
        usec_t timeout;     /* for the whole call */
        bool shielded;      /* a first interrupt leaves it a few seconds to finish: it makes or ends something */
} Call;

typedef struct Answer {
        unsigned status;
        unsigned retry_after; /* seconds, 0 for none */
        json_t *json;         /* NULL when the body is empty or, for a refusal, is no JSON */
} Answer;

void answer_clear(Answer *a);
#define _cleanup_answer_ _cleanup_(answer_clear)

/* Returns 0 when the server answered, whatever the status. Else client_error() tells why: -ECONNREFUSED (no server
 * accepts a connection), -ETIMEDOUT, -EINTR (see interrupt.h), -EFBIG, -EPROTO (no JSON), -EIO. */
int client_call(Client *c, const Call *call, Answer *ret);

/* One or more lines about the last failed call, without a final newline. */
const char *client_error(const Client *c);

/* Where the last call went, or NULL. */
const Endpoint *client_endpoint(const Client *c);

/* For one component of a path or a query. New string. */
char *client_escape(const char *text);
