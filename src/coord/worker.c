/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/worker.h"

#include "coord/fleet-internal.h"

#define PRESSURE_NOISE 30U                      /* percent: workers report at different times */
#define LATENCY_FACTOR 4U                       /* so many times slower than another, */
#define LATENCY_NOISE_USEC (50 * USEC_PER_MSEC) /* and beyond this, counts: that is no busy moment */

bool worker_is_reachable(const Worker *w) {
        return (w->live.state == LIVENESS_UP || w->live.state == LIVENESS_SUSPECT) && w->id[0] && !w->alias &&
               !w->conflict && !w->fencing;
}

bool worker_takes_sessions(const Worker *w) {
        return worker_is_reachable(w) && w->live.state == LIVENESS_UP && w->report.status <= REPORT_DEGRADED;
}

bool worker_may_recover(const Worker *w) {
        switch (w->live.state) {
        case LIVENESS_UP:
                return w->fencing;
        case LIVENESS_DOWN:
                return !w->given_up && clock_monotonic() < w->live.down_since + WORKER_RECOVERY_USEC;
        default:
                return true;
        }
}

bool worker_has_room(const Worker *w) {
        return w->report.max_sessions == 0 || w->report.active_sessions + w->n_pending < w->report.max_sessions;
}

static bool has_ready(const Worker *w) {
        return w->report.pool_ready > w->n_pending;
}

static bool is_slow(const Worker *w, const Worker *other) {
        return w->latency > LATENCY_NOISE_USEC && w->latency > LATENCY_FACTOR * other->latency;
}

static bool is_pressed(const Worker *w, const Worker *other) {
        return w->report.pressure > other->report.pressure + PRESSURE_NOISE;
}

/* Share of its capacity that is in use, in millionths; what is about to be used counts. */
static uint64_t load_of(const Worker *w) {
        uint64_t in_use = (uint64_t) w->report.active_sessions + w->n_pending;

        return in_use * 1000000U / (w->report.max_sessions > 0 ? w->report.max_sessions : 1000U);
}

static int order(uint64_t a, uint64_t b) {
        return a < b ? -1 : a > b;
}

/* What matters most comes first; all but the last are the same for workers that are well, so that the load decides. */
int worker_compare(const Worker *a, const Worker *b) {
        int k = order(!worker_has_room(a), !worker_has_room(b));

        if (k == 0)
                k = order(a->report.status, b->report.status);
        if (k == 0)
                k = order(is_pressed(a, b), is_pressed(b, a));
        if (k == 0)
                k = order(is_slow(a, b), is_slow(b, a));
        if (k == 0 && (a->report.pool_size > 0 || b->report.pool_size > 0))
                k = order(!has_ready(a), !has_ready(b));
        if (k == 0)
                k = order(load_of(a), load_of(b));
        return k;
}

void worker_session_added(Worker *w, bool from_pool) {
        w->report.active_sessions++;
        if (from_pool && w->report.pool_ready > 0)
                w->report.pool_ready--;
}

void worker_session_removed(Worker *w) {
        if (w->report.active_sessions > 0)
                w->report.active_sessions--;
}

void worker_set_draining(Worker *w, bool draining) {
        w->report.status = draining ? REPORT_DRAINING : REPORT_HEALTHY;
        fleet_refresh(w);
}

void worker_wait(Worker *w, WorkerWaiter *waiter) {
        assert(!waiter->linked);
        waiter->linked = true;
        TAILQ_INSERT_TAIL(&w->waiters, waiter, entry);
}

void worker_wait_end(Worker *w, WorkerWaiter *waiter) {
        if (!waiter->linked)
                return;
        waiter->linked = false;
        TAILQ_REMOVE(&w->waiters, waiter, entry);
}

static WorkerWaiter *next_waiter(Worker *w, bool patient) {
        WorkerWaiter *waiter;

        TAILQ_FOREACH(waiter, &w->waiters, entry)
        if (patient || !waiter->patient)
                return waiter;
        return NULL;
}

void worker_tell_lost(Worker *w, bool patient) {
        WorkerWaiter *waiter;

        while ((waiter = next_waiter(w, patient))) {
                worker_wait_end(w, waiter);
                waiter->lost(waiter);
        }
}

const char *worker_name(const Worker *w) {
        return w->id[0] ? w->id : w->url;
}

const char *worker_status(const Worker *w) {
        if (w->conflict)
                return "conflict";
        if (w->live.state == LIVENESS_UP)
                return w->fencing ? "fencing" : report_status_text(w->report.status);
        return liveness_text(w->live.state);
}
