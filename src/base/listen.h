/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Listening sockets of a server that is started by hand. */

/* @address: ADDRESS:PORT, numeric. @ret_what: what is wrong with it, or NULL. Returns 0 or -errno. */
int listen_tcp(const char *address, int *ret, const char **ret_what);

/* For user and group "sandbox". What nobody serves any more is replaced; -EADDRINUSE when somebody does. */
int listen_unix(const char *path, int *ret);

/* Can the socket be reached from other machines? */
bool listen_is_public(int fd);

/* The socket's address as ListenStream= has it: "127.0.0.1:5000", "[::1]:5000", "/run/x.sock", "@abstract". A new
 * string, "" for what cannot be told; NULL when out of memory. */
char *listen_describe(int fd);
