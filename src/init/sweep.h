/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "base/macro.h"

/*
 * Finding all processes of a command, also those that left its session and whose parents have ended: each command gets
 * hard limits of its own in two resources that limit nothing here (RLIMIT_RTTIME, since nothing in a sandbox may be
 * scheduled in real time, and RLIMIT_LOCKS, which the kernel forgot). All descendants inherit them and none can raise
 * them. One counts up with the number of the command, the other down, so that whoever lowers one of them, or both, does
 * not look like another command's: it has the marks of none, and is killed as soon as any command ends.
 */

/* Makes @pid (0: the calling process), and what will descend from it, command @number's. Returns 0 or -errno. */
int sweep_mark(pid_t pid, uint32_t number);

/* Sends @signal once to each process of command @number. Returns how many there were. */
unsigned sweep_signal(uint32_t number, int signal);

/* Kills each process of command @number, and each that belongs to none that @is_running. Returns how many there were.
 */
unsigned sweep_kill(uint32_t number, bool (*is_running)(uint32_t number));
