/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "http/api.h"
#include "http/headers.h"

/* What coordinators ask of a worker, beyond what clients do. */

/* Is the request meant for this worker, as it is now? Returns 0, or -ESTALE with @error set. */
int http_fleet_check(const HttpApi *api, const HttpRequest *r, Error *error);
/* The session id that the request brings along. Returns 0, or -errno with @error set. */
int http_fleet_session_id(const HttpRequest *r, char id[static UUID_TEXT_MAX], Error *error);
void http_fleet_add_load(HttpRequest *r, const HttpApi *api);
