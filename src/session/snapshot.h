/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/hash.h"
#include "error/error.h"

/*
 * The writable files of sessions, kept in a folder of the worker: for each snapshot an archive, which only the program
 * for archives ever reads, and a description beside it. They outlive the worker; what is incomplete is not taken up.
 */

#define SNAPSHOT_PREFIX "snapshot:" /* of the name of an image that is a snapshot */

typedef struct Snapshots Snapshots;

typedef struct Snapshot {
        Snapshots *store; /* borrowed; NULL: it does not count yet */
        unsigned n_ref;
        char id[UUID_TEXT_MAX];
        char *owner;      /* owned: name of the API key that made it, or NULL */
        char *image;      /* owned: that its session's root file system is of */
        char *session_id; /* owned */
        usec_t created;   /* wall clock */
        uint64_t size;    /* bytes of the archive */
        UT_hash_handle hh;
} Snapshot;

typedef struct SnapshotSettings {
        unsigned max, max_per_key; /* 0: of the latter, no limit */
        uint64_t space;            /* bytes of all together */
} SnapshotSettings;

/* Takes up what is in @folder (taken; -EBADF: there is none, and no snapshot can be made). @ret_n_dropped: incomplete
 * ones that were removed. Returns 0 or -errno. */
int snapshots_open(int folder, Snapshots **ret, unsigned *ret_n_dropped);
Snapshots *snapshots_free(Snapshots *s);
DEFINE_CLEANUP(Snapshots, snapshots_free);
void snapshots_configure(Snapshots *s, const SnapshotSettings *settings);

/* One that @owner may use (NULL: all). Returns 0, or -ENOENT with @error set. */
int snapshots_find(Snapshots *s, const char *id, const char *owner, Snapshot **ret, Error *error);
/* In order of creation: the first after @last (NULL: the first) that @owner may see, or NULL. */
Snapshot *snapshots_next(Snapshots *s, Snapshot *last, const char *owner);
/* Held for as long as its archive is open: one that is deleted counts as space until the last reference is dropped. All
 * go before the store. */
Snapshot *snapshot_ref(Snapshot *s);
Snapshot *snapshot_unref(Snapshot *s);
/* Its archive, opened for reading. Returns a descriptor or -errno. */
int snapshot_open(Snapshots *s, const Snapshot *snapshot);
void snapshots_delete(Snapshots *s, Snapshot *snapshot);
json_t *snapshot_describe(const Snapshot *snapshot, const char *worker_id);

/* One that is being made: a file to be written to. */
typedef struct SnapshotDraft {
        Snapshots *store; /* borrowed; NULL: there is none */
        char id[UUID_TEXT_MAX];
        int fd;         /* owned */
        uint64_t room;  /* bytes that it may have; promised to nobody else meanwhile */
        bool unnamed;   /* gone with its descriptor */
        bool settled;   /* none of those that are being made any more */
        char owner[64]; /* or "" */
        LIST_ENTRY(SnapshotDraft) entry;
} SnapshotDraft;

/* Begins one, in @ret, which stays where it is until it is let go. @most: bytes that it may need. @unnamed: it will not be
 * kept and does not count. Returns 0, or -errno with @error set: -EDQUOT, -ENOSPC. */
int snapshot_draft(Snapshots *s, const char *owner, uint64_t most, bool unnamed, SnapshotDraft *ret, Error *error);
/* Makes it one of the snapshots. Returns 0 with it (borrowed), or -errno. */
int snapshot_commit(SnapshotDraft *d, const char *image, const char *session_id, Snapshot **ret);
/* It is written and will not be kept: until it is let go it counts with the bytes that it has. Whoever opens its file
 * again has closed that before. Returns 0 or -errno. */
int snapshot_draft_settle(SnapshotDraft *d);
/* Lets it go, complete or not. */
void snapshot_draft_clear(SnapshotDraft *d);
