/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "coord/coord.h"
#include "spec/json.h"

bool coord_shows(const Worker *w) {
        return !w->alias && (w->sources || !w->given_up);
}

void coord_sum_up(const Coordinator *c, CoordSum *s) {
        *s = (CoordSum){ .limits = true };
        for (Worker *w = fleet_first(c->fleet); w; w = fleet_next(w)) {
                if (!coord_shows(w))
                        continue;
                s->n_workers++;
                if (!worker_is_reachable(w))
                        continue;
                s->n_up++;
                s->n_well += w->live.state == LIVENESS_UP && w->report.status == REPORT_HEALTHY;
                s->n_draining += w->report.status == REPORT_DRAINING;
                s->pool_size += w->report.pool_size;
                s->pool_ready += w->report.pool_ready;
                s->active += w->report.active_sessions;
                s->max += w->report.max_sessions;
                s->limits = s->limits && w->report.limits_enforced;
        }
}

/* Degraded: it works, but with less behind it than there should be. */
static const char *status_of(const Coordinator *c, const CoordSum *s) {
        if (fleet_n_ready(c->fleet) == 0)
                return s->n_up > 0 && s->n_draining == s->n_up ? "draining" : "unhealthy";
        return s->n_well < s->n_workers - s->n_draining || coord_store_trouble(c) ? "degraded" : "healthy";
}

static const char *reason_of(const Coordinator *c, const CoordSum *s, char text[static 128]) {
        if (s->n_workers == 0)
                return c->store->ops->is_shared
                               ? "There are no workers: none is set, none is found here, none is announced in Redis."
                               : "There are no workers: none is set, none is found here.";
        if (s->n_up == 0)
                return "No worker can be reached.";
        if (fleet_n_ready(c->fleet) == 0)
                return s->n_draining == s->n_up ? "All workers are draining." : "No worker takes new sessions.";
        if (s->n_well < s->n_workers - s->n_draining)
                (void) snprintf(text, 128, "%u of %u workers are not well.", s->n_workers - s->n_draining - s->n_well,
                        s->n_workers);
        else
                (void) snprintf(text, 128, "%s cannot be used.",
                        c->store->available ? "The Redis that is configured now" : "Redis");
        return text;
}

static json_t *describe_worker(const Worker *w) {
        return json_pack("{ss ss ss sI sI sI sI sI}", "worker_id", w->id, "url", w->url, "status", worker_status(w),
                "pool_size", (json_int_t) w->report.pool_size, "pool_ready", (json_int_t) w->report.pool_ready,
                "active_sessions", (json_int_t) w->report.active_sessions, "max_sessions",
                (json_int_t) w->report.max_sessions, "latency_usec", (json_int_t) w->latency);
}

static json_t *list_workers(const Coordinator *c) {
        json_t *list = json_array();

        for (Worker *w = fleet_first(c->fleet); w && list; w = fleet_next(w))
                if (coord_shows(w))
                        (void) json_array_append_new(list, describe_worker(w));
        return list;
}

void coord_health(HttpRequest *r, void *userdata) {
        Coordinator *c = userdata;
        char text[128];
        CoordSum s;

        coord_sum_up(c, &s);
        const char *status = status_of(c, &s), *trouble = coord_store_trouble(c);
        json_t *j = json_pack("{ss ss sI sI sI sI ss ss ss so}", "status", status, "worker_id", "coordinator",
                "pool_size", (json_int_t) s.pool_size, "pool_ready", (json_int_t) s.pool_ready, "active_sessions",
                (json_int_t) s.active, "max_sessions", (json_int_t) s.max, "limits", s.limits ? "enforced" : "unavailable", "version", VERSION, "store",
                c->store->ops->name, "workers", list_workers(c));
        if (j && strcmp(status, "healthy") != 0)
                (void) json_object_set_new(j, "reason", json_string(reason_of(c, &s, text)));
        if (j && trouble)
                (void) json_object_set_new(j, "store_error", json_string(trouble));
        http_answer_json(r, strcmp(status, "healthy") == 0 || strcmp(status, "degraded") == 0 ? 200 : 503, j);
}

void coord_worker_list(HttpRequest *r, void *userdata) {
        http_answer_json(r, 200, json_pack("{so}", "workers", list_workers(userdata)));
}

#define METRIC(type, name, help, value)                                                                                \
        (void) fprintf(f,                                                                                              \
                "# HELP sandbox_coord_" name " " help "\n# TYPE sandbox_coord_" name " " type "\nsandbox_coord_" name  \
                " %llu\n",                                                                                             \
                (unsigned long long) (value))

static void write_metrics(const Coordinator *c, FILE *f) {
        const HttpCounters *h = http_server_counters(c->server);
        CoordSum s;

        coord_sum_up(c, &s);
        METRIC("gauge", "workers", "Workers that are known.", s.n_workers);
        METRIC("gauge", "workers_up", "Workers that can be reached.", s.n_up);
        METRIC("gauge", "workers_ready", "Workers that take new sessions.", fleet_n_ready(c->fleet));
        METRIC("gauge", "pool_size", "Sandboxes that the workers keep ready.", s.pool_size);
        METRIC("gauge", "pool_ready", "Sandboxes that are ready.", s.pool_ready);
        METRIC("gauge", "sessions", "Sessions that the workers have.", s.active);
        METRIC("gauge", "sessions_known", "Sessions whose place is known here.", sessions_total(c->sessions));
        METRIC("counter", "sessions_created_total", "Sessions created.", c->counters.created);
        METRIC("counter", "sessions_attached_total", "Creations that found their session.", c->counters.attached);
        METRIC("counter", "create_retries_total", "Creations tried on another worker.", c->counters.create_retries);
        METRIC("counter", "proxied_total", "Requests that workers answered.", c->counters.proxied);
        METRIC("counter", "broken_total", "Requests that workers did not answer to the end.", c->counters.broken);
        METRIC("counter", "asked_total", "Sessions that all workers were asked for.", c->counters.asked);
        METRIC("gauge", "store_available", "1 when the store can be used.", c->store->available);
        METRIC("gauge", "http_connections", "Open connections of clients.", h->connections);
        METRIC("counter", "http_connections_refused_total", "Connections closed for want of room.", h->refused);
        METRIC("counter", "http_requests_total", "HTTP requests begun.", h->requests);
        METRIC("gauge", "uptime_seconds", "Time since the start.", (clock_monotonic() - c->started) / USEC_PER_SEC);
        (void) fprintf(f, "# HELP sandbox_coord_http_answers_total HTTP answers by class of status.\n"
                          "# TYPE sandbox_coord_http_answers_total counter\n");
        for (unsigned i = 1; i <= 5; i++)
                (void) fprintf(f, "sandbox_coord_http_answers_total{class=\"%uxx\"} %llu\n", i,
                        (unsigned long long) h->answers[i]);
        (void) fprintf(f, "# HELP sandbox_coord_worker_sessions Sessions of each worker.\n"
                          "# TYPE sandbox_coord_worker_sessions gauge\n");
        for (Worker *w = fleet_first(c->fleet); w; w = fleet_next(w))
                if (w->id[0] && coord_shows(w))
                        (void) fprintf(f, "sandbox_coord_worker_sessions{worker=\"%s\"} %u\n", w->id,
                                w->report.active_sessions);
}

void coord_metrics(HttpRequest *r, void *userdata) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        if (f) {
                write_metrics(userdata, f);
                if (fclose(f) == 0) {
                        http_answer_text(r, 200, "text/plain; version=0.0.4", text);
                        return;
                }
                free(text);
        }
        Error error = { 0 };
        http_answer_error(r, &error, -ENOMEM);
}
