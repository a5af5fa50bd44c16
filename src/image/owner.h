/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Who owns the files of an image: the id of the host that is 0 in each sandbox. */
typedef struct Owner {
        uid_t uid;
        gid_t gid;
} Owner;

/* "UID:GID". Returns 0, -EINVAL or -ERANGE. */
int owner_parse(const char *text, Owner *ret);

/* The first subordinate ids of user sandboxd-box for root; for an ordinary user, and for the root of a user namespace
 * without those ids, itself. Reports. */
int owner_default(Owner *ret);

/* The first id of @user's first range of at least 65,536 in a text of the form of /etc/subuid.
 * Returns 0 or -ENOENT. */
int owner_find_range(const char *text, const char *user, uint32_t *ret_first);
