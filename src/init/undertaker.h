/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/*
 * Takes down the mounts of a sandbox after its end. Most of the time that process 1 takes to end would be theirs, and
 * as long as it is not gone the other processes of the sandbox may go on: so a process beside the zygote holds the
 * mount namespace too, and lets go of it when nobody waits any more.
 */

/* Starts that process; the caller is the zygote. Returns 0 or -errno. */
int undertaker_start(void);

/* Has it hold the mount namespace of the new process 1 @pid of slot @slot. If that fails, it is taken down with the
 * process. */
void undertaker_hold(uint32_t slot, pid_t pid);

/* Has it let go of what it holds for @slot; ZYGOTE_CLEAR says when that is done. Returns 0 or -errno. */
int undertaker_clear(uint32_t slot);
