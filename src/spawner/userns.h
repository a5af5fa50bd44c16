/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spawner/idmap.h"

/*
 * The worker's user namespace: it holds the ids of the images and of all sandboxes of one worker, and owns the
 * network, mount, pid, ... namespaces of them. Whoever has the uid that made it (and lives in its parent namespace)
 * has every capability in it, and none outside (user_namespaces(7)).
 */

typedef enum UsernsMethod {
        USERNS_DIRECT, /* the caller may write any map: root */
        USERNS_SETUID, /* newuidmap(1) and newgidmap(1) do it, by /etc/subuid and /etc/subgid */
} UsernsMethod;

/* Makes it, owned by the host ids @uids->own and @gids->own. No process stays in it.
 * @ret_fd: descriptor of the namespace. @ret_what: on failure a constant text naming the call. */
int userns_make(UsernsMethod method, const IdLayout *uids, const IdLayout *gids, int *ret_fd, const char **ret_what);
