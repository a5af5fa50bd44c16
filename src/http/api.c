/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/api.h"

/* clang-format off */
const HttpRoute http_api_routes[] = {
        { "GET",    "/health",                  0,                 HTTP_ROUTE_OPEN, http_health },
        { "GET",    "/metrics",                 0,                 0,               http_metrics },
        { "POST",   "/create_session",          256 * KIB,         0,               http_session_create },
        { "POST",   "/v1/sessions",             256 * KIB,         0,               http_session_create },
        { "GET",    "/v1/sessions",             0,                 0,               http_session_list },
        { "GET",    "/v1/sessions/{}",          0,                 0,               http_session_show },
        { "PATCH",  "/v1/sessions/{}",          256 * KIB,         0,               http_session_patch },
        { "DELETE", "/v1/sessions/{}",          0,                 0,               http_session_delete },
        { "POST",   "/v1/sessions/{}/exec",     HTTP_BODY_SETTING, 0,               http_exec },
        { "GET",    "/v1/workers",              0,                 0,               http_worker_list },
        { "POST",   "/v1/workers/{}/drain",     0,                 0,               http_worker_drain },
        { "POST",   "/v1/workers/{}/undrain",   0,                 0,               http_worker_undrain },
        { 0 },
};
/* clang-format on */

Session *http_find_session(HttpRequest *r, HttpApi *api) {
        Error error = { 0 };
        Session *s;

        int k = session_find(api->sessions, http_request_parameter(r, 0), http_request_owner(r), &s, &error);
        if (k == 0)
                return s;
        http_answer_error(r, &error, k);
        return NULL;
}
