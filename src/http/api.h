/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fetch/fetch.h"
#include "http/events.h"
#include "http/server.h"
#include "session/context.h"
#include "session/images.h"
#include "session/manager.h"

/* The worker's HTTP interface, the public contract over sessions. */

typedef struct HttpApi {
        const char *worker_id;    /* borrowed */
        SessionManager *sessions; /* borrowed */
        Pool *pool;               /* borrowed: of the default image; those of others follow it */
        Images *images;           /* borrowed, or NULL: there are none */
        Backend *backend;         /* borrowed */
        HttpServer *server;       /* borrowed */
        usec_t started;           /* monotonic */
        char *const *listen;      /* borrowed, ended by NULL: our sockets as in ListenStream=; or NULL */

        uint64_t n_created, n_execs; /* since the start */

        Fetcher *fetcher; /* owned: for servers inside sandboxes; NULL before the first request to one */

        char incarnation[UUID_TEXT_MAX]; /* another one means that all sessions of before are gone */
        char fencing_token[UUID_TEXT_MAX]; /* of this process; see http/fleet.h */
        double pressure_memory, pressure_cpu; /* percent of the time that something waited for it */
} HttpApi;

extern const HttpRoute http_api_routes[];

typedef enum HealthStatus { HEALTH_HEALTHY, HEALTH_DEGRADED, HEALTH_DRAINING, HEALTH_UNHEALTHY } HealthStatus;
HealthStatus http_api_health(const HttpApi *api);
const char *health_status_text(HealthStatus status);

/* Handlers, one file each; @userdata is the HttpApi. */
HttpHandler http_health;
HttpHandler http_metrics;
HttpHandler http_session_create, http_session_list, http_session_show, http_session_patch, http_session_delete,
        http_session_pause, http_session_resume;
HttpHandler http_exec;
HttpHandler http_exec_list, http_exec_show, http_exec_output, http_exec_signal, http_exec_stdin, http_exec_resize;
HttpHandler http_exec_tty;
HttpHandler http_file_get, http_file_put, http_file_delete, http_file_stat, http_file_move, http_folder_make;
HttpHandler http_context_create, http_context_list, http_context_show, http_context_delete;
HttpHandler http_context_interrupt, http_context_restart, http_context_run;
HttpHandler http_port;
HttpHandler http_session_fork, http_snapshot_create, http_snapshot_list, http_snapshot_show, http_snapshot_delete;
HttpHandler http_image_list;
HttpHandler http_worker_list, http_worker_drain, http_worker_undrain, http_worker_fence;
HttpHandler http_folder_list, http_file_watch, http_archive_get, http_archive_put;

/* The session that the path's first parameter names and the request may use, or NULL after having answered. */
Session *http_find_session(HttpRequest *r, HttpApi *api);

/* The command that the path's second parameter names, or NULL after having answered. Borrowed. */
Exec *http_find_exec(HttpRequest *r, HttpApi *api);

/* stream.c: makes the next event out of a piece of a command's output, up to @limit. Returns 1 with the offset behind
 * it in @ret_next, or -errno. */
#define HTTP_EVENT_OUTPUT_MAX HTTP_EVENT_TEXT_MAX
int http_events_put_output(HttpEvents *e, const Exec *exec, const OutputPiece *p, uint64_t limit, uint64_t *ret_next);
/* Runs @spec and answers with its events; it ends when the client goes, unless it runs in the background. */
void http_exec_stream(HttpRequest *r, HttpApi *api, Session *s, ExecSpec *spec);
/* Answers with the events of a command from @from on. */
void http_exec_follow(HttpRequest *r, Exec *e, uint64_t from, bool cancel);
