/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/fleet.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "coord/fleet-internal.h"

#define TICK_USEC (500 * USEC_PER_MSEC)
#define DRAWS 8U /* of two random workers, before all are looked at */
#define TRIED_MAX 32U
#define PATIENCE_USEC (5 * USEC_PER_SEC) /* that a worker is down before what goes on there is given up */

/* --- those that take new sessions --- */

static void leave_ready(Worker *w) {
        Fleet *f = w->fleet;

        if (w->position == SIZE_MAX)
                return;
        f->n_ready--;
        f->ready[w->position] = f->ready[f->n_ready];
        f->ready[w->position]->position = w->position;
        w->position = SIZE_MAX;
}

static void join_ready(Worker *w) {
        Fleet *f = w->fleet;

        if (w->position != SIZE_MAX)
                return;
        if (f->n_ready == f->ready_size) {
                size_t size = MAX(16U, 2 * f->ready_size);
                Worker **p = reallocarray(f->ready, size, sizeof *p);
                if (!p)
                        return; /* it is looked at again with its next report */
                f->ready = p;
                f->ready_size = size;
        }
        w->position = f->n_ready;
        f->ready[f->n_ready++] = w;
}

void fleet_refresh(Worker *w) {
        if (worker_takes_sessions(w))
                join_ready(w);
        else
                leave_ready(w);
}

void fleet_tell(Worker *w, FleetEvent event) {
        if (w->fleet->notify && !w->fleet->freeing)
                w->fleet->notify(w->fleet, event, w, w->fleet->userdata);
}

void fleet_set_fencing(Worker *w, bool fencing) {
        if (w->fencing == fencing)
                return;
        w->fencing = fencing;
        fleet_refresh(w);
        if (worker_is_reachable(w))
                fleet_tell(w, FLEET_UP);
}

uint64_t fleet_random(Fleet *f) {
        /* xorshift64: quick; nothing secret hangs on it */
        f->random ^= f->random << 13;
        f->random ^= f->random >> 7;
        f->random ^= f->random << 17;
        return f->random;
}

static bool was_tried(const Worker *w, Worker *const *tried, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (tried[i] == w)
                        return true;
        return false;
}

static Worker *best_of_all(Fleet *f, Worker *const *tried, size_t n_tried) {
        Worker *best = NULL;
        size_t start = f->n_ready > 0 ? fleet_random(f) % f->n_ready : 0;

        for (size_t i = 0; i < f->n_ready; i++) {
                Worker *w = f->ready[(start + i) % f->n_ready];
                if (!was_tried(w, tried, n_tried) && (!best || worker_compare(w, best) < 0))
                        best = w;
        }
        return best;
}

/* When none is well, one in doubt is better than none. */
static Worker *any_suspect(Fleet *f, Worker *const *tried, size_t n_tried) {
        Worker *w, *best = NULL;

        TAILQ_FOREACH(w, &f->workers, entry)
        if (worker_is_reachable(w) && w->live.state == LIVENESS_SUSPECT && w->report.status <= REPORT_DEGRADED &&
                !was_tried(w, tried, n_tried) && (!best || worker_compare(w, best) < 0))
                best = w;
        return best;
}

Worker *fleet_choose(Fleet *f, Worker *const *tried, size_t n_tried) {
        assert(n_tried <= TRIED_MAX);

        for (unsigned i = 0; f->n_ready > 2 * n_tried + 1 && i < DRAWS; i++) {
                size_t a = fleet_random(f) % f->n_ready, b = fleet_random(f) % (f->n_ready - 1);
                if (b >= a)
                        b++;
                Worker *one = f->ready[a], *two = f->ready[b];
                Worker *better = worker_compare(two, one) < 0 ? two : one;
                if (!was_tried(better, tried, n_tried) && worker_has_room(better))
                        return better;
        }
        Worker *w = best_of_all(f, tried, n_tried);
        return w ? w : any_suspect(f, tried, n_tried);
}

size_t fleet_n_ready(const Fleet *f) {
        return f->n_ready;
}

bool fleet_may_recover(const Fleet *f) {
        Worker *w;

        TAILQ_FOREACH(w, &f->workers, entry)
        if (!w->alias && !w->conflict && worker_may_recover(w))
                return true;
        return false;
}

bool fleet_is_partial(const Fleet *f) {
        Worker *w;

        TAILQ_FOREACH(w, &f->workers, entry)
        if (!worker_is_reachable(w) && !w->alias && !w->conflict && !w->synced && !w->given_up)
                return true;
        return false;
}

bool fleet_is_settled(const Fleet *f) {
        Worker *w;

        TAILQ_FOREACH(w, &f->workers, entry)
        if (w->live.state == LIVENESS_NEW)
                return false;
        return true;
}

/* --- members --- */

static Worker *worker_free(Worker *w) {
        if (!w)
                return NULL;
        if (w->entry.tqe_prev)
                TAILQ_REMOVE(&w->fleet->workers, w, entry);
        leave_ready(w);
        if (w->id[0] && !w->alias && !w->conflict)
                HASH_DELETE(by_id, w->fleet->by_id, w);
        worker_tell_lost(w, true);
        probe_done(w);
        w->server = fetch_server_free(w->server);
        free(w->url);
        free(w);
        return NULL;
}
DEFINE_CLEANUP(Worker, worker_free);

static int worker_new(Fleet *f, const char *url, Worker **ret) {
        _cleanup_(worker_freep) Worker *w = calloc(1, sizeof *w);

        if (!w)
                return -ENOMEM;
        w->fleet = f;
        w->position = SIZE_MAX;
        TAILQ_INIT(&w->waiters);
        TAILQ_INIT(&w->sessions);
        w->url = strdup(url);
        if (!w->url)
                return -ENOMEM;
        int r = fetch_server_new(f->fetcher, url, &w->server);
        if (r >= 0)
                r = probe_init(w);
        if (r < 0)
                return r;
        *ret = take_ptr(w);
        return 0;
}

static Worker *find_url(Fleet *f, const char *url) {
        Worker *w;

        TAILQ_FOREACH(w, &f->workers, entry)
        if (strcmp(w->url, url) == 0)
                return w;
        return NULL;
}

int fleet_found(Fleet *f, const char *url, WorkerSource source) {
        Worker *w = find_url(f, url);

        if (!w) {
                int r = worker_new(f, url, &w);
                if (r < 0)
                        return r;
                TAILQ_INSERT_TAIL(&f->workers, w, entry);
        }
        bool known = w->sources != 0;
        w->sources |= source;
        w->swept |= source;
        if (!known)
                probe_soon(w);
        return 0;
}

static void lose(Worker *w, WorkerSource source) {
        w->sources &= ~(unsigned) source;
        if (w->sources)
                return;
        /* whoever knew of it says that it ended; asking it again might start it */
        probe_stop(w);
        bool changed = liveness_gone(&w->live, clock_monotonic());
        fleet_refresh(w);
        if (!changed)
                return;
        fleet_tell(w, FLEET_DOWN);
        worker_tell_lost(w, false);
}

void fleet_lost(Fleet *f, const char *url, WorkerSource source) {
        Worker *w = find_url(f, url);

        if (w && w->sources & source)
                lose(w, source);
}

void fleet_sweep_begin(Fleet *f, WorkerSource source) {
        Worker *w;

        TAILQ_FOREACH(w, &f->workers, entry)
        w->swept &= ~(unsigned) source;
}

void fleet_sweep_end(Fleet *f, WorkerSource source) {
        Worker *w;

        TAILQ_FOREACH(w, &f->workers, entry)
        if (w->sources & source && !(w->swept & source))
                lose(w, source);
}

Worker *fleet_find(Fleet *f, const char *id) {
        Worker *w;

        HASH_FIND(by_id, f->by_id, id, strlen(id), w);
        return w;
}

Worker *fleet_first(Fleet *f) {
        return TAILQ_FIRST(&f->workers);
}

Worker *fleet_next(Worker *w) {
        return TAILQ_NEXT(w, entry);
}

/* --- time --- */

/* Whoever knew of it says that it ended, and its socket has been taken away too, which no restart does: it was stopped for
 * good, or removed. */
static bool has_left(const Worker *w) {
        return w->sources == 0 && strncmp(w->url, "unix:", 5) == 0 && access(w->url + 5, F_OK) < 0 && errno == ENOENT;
}

static bool is_over(const Worker *w, usec_t now) {
        return w->live.state == LIVENESS_DOWN &&
               (now >= w->live.down_since + w->fleet->settings.give_up || has_left(w));
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        Fleet *f = userdata;
        usec_t now = clock_monotonic();
        Worker *w, *next;

        (void) usec;
        (void) sd_event_source_set_time_relative(source, TICK_USEC);
        for (w = TAILQ_FIRST(&f->workers); w; w = next) {
                next = TAILQ_NEXT(w, entry);
                if (w->live.state == LIVENESS_DOWN && now >= w->live.down_since + PATIENCE_USEC)
                        worker_tell_lost(w, true);
                if (!is_over(w, now))
                        continue;
                if (!w->given_up) {
                        w->given_up = true;
                        fleet_tell(w, FLEET_GIVEN_UP);
                }
                if (w->sources == 0) {
                        fleet_tell(w, FLEET_REMOVED);
                        (void) worker_free(w);
                }
        }
        return 0;
}

void fleet_configure(Fleet *f, const FleetSettings *settings) {
        f->settings = *settings;
}

int fleet_new(sd_event *event, Fetcher *fetcher, const FleetSettings *settings, FleetNotify *notify, void *userdata,
        Fleet **ret) {
        _cleanup_(fleet_freep) Fleet *f = calloc(1, sizeof *f);

        if (!f)
                return -ENOMEM;
        f->event = event;
        f->fetcher = fetcher;
        f->settings = *settings;
        f->notify = notify;
        f->userdata = userdata;
        TAILQ_INIT(&f->workers);
        if (getrandom(&f->random, sizeof f->random, 0) < 0 || f->random == 0)
                f->random = clock_realtime() | 1;
        int r = sd_event_add_time_relative(event, &f->tick, CLOCK_MONOTONIC, TICK_USEC, USEC_PER_MSEC, on_tick, f);
        if (r >= 0)
                r = sd_event_source_set_enabled(f->tick, SD_EVENT_ON);
        if (r < 0)
                return r;
        *ret = take_ptr(f);
        return 0;
}

Fleet *fleet_free(Fleet *f) {
        Worker *w;

        if (!f)
                return NULL;
        f->freeing = true;
        while ((w = TAILQ_FIRST(&f->workers)))
                (void) worker_free(w);
        f->tick = sd_event_source_disable_unref(f->tick);
        free(f->ready);
        free(f);
        return NULL;
}
