/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Is a header of an answer or a request one that every connection has of its own? */
bool header_is_hop(const char *name);
/* Is @token in the comma-separated @list? */
bool header_has_token(const char *list, const char *token);

/* What coordinators and workers tell each other in the heads of requests and answers. Those of clients are dropped by
 * coordinators. */

#define HEADER_PREFIX "X-Sandboxd-"
/* Name of the API key whose session it is about: believed where nobody needs a key, and from coordinators' keys. */
#define HEADER_OWNER "X-Sandboxd-Owner"
/* The fencing token that the coordinator knows: the worker serves nothing for another one. */
#define HEADER_TOKEN "X-Sandboxd-Token"
/* The id that a new session gets, so that its maker can take it back whatever becomes of the answer. */
#define HEADER_SESSION "X-Sandboxd-Session"
/* On a DELETE: the session is not to be, whether it is there or comes later. */
#define HEADER_REVOKE "X-Sandboxd-Revoke"
/* "READY SIZE SESSIONS MAX", with the answer to a creation: how the worker is now. */
#define HEADER_LOAD "X-Sandboxd-Load"
