/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spawner/spawner.h"

/*
 * How sandboxes outlive the main process. When that one is killed the working process, which holds the same
 * descriptors, is left alone: it finishes what it is making, lets the worker go, and waits for the next main process, to
 * which it gives all that the state names. The two meet at a pair of sockets of which one lies in the service manager's
 * store.
 *
 * It takes a service manager that leaves other processes alone when the main one ends, starts the next one beside them,
 * and keeps the store of a service that failed: KillMode=process, DelegateSubgroup= and FileDescriptorStorePreserve=,
 * since systemd 254. The drop-in with these says so to us, too (BEQUEST_VARIABLE).
 */

#define BEQUEST_NAME "heir" /* in the store */
#define BEQUEST_VARIABLE "SANDBOXD_SPAWNER_HEIR"

/* Makes the pair, unless there is one or none is wanted. Returns 0 or -errno. */
int bequest_prepare(StateHead *h);

/* The working process without a main one: waits for the next and gives it all. Returns 0, -ETIMEDOUT when none came, or
 * another -errno; then all is ours still. */
int bequest_leave(const State *s);

/* The next main process: takes all from who waits at @sock (borrowed), with descriptors of other numbers; none of them
 * is the worker's. Returns 0, -EPIPE when nobody is there, or another -errno. */
int bequest_take(int sock, State *ret);
