/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/*
 * Finding all processes of a command, also those that left its session and whose parents have ended: each command
 * gets a hard RLIMIT_RTTIME of its own (a limit without effect, since nothing in a sandbox may be scheduled in real
 * time), which all its descendants inherit and none can raise. A process that lowers its own hides only among the
 * commands of its own sandbox.
 */
#define SWEEP_TAG(exec) ((UINT64_C(1) << 40) + (exec))

/* Sends @signal once to each process with the tag. Returns how many there were. */
unsigned sweep_signal(uint64_t tag, int signal);
