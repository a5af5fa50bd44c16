/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/coord.h"

/* How many sessions a key may have: counted here, and in the store over all coordinators. There, owner:NAME has the ids
 * of its sessions, and a place for each that is being made. */

/* Places of sessions that are being made. */
typedef struct QuotaPlaces QuotaPlaces;

/* The store has answered: they may be made, 0, or -EDQUOT with @error set. Never called from within
 * quota_reserve(). */
typedef void QuotaDone(QuotaPlaces *p, int result, Error *error, void *userdata);

/* Takes places for @count sessions that @owner (NULL: nobody) is about to make. Returns 0; 1 when the store is asked as
 * well: @done will be called; -EDQUOT with @error set, or -ENOMEM. @ret: NULL when nothing limits them. */
int quota_reserve(Coordinator *c, const char *owner, unsigned count, QuotaDone *done, void *userdata, QuotaPlaces **ret,
        Error *error);
/* Those that were not used are free again; @done is not called any more. */
QuotaPlaces *quota_release(QuotaPlaces *p);

/* Is the answer of the store still to come? */
bool quota_is_pending(const QuotaPlaces *p);
/* Has the store refused somebody a moment ago? Then it is better to wait for its answer before anything is made. */
bool quota_is_tight(const Coordinator *c);

/* A session is there, in one of the places of @p (NULL: of none), or lives longer; or one has ended. @owner: may be NULL. */
void quota_keep(Coordinator *c, const KnownSession *k, QuotaPlaces *p);
void quota_drop(Coordinator *c, const char *owner, const char *id);
