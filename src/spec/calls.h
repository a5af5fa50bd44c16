/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Groups of system calls that a payload does not have unless an administrator gives them to its image. A set of them
 * goes with each request for a sandbox; what each has and why is in doc/seccomp.md.
 */
#define CALLS_AIO (1U << 0)
#define CALLS_DEBUG (1U << 1)
#define CALLS_NUMA (1U << 2)
#define CALLS_ALL (CALLS_AIO | CALLS_DEBUG | CALLS_NUMA)
