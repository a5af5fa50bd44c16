/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "runtime/backend.h"

/*
 * Keeps sandboxes ready. A member is handed out once and never comes back. The pool refills itself a moment after one
 * was taken, so that the answer to the client leaves first; it grows while members are taken faster than they are
 * made, and shrinks when nobody asks.
 */

typedef struct Pool Pool;

/* What is done with a new member before it counts as ready: begins it, and pool_prepared() follows, not from within.
 * Returns 0, or -errno when the member stays as it is. */
typedef int PoolPrepare(Pool *p, Sandbox *s, const void *with);

typedef struct PoolSettings {
        unsigned size; /* at start, and when demand has passed */
        unsigned min;  /* after so long without demand: */
        usec_t idle;   /* 0: never */
        unsigned max;
        SandboxSpec spec;
        PoolPrepare *prepare; /* or NULL */
        const void *with;     /* what it gets; other members are made when it changes */
} PoolSettings;

typedef enum PoolEvent {
        POOL_MEMBER_READY,
        POOL_FILLED, /* for the first time: all members of the size asked for are ready */
        POOL_EMPTY,  /* pool_take() had nothing to give */
        POOL_MEMBER_DIED,
        POOL_MEMBER_FAILED,     /* could not be made; @s says why */
        POOL_MEMBER_UNPREPARED, /* it is ready as it is; the text of @s's error says why */
        POOL_RESIZED,
} PoolEvent;

/* For the log and the bus. @s: the member, or NULL. Must not change the pool. */
typedef void PoolNotify(Pool *p, PoolEvent event, const Sandbox *s, void *userdata);

int pool_new(sd_event *event, Backend *backend, const PoolSettings *settings, PoolNotify *notify, void *userdata,
        Pool **ret);
Pool *pool_free(Pool *p);
DEFINE_CLEANUP(Pool, pool_free);

/* @s is prepared, or @problem says why not. Nothing happens when it is no member any more. */
void pool_prepared(Pool *p, Sandbox *s, const char *problem);

/* Begins to fill; again after the backend came back. */
void pool_start(Pool *p);

/* No more members are made, those that wait are ended. */
void pool_stop(Pool *p);

/* Takes a member, checked to be alive; the caller gets the reference and has to set itself as its owner.
 * Returns NULL when there is none. */
Sandbox *pool_take(Pool *p);

/* Would a sandbox of this spec come from the pool? */
bool pool_fits(const Pool *p, const SandboxSpec *spec);

/* Other settings from now on; members of another spec are replaced. */
void pool_configure(Pool *p, const PoolSettings *settings);

const PoolSettings *pool_settings(const Pool *p);

/* While the machine is strained the pool is not larger than its minimum. */
void pool_set_strained(Pool *p, bool strained);

/* Pools of other images follow the one of the default image, which is the head of their list and owns them. */
void pool_append(Pool *head, Pool *p);
Pool *pool_next(const Pool *p);
/* The pool of the list that has sandboxes of this spec, or NULL. */
Pool *pool_find(Pool *head, const SandboxSpec *spec);
/* Of all in the list. */
unsigned pool_sum_ready(const Pool *head);
unsigned pool_sum_target(const Pool *head);

unsigned pool_n_ready(const Pool *p);
unsigned pool_target(const Pool *p);
/* Is something wrong: the last member could not be made? */
bool pool_is_failing(const Pool *p);
