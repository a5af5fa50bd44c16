/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "daemon/config.h"

/* Asks a worker of this machine how it is, and writes that to Redis, again and again: worker:ID is what it says, for
 * people; "workers" are ids and addresses, for coordinators. */

/* What the set of all workers is called, and what its members look like: "ID URL". */
#define ANNOUNCE_SET "workers"

/* @config: has a Redis host. @socket: path of the worker's. Runs until it is told to end. Returns the exit status. */
int announce_run(const Config *config, const char *socket);
