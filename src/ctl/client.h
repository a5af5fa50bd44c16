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
        usec_t timeout;     /* for the whole call, or USEC_INFINITY */
        bool shielded;      /* a first interrupt leaves it a few seconds to finish: it makes or ends something */

        const char *accept; /* what the answer is to be, NULL: JSON */
        /* A body that is made as it is sent, in place of @body. Returns how many bytes, 0 at the end, or -errno. */
        ssize_t (*give)(char *buf, size_t size, void *userdata);
        int64_t length; /* of it, -1: not known before */
        /* Gets the body of an answer that tells success, in place of @json. Returns 0, or -errno to end the call with
         * it. */
        int (*take)(const char *data, size_t size, void *userdata);
        void *userdata;
} Call;

typedef struct Answer {
        unsigned status;
        unsigned retry_after; /* seconds, 0 for none */
        json_t *json;         /* NULL when the body is empty or, for a refusal, is no JSON */
        unsigned file_mode;   /* permissions of a file, from its header; 0: none */
} Answer;

void answer_clear(Answer *a);
#define _cleanup_answer_ _cleanup_(answer_clear)

/* Returns 0 when the server answered, whatever the status. Else client_error() tells why: -ECONNREFUSED (no server
 * accepts a connection), -ETIMEDOUT, -EINTR (see interrupt.h), -EFBIG, -EPROTO (no JSON), -ECANCELED (give() or take()
 * did not go on, and have said why), -EIO. */
int client_call(Client *c, const Call *call, Answer *ret);

/* One or more lines about the last failed call, without a final newline. */
const char *client_error(const Client *c);

/* Where the last call went, or NULL. */
const Endpoint *client_endpoint(const Client *c);

/* A connection of its own to the server that accepted the last call, for another protocol than that of calls: nothing
 * is sent yet. @ret_head: the first lines of a request for @path, with host and key, but for the empty line at its end;
 * new string. Returns NULL after having set client_error(). */
void *client_connect(Client *c, const char *path, char **ret_head);

/* For one component of a path or a query. New string. */
char *client_escape(const char *text);
