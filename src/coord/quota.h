/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/create.h"

/* How many sessions a key may have: counted here, and in the store over all coordinators. There, owner:NAME has the ids
 * of its sessions, and a place for each that is being made. */

/* Takes a place for the session that @x is about to make. Returns 0; 1 when it takes a while: @x goes on by itself, or
 * fails; -EDQUOT with @error set. */
int quota_reserve(Create *x, Error *error);
/* The place is not needed any more: the session is there, or will not be. */
void quota_release(Create *x);

/* The same for @count sessions that @owner (NULL: nobody) is about to make of one that is there; what other coordinators
 * know does not count. Returns 0 with how many places were taken, or -EDQUOT with @error set. */
int quota_reserve_fork(Coordinator *c, const char *owner, unsigned count, unsigned *ret_taken, Error *error);
void quota_release_fork(Coordinator *c, const char *owner, unsigned taken);

/* A session is there, or lives longer; or it has ended. */
void quota_keep(Coordinator *c, const KnownSession *k);
void quota_drop(Coordinator *c, const KnownSession *k);
