/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "base/macro.h"

/* A worker's systemd units and the drop-in that gives its socket an address. @root: prefix of all paths, "" for the
 * real ones. */

#define WORKER_NAME_MAX 32U

/* [a-z0-9-], at most WORKER_NAME_MAX characters, and not the name of something else in the state folder. */
bool worker_name_is_valid(const char *name);

/* ADDRESS:PORT with a numeric address, IPv6 in brackets. @ret_port: 1 to 65535. 0 or -EINVAL. */
int listen_parse(const char *text, unsigned *ret_port);

/* Can a socket listen on that address now? 0 or -errno (-EADDRINUSE, -EADDRNOTAVAIL ...). */
int listen_probe(const char *text);

/* Which worker's drop-in, other than @except's, has a TCP socket that leaves no room for one at @listen, which
 * listen_parse() takes? 1 with its name (new string), 0 for none, or -errno. */
int unit_find_listen(const char *root, const char *listen, const char *except, char **ret_name);

/* The address in the drop-in that worker add wrote for @name: new string. 0, -ENOENT when there is none. */
int unit_read_listen(const char *root, const char *name, char **ret);

/* Writes that drop-in; whoever reads it sees all of it or the one before. 0 or -errno. */
int unit_write_listen(const char *root, const char *name, const char *listen);

/* Removes it and, when nothing else is there, its folder. 1 when there was one, 0 when not, or -errno. */
int unit_remove_listen(const char *root, const char *name);

/* Is systemd the service manager of this machine? */
bool systemd_runs(void);

/* Runs a program with its output on our standard error. Returns its exit status (127: cannot be run), or -errno. */
int program_run(const char *const *argv);

/* Starts a program whose output can be read: @ret is to be closed by the caller before program_wait(). */
int program_open(const char *const *argv, FILE **ret, pid_t *ret_pid);
/* Its exit status, or -errno. */
int program_wait(pid_t pid);

/* systemctl show -P PROPERTY UNIT: new string, "" when systemctl tells nothing. 0 or -errno. */
int unit_property(const char *unit, const char *property, char **ret);
