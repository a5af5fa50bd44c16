/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/wire.h"

/*
 * A slot is the place of one sandbox and what outlives it there: a network namespace and a cgroup leaf, which are used
 * again once the last process of a tenant has been reaped. The sandbox itself is never used again.
 */

typedef enum SlotState {
        SLOT_FREE,
        SLOT_WAITING,  /* has a tenant to be made, its network namespace is being made */
        SLOT_STARTING, /* the zygote has been told */
        SLOT_LIVE,
        SLOT_DYING, /* killed, not yet reaped */
} SlotState;

/* Descriptors of a command that outlive the worker. */
typedef struct Kept Kept;
struct Kept {
        Kept *next;
        uint64_t number;
        uint32_t flags;    /* which there are, by KeptDescriptor */
        int fds[KEPT_MAX]; /* owned, packed: as many as there are flags */
};

typedef struct Slot {
        SlotState state;
        bool kill_wanted; /* while it is being made */
        bool netns_reusable;
        bool frozen; /* its leaf: has to be thawed before another tenant */
        bool leaf; /* the cgroup leaf exists, with @leaf_limits */
        int netns; /* owned */
        int ctl;   /* owned: the worker's end of the control socket, for a worker that comes back */
        int inner; /* owned: sandbox-init's end, until the zygote has it */
        int pidfd; /* owned */
        uint32_t pid;
        uint32_t identity;
        uint64_t generation;
        uint64_t cookie; /* the worker's, of the request */
        Limits limits;
        Limits leaf_limits;
        char image[IMAGE_NAME_MAX];
        Kept *kept; /* owned list */
        uint32_t n_kept;
        uint32_t next; /* in the list of free ones, or of those that wait for a namespace */
} Slot;

#define SLOT_NONE UINT32_MAX

typedef struct SlotTable {
        Slot *slots;
        uint32_t n_slots;
        uint32_t first_free; /* last freed first: its namespace and leaf are there already */
        uint32_t n_busy;
        uint32_t n_used;     /* slots that ever were in use: those behind are untouched */
        uint8_t *identities; /* which are in use */
        uint32_t n_identities;
        uint32_t last_identity; /* taken in turns, so that an id is not used again for long */
        uint64_t last_generation;
} SlotTable;

#define IDENTITIES_MAX (1U << 20)

/* Returns 0, -E2BIG or -ENOMEM. Memory is touched only as slots come into use. */
int slot_table_init(SlotTable *t, uint32_t n_identities);

/* Gives the next free slot a new tenant (a generation, an identity), or returns NULL when all are taken. */
Slot *slot_take(SlotTable *t);

/* Frees it: closes what belongs to the tenant, keeps namespace and leaf. */
void slot_release(SlotTable *t, Slot *s);

static inline uint32_t slot_index(const SlotTable *t, const Slot *s) {
        return (uint32_t) (s - t->slots);
}

/* Keeps descriptors (taken on success) for the command @number of the tenant. Returns 0, -EMFILE when there are too
 * many already, -EINVAL when @flags and @n_fds do not agree, or -ENOMEM. */
int slot_keep(Slot *s, uint64_t number, uint32_t flags, int *fds, size_t n_fds);
void slot_drop(Slot *s, uint64_t number);
