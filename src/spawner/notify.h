/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* The service manager's notification socket (sd_notify(3)), without libsystemd: the spawner is a static program that
 * links nothing but libc. All do nothing when NOTIFY_SOCKET is not set. Return 0 or -errno. */

int notify_send(const char *state);
/* From now on @fd, a socket of messages, is told what notify_send() says: for a process that the service manager does
 * not listen to. */
void notify_through(int fd);

/* With a descriptor for the store: @state holds FDSTORE=1 and FDNAME=. */
int notify_send_fd(const char *state, int fd);

/* Waits until the manager has read all that was sent before (at most 5 s). */
int notify_barrier(void);

/* The name that socket activation or the store gave to descriptor 3 + @index, or NULL.
 * The text is kept in @buf. */
const char *notify_fd_name(unsigned index, char *buf, size_t size);

/* How many descriptors were passed (0 when they are not for this process). */
unsigned notify_n_fds(void);
