/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "coord/coord.h"

/* Where is a session? What is known here, else what the store knows, else what the workers say. */

typedef struct Finding Finding;

/* @k (borrowed), or @error. Never called from within find_session(). */
typedef void FindDone(Finding *f, KnownSession *k, Error *error, void *userdata);

/* Finds the session that @r may use; whether its worker can be reached is for find_check(). Returns 0 with
 * @ret_session; 1 when it takes a while: @done will be called, and finding_free(@ret_finding) gives it up; -errno with
 * @error set. */
int find_session(Coordinator *c, const char *id, const HttpRequest *r, FindDone *done, void *userdata,
        KnownSession **ret_session, Finding **ret_finding, Error *error);
Finding *finding_free(Finding *f);

/* May requests for it be sent now? Returns 0, or -errno with @error set: it is lost, or its worker is away. */
int find_check(Coordinator *c, KnownSession *k, Error *error);

/* Learns of a session from a worker's JSON. Sessions do not move: of one that another worker has, which can be reached,
 * nothing is believed. Returns 0, -EPROTO (that is no session), -EEXIST or -ENOMEM. */
int learn_session(Coordinator *c, Worker *w, const char *owner, const json_t *object, KnownSession **ret);

/* Microseconds since 1970 of "2026-01-31T12:00:00.000Z", or 0. */
usec_t read_timestamp(const char *text);

/* It has ended, as its worker says. */
void forget_session(Coordinator *c, const char *id);
