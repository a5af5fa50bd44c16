/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/call.h"
#include "coord/coord.h"

/* A small request for something that one worker has, nobody knows which: it goes to all of them, a few at a time, until
 * one does not answer that it has no such thing. */

typedef struct Spread Spread;

/* @c: the answer, borrowed; NULL: @result is -ENOENT (nobody has it) or -EAGAIN (not all could be asked). The spread is
 * over; it has to be freed. Never called from within spread_start(). */
typedef void SpreadDone(Spread *s, Call *c, int result, void *userdata);

/* As @r's sender. Returns 0, -EAGAIN (too many such questions) or -errno. */
int spread_start(Coordinator *c, const HttpRequest *r, const char *method, const char *target, SpreadDone *done,
        void *userdata, Spread **ret);
Spread *spread_free(Spread *s);
DEFINE_CLEANUP(Spread, spread_free);
