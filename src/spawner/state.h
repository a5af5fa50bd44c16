/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spawner/slot.h"

/*
 * What the spawner's working process knows, in a file in memory that outlives it: another process with the same table
 * of descriptors (spawner/supervisor.h) takes it up, or another version of the program in the place of this one. Each
 * part has its size in the head, and only grows at its end: a program takes what it knows, and zeros where it knows
 * more than the one before.
 */

#define STATE_MAGIC UINT32_C(0x6f486254)
#define STATE_VERSION 1U /* raised only by what an older program must not take up */
#define STATE_SPARES_MAX 8U

/* What the working process wants when it ends. */
typedef enum StateWish {
        STATE_NO_WISH, /* it was killed, or fell */
        STATE_WISH_STOPPED,
        STATE_WISH_FAILED, /* another would not do better; it said why */
        STATE_WISH_EXECUTE,
} StateWish;

typedef struct StateHead {
        uint32_t magic, version;
        uint32_t head_size, slot_size, kept_size, n_kept;
        int32_t listener; /* owned, all of them; -EBADF when there is none */
        int32_t worker;
        int32_t userns;
        uint32_t worker_said_hello;
        uint32_t exit_with_worker;
        uint32_t wish;
        uint32_t clean; /* nothing was on its way when the former process ended */
        uint32_t n_spares;
        int32_t spares[STATE_SPARES_MAX]; /* owned: network namespaces */
        uint32_t spares_reusable[STATE_SPARES_MAX];
        uint64_t last_cookie; /* of what the worker asked for last */
        SlotCounters counters;
        /* new since the first version of the file: zeros where that was taken up */
        int32_t heir; /* owned: leads to the next main process (spawner/bequest.h); none: -EBADF or 0 */
        uint32_t worker_flags; /* of its HELLO */
} StateHead;

typedef struct State {
        int fd; /* owned */
        StateHead *head;
        Kept *kept;
        Slot *slots; /* NULL until their number is known */
} State;

#define STATE_INIT                                                                                                     \
        { .fd = -EBADF }

/* Makes an empty one. Returns 0 or -errno. */
int state_new(State *s);
/* Takes up that in @fd (taken), of this version or another. Returns 0, -EPROTONOSUPPORT, or another -errno. */
int state_open(State *s, int fd);
void state_free(State *s);

/* Makes room for the slots of @n_identities, unless it is there. Returns 0 or -errno. */
int state_add_slots(State *s, uint32_t n_identities);

/* All descriptors that are named in it, and those in @others, are passed on to a program that is executed or not. */
void state_pass(const State *s, bool pass);
/* For a process that got them with other numbers: @to[number], with -EBADF for what it did not get. */
void state_renumber(State *s, const int *to, size_t n_to);
/* Calls @each with all that are named in it. */
void state_each(const State *s, void (*each)(int fd, void *userdata), void *userdata);
/* Closes all others. Returns 0 or -errno. */
int state_sweep(const State *s, const int *others, size_t n_others);
