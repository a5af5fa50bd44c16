/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/coord.h"

/* The worker looks at bodies more closely; here they are only kept from growing without end. */
#define CREATE_BODY (256 * KIB)

/* clang-format off */
const HttpRoute coord_routes[] = {
        { "GET",    "/health",                  0,                 HTTP_ROUTE_OPEN,   coord_health },
        { "GET",    "/metrics",                 0,                 0,                 coord_metrics },
        { "POST",   "/create_session",          CREATE_BODY,       0,                 coord_session_create },
        { "POST",   "/v1/sessions",             CREATE_BODY,       0,                 coord_session_create },
        { "GET",    "/v1/sessions",             0,                 0,                 coord_session_list },
        { "GET",    "/v1/sessions/{}",          HTTP_BODY_SETTING, HTTP_ROUTE_STREAM, coord_session },
        { "PATCH",  "/v1/sessions/{}",          HTTP_BODY_SETTING, HTTP_ROUTE_STREAM, coord_session },
        { "DELETE", "/v1/sessions/{}",          HTTP_BODY_SETTING, HTTP_ROUTE_STREAM, coord_session },
        { "*",      "/v1/sessions/{}/*",        HTTP_BODY_SETTING, HTTP_ROUTE_STREAM, coord_session_proxy },
        { "GET",    "/v1/snapshots",            0,                 0,                 coord_snapshot_list },
        { "GET",    "/v1/snapshots/{}",         0,                 0,                 coord_snapshot },
        { "DELETE", "/v1/snapshots/{}",         0,                 0,                 coord_snapshot },
        { "GET",    "/v1/images",               0,                 0,                 coord_image_list },
        { "GET",    "/v1/workers",              0,                 0,                 coord_worker_list },
        { "POST",   "/v1/workers/{}/drain",     4 * KIB,           0,                 coord_worker_drain },
        { "POST",   "/v1/workers/{}/undrain",   4 * KIB,           0,                 coord_worker_undrain },
        { 0 },
};
/* clang-format on */
