/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "ctl/ctl.h"
#include "ctl/endpoint.h"

/* May a worker have this name? Prints an error when not. */
bool worker_check_name(const char *name);

/* A JSON object with name, socket, status and, when it answered, health. A worker that does not run is not started by
 * this. New reference. */
json_t *worker_describe(Ctl *ctl, const WorkerSocket *s);
