/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "session/session.h"
#include "session/snapshot.h"

/* Writes the files of a session, its home folder and /tmp, to an archive of the worker. sandbox-init reads them inside,
 * with the rights that commands have: what they may not read is left out. What is written meanwhile may be there or
 * not.
 */

typedef struct SnapshotTake SnapshotTake;

/* Called once, from the loop: @snapshot (borrowed); or @result below 0 with @error set; or for one that is not kept @fd
 * (borrowed, at its end) and the take with it, which is the caller's to free: until then the archive counts as space of the
 * snapshots. */
typedef void SnapshotTaken(int result, Snapshot *snapshot, int fd, Error *error, void *userdata);

/* @kept: else it is for the caller alone. Returns 0 or -errno with @error set. */
int snapshot_take(Session *s, const char *owner, bool kept, SnapshotTaken *taken, void *userdata, SnapshotTake **ret,
        Error *error);
/* Gives it up: nobody is called. NULL is accepted; returns NULL. */
SnapshotTake *snapshot_take_free(SnapshotTake *t);
DEFINE_CLEANUP(SnapshotTake, snapshot_take_free);
