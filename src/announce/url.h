/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

/* Where others reach a worker. */

#define ANNOUNCE_URL_MAX 256U

/* @listen: its sockets as in ListenStream=. @local: our address on the connection to Redis, "" when that is a socket of
 * this machine. A socket that other machines reach is the best; for one that listens on all addresses that is @local.
 * With a Redis on this machine, what only this machine reaches will do. Returns 0, -ENOENT (nobody else reaches it) or
 * -ENAMETOOLONG. */
int announce_url(const char *const *listen, size_t n, const char *local, char url[static ANNOUNCE_URL_MAX]);
