/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "init/command.h"

/*
 * Programs that are part of sandbox-init: what the worker wants done with a sandbox's files and ports happens inside,
 * in a forked copy of process 1 with the payload's rights, its filter and its limits, and never by the worker. A copy
 * is as much out of the payload's reach as process 1: it cannot be traced and all signals are blocked, so that SIGKILL
 * and SIGSTOP alone disturb it. It may block, the worker puts an end to that. It starts no processes.
 */

/* Called in the new process: descriptors 0 to 2 are its streams, 3 is what came with the request, if anything; the
 * folder to start in is the current one. @argv: ended by NULL, argv[0] is its name; no strings of the environment.
 * Returns its exit status: 0 or a positive errno. */
typedef int Builtin(int argc, char **argv);

#define BUILTIN_PASSED_FD 3

/* Starts the one that @c names. Returns its pid, or -errno with the step that failed in @ret_stage; -ENOENT when there
 * is none of that name. */
pid_t builtin_start(const Command *c, InitStage *ret_stage);
