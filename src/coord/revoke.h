/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/coord.h"

/* Taking back what a worker may have done without our knowing: sessions that nobody will ask for. Tried until the
 * worker says that it is done. */

typedef struct Revocations Revocations;

int revocations_new(Coordinator *c, Revocations **ret);
Revocations *revocations_free(Revocations *r);
DEFINE_CLEANUP(Revocations, revocations_free);

/* The session ends, or if there is none, none of that id will be created. */
void revoke_session(Revocations *r, const char *worker_id, const char *id);

/* The worker can be reached: what is left to do there is tried. */
void revocations_retry(Revocations *r, Worker *w);

size_t revocations_pending(const Revocations *r, const char *worker_id);
