/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spawner/cgroup.h"

/* What needs rights that the spawner does not have, done once, before it. Failures are told on stderr with the fix. */

#define PREPARE_USERNS_NAME "userns"

/* As root, run by the service manager before the spawner: makes the user namespace of worker @worker for user
 * sandboxd-box and leaves it in the service's descriptor store. Returns 0 or -errno. */
int prepare_service(const char *worker);

/* Prints the host ids that own the images when root runs without a service manager. */
int prepare_print_image_owner(void);

/* Without a service manager: makes it for the calling user or, as root, for an unprivileged id that the process then
 * becomes; takes a cgroup tree where it can. @ret_userns: owned by the caller. Returns 0 or -errno. */
int prepare_standalone(const char *worker, int *ret_userns, CgroupTree *cgroup);
