/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/api.h"

#include <string.h>

/* clang-format off */
const HttpRoute http_api_routes[] = {
        { "GET",    "/health",                  0,                 HTTP_ROUTE_OPEN, http_health },
        { "GET",    "/metrics",                 0,                 0,               http_metrics },
        { "POST",   "/create_session",          256 * KIB,         0,               http_session_create },
        { "POST",   "/v1/sessions",             256 * KIB,         0,               http_session_create },
        { "GET",    "/v1/sessions",             0,                 0,               http_session_list },
        { "GET",    "/v1/sessions/{}",          0,                 0,               http_session_show },
        { "PATCH",  "/v1/sessions/{}",          256 * KIB,         0,               http_session_patch, "change" },
        { "DELETE", "/v1/sessions/{}",          0,                 0,               http_session_delete, "delete" },
        { "POST",   "/v1/sessions/{}/pause",    4 * KIB,           0,               http_session_pause, "pause" },
        { "POST",   "/v1/sessions/{}/resume",   4 * KIB,           0,               http_session_resume, "resume" },
        { "POST",   "/v1/sessions/{}/exec",     HTTP_BODY_SETTING, 0,               http_exec },
        { "GET",    "/v1/sessions/{}/execs",             0,         0, http_exec_list },
        { "GET",    "/v1/sessions/{}/execs/{}",          0,         0, http_exec_show },
        { "GET",    "/v1/sessions/{}/execs/{}/output",   0,         0, http_exec_output, "output" },
        { "POST",   "/v1/sessions/{}/execs/{}/signal",   4 * KIB,   0, http_exec_signal, "signal" },
        { "POST",   "/v1/sessions/{}/execs/{}/stdin",    HTTP_BODY_UNLIMITED, HTTP_ROUTE_STREAM, http_exec_stdin, "input" },
        { "POST",   "/v1/sessions/{}/execs/{}/resize",   4 * KIB,   0, http_exec_resize },
        { "GET",    "/v1/sessions/{}/execs/{}/tty",      0,         0, http_exec_tty, "terminal" },
        { "GET",    "/v1/sessions/{}/files",             0,         0, http_file_get, "read" },
        { "PUT",    "/v1/sessions/{}/files",             HTTP_BODY_UNLIMITED, HTTP_ROUTE_STREAM, http_file_put, "write" },
        { "DELETE", "/v1/sessions/{}/files",             0,         0, http_file_delete, "remove" },
        { "GET",    "/v1/sessions/{}/stat",              0,         0, http_file_stat },
        { "GET",    "/v1/sessions/{}/dir",               0,         0, http_folder_list, "list" },
        { "GET",    "/v1/sessions/{}/archive",           0,         0, http_archive_get, "read" },
        { "PUT",    "/v1/sessions/{}/archive",           HTTP_BODY_UNLIMITED, HTTP_ROUTE_STREAM, http_archive_put, "write" },
        { "GET",    "/v1/sessions/{}/watch",             0,         0, http_file_watch, "watch" },
        { "POST",   "/v1/sessions/{}/dir",               0,         0, http_folder_make, "make" },
        { "POST",   "/v1/sessions/{}/move",              64 * KIB,  0, http_file_move, "move" },
        { "GET",    "/v1/sessions/{}/contexts",               0,         0, http_context_list },
        { "POST",   "/v1/sessions/{}/contexts",               256 * KIB, 0, http_context_create, "context" },
        { "GET",    "/v1/sessions/{}/contexts/{}",            0,         0, http_context_show },
        { "DELETE", "/v1/sessions/{}/contexts/{}",            0,         0, http_context_delete, "context-end" },
        { "POST",   "/v1/sessions/{}/contexts/{}/run",        8 * MIB,   0, http_context_run, "run" },
        { "POST",   "/v1/sessions/{}/contexts/{}/interrupt",  4 * KIB,   0, http_context_interrupt, "interrupt" },
        { "POST",   "/v1/sessions/{}/contexts/{}/restart",    4 * KIB,   0, http_context_restart, "restart" },
        { "*",      "/v1/sessions/{}/ports/{}",               HTTP_BODY_UNLIMITED, HTTP_ROUTE_STREAM, http_port, "port" },
        { "*",      "/v1/sessions/{}/ports/{}/*",             HTTP_BODY_UNLIMITED, HTTP_ROUTE_STREAM, http_port, "port" },
        { "POST",   "/v1/sessions/{}/fork",      64 * KIB,          0,               http_session_fork, "fork" },
        { "POST",   "/v1/sessions/{}/snapshots", 4 * KIB,           0,               http_snapshot_create, "snapshot" },
        { "GET",    "/v1/snapshots",            0,                 0,               http_snapshot_list },
        { "GET",    "/v1/snapshots/{}",         0,                 0,               http_snapshot_show },
        { "DELETE", "/v1/snapshots/{}",         0,                 0,               http_snapshot_delete, "snapshot-delete" },
        { "GET",    "/v1/images",               0,                 0,               http_image_list },
        { "GET",    "/v1/workers",              0,                 0,               http_worker_list },
        { "POST",   "/v1/workers/{}/drain",     0,                 0,               http_worker_drain, "drain" },
        { "POST",   "/v1/workers/{}/undrain",   0,                 0,               http_worker_undrain, "undrain" },
        { "POST",   "/v1/workers/{}/fence",     4 * MIB,           0,               http_worker_fence, "fence" },
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

Exec *http_find_exec(HttpRequest *r, HttpApi *api) {
        Session *s = http_find_session(r, api);
        Error error = { 0 };
        Exec *e;

        if (!s)
                return NULL;
        if (strcmp(http_request_method(r), "POST") == 0 || http_request_header(r, "Upgrade"))
                (void) session_resume(s); /* it is to do something */
        int k = session_find_exec(s, http_request_parameter(r, 1), &e, &error);
        if (k == 0)
                return e;
        http_answer_error(r, &error, k);
        return NULL;
}
