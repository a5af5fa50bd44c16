/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "spawner/slot.h"

/*
 * Blanks: a few sandboxes that are made ahead for whoever comes next, as confined as any, but for what only a request
 * tells. What has to be known is their kind; limits are set when one gets its tenant, and then only it goes on. So the
 * stock follows what is asked for, and each is used once, or never: nobody but the spawner knows of them.
 *
 * A blank has a slot like any sandbox, whose cookie is 0.
 */

#define BLANKS_MAX 4U
#define BLANK_MEMORY 4U /* requests that tell what is asked for */

typedef struct Spawner Spawner;

typedef struct BlankKind {
        char image[IMAGE_NAME_MAX];
        uint64_t files; /* bytes */
        uint32_t calls;
        Limits limits; /* of who asked: others may have it too */
} BlankKind;

typedef struct Blanks {
        uint32_t slots[BLANKS_MAX]; /* oldest first; they wait, start or live */
        unsigned n;
        BlankKind asked[BLANK_MEMORY]; /* newest first */
        unsigned n_asked;
        usec_t due; /* when the next one may be made */
} Blanks;

static inline bool blank_is(const Slot *slot) {
        return slot->cookie == 0;
}

/* Takes note of a request. */
void blank_note(Spawner *s, const SpawnMessage *m);

/* Gives the request @m a blank that fits. Returns false when there is none. */
bool blank_give(Spawner *s, const SpawnMessage *m);

/* The blank in @slot will not be one any more: it ends, or could not be made. */
void blank_lost(Spawner *s, const Slot *slot);

/* What is known of what is asked for is out of date: ends all of them. */
void blank_forget(Spawner *s);

/* Makes the next one, if it is time. Returns milliseconds until then, -1: not before something else happens. */
int blank_tend(Spawner *s);
