/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/wire.h"

/*
 * A slot is the place of one sandbox and what outlives it there: a network namespace and a cgroup leaf, which are used
 * again once the last process of a tenant has been reaped. The sandbox itself is never used again.
 *
 * Slots and what is kept for them lie in a file in memory (spawner/state.h) that another process may take up at any
 * moment, when this one was killed in between. So a descriptor is named here only while it is open, which is why a
 * name goes before the descriptor does; a state is written last; and what can be told from the rest is not in the file.
 */

typedef enum SlotState {
        SLOT_FREE,
        SLOT_WAITING,  /* has a tenant to be made, its network namespace is being made */
        SLOT_STARTING, /* the zygote has been told */
        SLOT_LIVE,
        SLOT_DYING, /* killed, not yet reaped */
        SLOT_STATE_MAX_,
} SlotState;

#define SLOT_NONE UINT32_MAX

/* Descriptors of a command that outlive the worker. */
typedef struct Kept {
        uint64_t number;
        uint64_t generation;   /* of the tenant, 0: free */
        uint32_t slot;
        uint32_t flags;        /* which there are, by KeptDescriptor */
        int32_t fds[KEPT_MAX]; /* owned, packed: as many as there are flags */
        uint32_t next;         /* told anew by slot_table_resume() */
        uint32_t padding;
} Kept;

typedef struct Slot {
        uint32_t state;
        uint32_t identity;
        uint64_t generation;
        uint64_t cookie; /* the worker's, of the request; 0: a blank (spawner/blank.h) */
        Limits limits;
        Limits leaf_limits;
        int32_t netns; /* owned */
        int32_t ctl;   /* owned: the worker's end of the control socket, for a worker that comes back */
        int32_t inner; /* owned: sandbox-init's end, until the zygote has it */
        int32_t pidfd; /* owned */
        uint32_t pid;
        uint8_t kill_wanted; /* while it is being made */
        uint8_t netns_reusable;
        uint8_t frozen; /* its leaf: has to be thawed before another tenant */
        uint8_t leaf;   /* the cgroup leaf exists, with @leaf_limits */
        uint32_t tries; /* zygotes that ended while they made it */
        char image[IMAGE_NAME_MAX];
        /* told anew by slot_table_resume() */
        uint32_t kept; /* list, SLOT_NONE: empty */
        uint32_t n_kept;
        uint32_t next; /* in the list of free ones, or of those that wait for a namespace */
        /* new since the first version of the file: zeros where that was taken up */
        uint32_t calls; /* groups of system calls that are added for the tenant */
} Slot;

#define KEPT_TABLE_MAX 65536U

/* The part of a table that is in the file. */
typedef struct SlotCounters {
        uint64_t last_generation;
        uint32_t n_identities;
        uint32_t n_used; /* slots that ever were in use: those behind are untouched */
        uint32_t last_identity; /* taken in turns, so that an id is not used again for long */
        uint32_t n_kept_used;
} SlotCounters;

typedef struct SlotTable {
        SlotCounters *counters; /* borrowed, like the next two */
        Slot *slots;            /* one less than there are identities */
        Kept *kept;             /* KEPT_TABLE_MAX */
        uint32_t n_slots;
        uint32_t first_free; /* last freed first: its namespace and leaf are there already */
        uint32_t first_free_kept;
        uint32_t n_busy;
        uint32_t n_rested; /* the fewest free slots there were since slot_table_trim() */
        uint8_t *identities; /* owned: which are in use */
} SlotTable;

#define IDENTITIES_MAX (1U << 20)

/* @slots and @kept are zeros. Returns 0, -E2BIG or -ENOMEM. Memory is touched only as slots come into use. */
int slot_table_init(SlotTable *t, SlotCounters *counters, Slot *slots, Kept *kept, uint32_t n_identities);

/* Takes up what another process left. Returns 0, -EBADMSG or -ENOMEM. */
int slot_table_resume(SlotTable *t, SlotCounters *counters, Slot *slots, Kept *kept);

/* Closes @fd, which is named in the file. */
void slot_close(int32_t *fd);
void slot_set_state(Slot *s, SlotState state);

/* Gives the next free slot a new tenant (a generation, an identity, what was asked for), or returns NULL when all are
 * taken. @image: IMAGE_NAME_MAX bytes. */
Slot *slot_take(SlotTable *t, uint64_t cookie, const Limits *limits, uint32_t calls, const char *image);

/* Makes a blank that of a request. */
void slot_set_tenant(Slot *s, uint64_t cookie, const Limits *limits);

/* Frees it: closes what belongs to the tenant, keeps namespace and leaf. */
void slot_release(SlotTable *t, Slot *s);

static inline uint32_t slot_n_free(const SlotTable *t) {
        return t->counters->n_used - t->n_busy;
}

/* Of the free slots those that were not taken since the last call: all but the first @keep, @max of those that keep
 * anything, are given up by @forget. Are there others that keep something, for another call? */
typedef void (*SlotForget)(void *userdata, Slot *s);
bool slot_table_trim(SlotTable *t, uint32_t keep, uint32_t max, SlotForget forget, void *userdata);

static inline uint32_t slot_index(const SlotTable *t, const Slot *s) {
        return (uint32_t) (s - t->slots);
}

/* Keeps descriptors (taken on success) for the command @number of the tenant. Returns 0, -EMFILE when there are too
 * many already, or -EINVAL when @flags and @n_fds do not agree. */
int slot_keep(SlotTable *t, Slot *s, uint64_t number, uint32_t flags, int *fds, size_t n_fds);
void slot_drop(SlotTable *t, Slot *s, uint64_t number);
