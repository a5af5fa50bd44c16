/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* A sealed copy of the running executable in memory: what runs in a sandbox shares no inode with the host. */
int launch_program(int *ret_fd);

/* Starts the zygote from @program; it enters the user namespace @userns (borrowed), whose owner the caller has to be.
 * @ret_sock, @ret_pidfd: owned by the caller. Returns 0 or -errno. */
int launch_zygote(int program, int userns, const char *images, int *ret_sock, int *ret_pidfd);
