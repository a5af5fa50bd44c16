/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fetch/fetch.h"
#include "http/request.h"

/*
 * The heads of requests to servers inside sandboxes and of their answers. A request says nothing of the client's key,
 * an answer nothing that would count beyond its own part of this server: what comes from inside is hostile, and a
 * browser takes all paths of a host for one another's.
 */

#define PORT_PREFIX_MAX 160U
#define PORT_HEADERS_MAX 104U

/* The request's target below "/v1/sessions/ID/ports/PORT", beginning with "/", or "?" or "" for what has to become "/".
 * @prefix: those parts. Returns NULL when the target spells them otherwise. */
const char *port_target(const char *target, const char *prefix);

typedef struct PortHead {
        FetchHeader headers[PORT_HEADERS_MAX]; /* borrowed from the request and from below */
        size_t n;
        bool full;
        bool upgrade; /* the client asks for another protocol */
        const char *connection;
        char host[32];
} PortHead;

/* Makes the head of the request as the server on @port gets it. @prefix: borrowed. Returns 0, or -errno with @error
 * set.
 */
int port_head_make(PortHead *h, const HttpRequest *r, uint16_t port, const char *prefix, Error *error);

/* Is the header @name of an answer passed on? @connection: the answer's Connection, or NULL. */
bool port_answer_has(const char *name, const char *connection);
/* The value that it is passed on with: a new string, or NULL for @value as it is. @ret_drop: not at all. */
char *port_answer_value(const char *name, const char *value, const char *prefix, uint16_t port, bool *ret_drop);

/* Documents from inside get an origin of their own. */
#define PORT_POLICY "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts"
