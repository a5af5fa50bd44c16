/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "coord/fleet-internal.h"
#include "coord/sessions.h"

#define ANSWER_MAX (16U * 1024U)
#define LATENCY_SHARE 4U /* of a new value in the smoothed one: a quarter */

/* Asks one worker, again and again, how it is. */

static void schedule(Worker *w, usec_t after) {
        (void) sd_event_source_set_time_relative(w->timer, after);
        (void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static void schedule_next(Worker *w) {
        usec_t interval = liveness_interval(&w->live, w->fleet->settings.interval);

        if (w->probe_again) {
                w->probe_again = false;
                interval = 0;
        }
        if (w->sources)
                schedule(
                        w, interval - interval / 8 + fleet_random(w->fleet) % (interval / 4 + 1)); /* not all at once */
}

void probe_soon(Worker *w) {
        if (w->probe)
                w->probe_again = true;
        else
                schedule(w, 0);
}

void probe_stop(Worker *w) {
        w->probe = fetch_free(w->probe);
        w->probe_again = false;
        (void) sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
}

void worker_look(Worker *w) {
        if (w->sources)
                probe_soon(w);
}

void worker_doubt(Worker *w) {
        if (!w->sources || !liveness_doubt(&w->live))
                return;
        fleet_refresh(w);
        probe_soon(w);
}

/* --- who it is --- */

static bool rename_worker(Worker *w, const char *id) {
        if (w->id[0] && !w->alias && !w->conflict)
                HASH_DELETE(by_id, w->fleet->by_id, w);
        (void) snprintf(w->id, sizeof w->id, "%s", id);
        w->alias = w->conflict = false;
        HASH_ADD(by_id, w->fleet->by_id, id, strlen(w->id), w);
        if (!HASH_HAS(by_id, w))
                w->id[0] = '\0'; /* as before it said who it is: its next answer says so again */
        return w->id[0];
}

/* What it holds belongs to @w from here on: the same worker at another address. */
static void inherit(Worker *w, Worker *former) {
        HASH_DELETE(by_id, w->fleet->by_id, former);
        former->id[0] = '\0';
        fleet_refresh(former);
        sessions_move(former, w);
}

/* Returns true when the worker may be used under its id. */
static bool identify(Worker *w, const WorkerReport *report) {
        Worker *other = fleet_find(w->fleet, report->worker_id);
        bool was_conflict = w->conflict;

        if (other == w)
                return true;
        if (!other || other->live.state == LIVENESS_DOWN) {
                if (other)
                        inherit(w, other);
                return rename_worker(w, report->worker_id);
        }

        if (w->id[0] && !w->alias && !w->conflict)
                HASH_DELETE(by_id, w->fleet->by_id, w);
        (void) snprintf(w->id, sizeof w->id, "%s", report->worker_id);
        w->alias = report->token[0] && strcmp(report->token, other->token) == 0;
        w->conflict = !w->alias;
        if (w->conflict && !was_conflict)
                fleet_tell(w, FLEET_CONFLICT);
        return false;
}

/* --- what it says --- */

static void measure(Worker *w, usec_t latency) {
        w->latency = w->latency == 0 ? latency : w->latency - w->latency / LATENCY_SHARE + latency / LATENCY_SHARE;
}

static void take_report(Worker *w, const WorkerReport *report, usec_t latency) {
        bool was_reachable = worker_is_reachable(w), changed = liveness_good(&w->live);

        bool usable = identify(w, report);
        w->report = *report;
        measure(w, latency);
        if (usable && w->live.state != LIVENESS_DOWN &&
                (changed || w->given_up || strcmp(w->token, report->token) != 0)) {
                memcpy(w->token, report->token, sizeof w->token);
                fleet_tell(w, FLEET_RENEWED);
                w->given_up = false;
        }
        fleet_refresh(w);
        if (!was_reachable && worker_is_reachable(w))
                fleet_tell(w, FLEET_UP);
}

static void take_failure(Worker *w) {
        bool down = liveness_bad(&w->live, clock_monotonic()) && w->live.state == LIVENESS_DOWN;

        fleet_refresh(w);
        if (!down)
                return;
        fleet_tell(w, FLEET_DOWN);
        worker_tell_lost(w, false);
}

static bool on_data(Fetch *f, const char *data, size_t size, void *userdata) {
        Worker *w = userdata;

        (void) f;
        char *p = w->answer_used + size <= ANSWER_MAX ? realloc(w->answer, w->answer_used + size) : NULL;
        if (p) {
                w->answer = p;
                memcpy(p + w->answer_used, data, size);
        }
        w->answer_used += p ? size : ANSWER_MAX + 1; /* too much: is not read */
        return true;
}

static void on_done(Fetch *f, int result, void *userdata) {
        Worker *w = userdata;
        WorkerReport report;
        unsigned status = result == 0 ? fetch_status(f) : 0;
        usec_t latency = fetch_latency(f);

        w->probe = fetch_free(w->probe);
        if ((status == 200 || status == 503) && w->answer_used <= ANSWER_MAX &&
                worker_report_read(w->answer, w->answer_used, &report) == 0)
                take_report(w, &report, latency);
        else
                take_failure(w);
        free(w->answer);
        w->answer = NULL;
        schedule_next(w);
}

static const FetchOps probe_ops = { .data = on_data, .done = on_done };

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Worker *w = userdata;
        usec_t patience = liveness_patience(&w->live, w->fleet->settings.interval);
        FetchRequest request = {
                .method = "GET",
                .target = "/health",
                .connect_patience = patience,
                .patience = patience,
        };

        (void) source;
        (void) usec;
        w->answer_used = 0;
        if (fetch_start(w->server, &request, &probe_ops, w, &w->probe) < 0) {
                take_failure(w);
                schedule_next(w);
        }
        return 0;
}

int probe_init(Worker *w) {
        int r = sd_event_add_time(w->fleet->event, &w->timer, CLOCK_MONOTONIC, 0, 10 * USEC_PER_MSEC, on_timer, w);

        return r < 0 ? r : sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
}

void probe_done(Worker *w) {
        w->probe = fetch_free(w->probe);
        w->timer = sd_event_source_disable_unref(w->timer);
        free(w->answer);
        w->answer = NULL;
}
