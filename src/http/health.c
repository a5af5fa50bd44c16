/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "http/api.h"

const char *health_status_text(HealthStatus status) {
        static const char *const texts[] = {
                [HEALTH_HEALTHY] = "healthy",
                [HEALTH_DEGRADED] = "degraded",
                [HEALTH_DRAINING] = "draining",
                [HEALTH_UNHEALTHY] = "unhealthy",
        };
        return texts[status];
}

HealthStatus http_api_health(const HttpApi *api) {
        if (session_manager_is_draining(api->sessions))
                return HEALTH_DRAINING;
        if (api->backend->status != BACKEND_READY)
                return HEALTH_UNHEALTHY;
        if (pool_is_failing(api->pool))
                return pool_n_ready(api->pool) > 0 ? HEALTH_DEGRADED : HEALTH_UNHEALTHY;
        for (const Pool *p = pool_next(api->pool); p; p = pool_next(p))
                if (pool_is_failing(p))
                        return HEALTH_DEGRADED;
        return HEALTH_HEALTHY;
}

static json_t *describe(const HttpApi *api, HealthStatus status) {
        return json_pack("{ss ss sI sI sI sI ss s{sf sf} ss ss ss}", "status", health_status_text(status), "worker_id", api->worker_id,
                "pool_size", (json_int_t) pool_sum_target(api->pool), "pool_ready", (json_int_t) pool_sum_ready(api->pool),
                "active_sessions", (json_int_t) session_count(api->sessions), "max_sessions",
                (json_int_t) session_max(api->sessions), "limits",
                api->backend->limits_enforced ? "enforced" : "unavailable", "pressure", "memory",
                api->pressure_memory, "cpu", api->pressure_cpu, "incarnation", api->incarnation, "fencing_token", api->fencing_token,
                "version", VERSION);
}

/* Where else it listens is for who is on this machine: sandboxd-announce. */
static void add_listen(const HttpApi *api, const HttpRequest *r, json_t *j) {
        const struct sockaddr *peer = http_request_peer(r);
        json_t *list = api->listen && peer && peer->sa_family == AF_UNIX ? json_array() : NULL;

        for (char *const *p = api->listen; list && *p; p++)
                (void) json_array_append_new(list, json_string(*p));
        if (list)
                (void) json_object_set_new(j, "listen", list);
}

void http_health(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        HealthStatus status = http_api_health(api);
        json_t *j = describe(api, status);

        add_listen(api, r, j);
        http_answer_json(r, status == HEALTH_HEALTHY || status == HEALTH_DEGRADED ? 200 : 503, j);
}

static json_t *describe_worker(const HttpApi *api) {
        return json_pack("{ss ss ss sI sI sI}", "worker_id", api->worker_id, "url", "", "status",
                health_status_text(http_api_health(api)), "pool_size", (json_int_t) pool_sum_target(api->pool),
                "pool_ready", (json_int_t) pool_sum_ready(api->pool), "active_sessions",
                (json_int_t) session_count(api->sessions));
}

void http_worker_list(HttpRequest *r, void *userdata) {
        http_answer_json(r, 200, json_pack("{s[o]}", "workers", describe_worker(userdata)));
}

static void set_draining(HttpRequest *r, HttpApi *api, bool draining) {
        if (strcmp(http_request_parameter(r, 0), api->worker_id) != 0) {
                Error error = { 0 };
                int k = error_set_field(
                        &error, ERROR_NOT_FOUND, "worker_id", NULL, "This is worker %s.", api->worker_id);
                http_answer_error(r, &error, k);
                return;
        }
        session_manager_set_draining(api->sessions, draining);
        http_answer_json(r, 200, describe_worker(api));
}

void http_worker_drain(HttpRequest *r, void *userdata) {
        set_draining(r, userdata, true);
}

void http_worker_undrain(HttpRequest *r, void *userdata) {
        set_draining(r, userdata, false);
}

void http_metrics(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        const HttpCounters *c = http_server_counters(api->server);
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f) {
                Error error = { 0 };
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
#define METRIC(type, name, help, value)                                                                                \
        (void) fprintf(f,                                                                                              \
                "# HELP sandboxd_" name " " help "\n# TYPE sandboxd_" name " " type "\nsandboxd_" name " %llu\n",      \
                (unsigned long long) (value))
        METRIC("gauge", "pool_size", "Sandboxes that the pool keeps ready.", pool_sum_target(api->pool));
        METRIC("gauge", "pool_ready", "Sandboxes that are ready now.", pool_sum_ready(api->pool));
        METRIC("gauge", "blanks", "Sandboxes that are made ahead of requests that no pool can serve.",
                api->backend->n_blanks);
        METRIC("gauge", "sessions", "Sessions that live now.", session_count(api->sessions));
        METRIC("gauge", "sessions_max", "Most sessions at once.", session_max(api->sessions));
        METRIC("counter", "sessions_created_total", "Sessions created.", api->n_created);
        METRIC("counter", "execs_total", "Commands run.", api->n_execs);
        METRIC("gauge", "http_connections", "Open HTTP connections.", c->connections);
        METRIC("counter", "http_connections_refused_total", "Connections closed for want of room.", c->refused);
        METRIC("counter", "http_requests_total", "HTTP requests begun.", c->requests);
        METRIC("gauge", "healthy", "1 when the worker is healthy.", http_api_health(api) == HEALTH_HEALTHY);
        METRIC("gauge", "uptime_seconds", "Time since the worker started.",
                (clock_monotonic() - api->started) / USEC_PER_SEC);
#undef METRIC
        (void) fprintf(f, "# HELP sandboxd_http_answers_total HTTP answers by class of status.\n"
                          "# TYPE sandboxd_http_answers_total counter\n");
        for (unsigned i = 1; i <= 5; i++)
                (void) fprintf(
                        f, "sandboxd_http_answers_total{class=\"%uxx\"} %llu\n", i, (unsigned long long) c->answers[i]);
        if (fclose(f) != 0) {
                Error error = { 0 };
                free(text);
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        http_answer_text(r, 200, "text/plain; version=0.0.4", text);
}
