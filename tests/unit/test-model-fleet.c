/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model.h"

#include <string.h>

#include "coord/fleet-internal.h"
#include "coord/sessions.h"
#include "fake-clock.h"
#include "fetch/fetch.h"

/*
 * Workers as the coordinator sees them, as doc/reliability.md draws their states. The schedule answers the probes, or
 * does not; the code under test is the fleet's own.
 */

#define STEPS 120U
#define WORKERS 4U
#define INTERVAL (500 * USEC_PER_MSEC)
#define GIVE_UP (30 * USEC_PER_SEC)

/* --- requests that the schedule answers --- */

struct FetchServer {
        char url[64];
};

struct Fetch {
        const FetchOps *ops;
        void *userdata;
        unsigned status;
        usec_t begin, patience;
        Fetch **link; /* where the schedule finds it */
};

static Fetch *probes[WORKERS];

static unsigned index_of(const char *url) {
        return (unsigned) (url[strlen(url) - 1] - '0');
}

int fetch_server_new(Fetcher *f, const char *url, FetchServer **ret) {
        FetchServer *s = calloc(1, sizeof *s);

        (void) f;
        assert_non_null(s);
        (void) snprintf(s->url, sizeof s->url, "%s", url);
        *ret = s;
        return 0;
}

FetchServer *fetch_server_free(FetchServer *s) {
        free(s);
        return NULL;
}

int fetch_start(FetchServer *server, const FetchRequest *request, const FetchOps *ops, void *userdata, Fetch **ret) {
        Fetch *f = calloc(1, sizeof *f);

        assert_non_null(f);
        assert_string_equal(request->target, "/health");
        *f = (Fetch){ .ops = ops, .userdata = userdata, .begin = clock_monotonic(), .patience = request->patience };
        f->link = &probes[index_of(server->url)];
        assert_null(*f->link); /* one at a time */
        *f->link = f;
        *ret = f;
        return 0;
}

Fetch *fetch_free(Fetch *f) {
        if (f)
                *f->link = NULL;
        free(f);
        return NULL;
}

unsigned fetch_status(const Fetch *f) {
        return f->status;
}

usec_t fetch_latency(const Fetch *f) {
        return clock_monotonic() - f->begin;
}

void sessions_move(Worker *from, Worker *to) {
        (void) from;
        (void) to;
}

void sessions_orphan(Worker *w) {
        (void) w;
}

/* --- the world --- */

typedef struct Expected {
        bool known; /* somebody says that it is there */
        usec_t unknown_since;
        bool told_down, told_given_up;
        unsigned token;
        WorkerWaiter waiter;
        unsigned n_lost;
        bool waits;
} Expected;

typedef struct World {
        Model *m;
        sd_event *event;
        Fleet *fleet;
        Expected expected[WORKERS];
} World;

static World *world;

/* Some are on this machine; their sockets are not there any more when they are said to have ended. */
static bool is_local(unsigned i) {
        return i % 2 == 1;
}

static void url_of(unsigned i, char *buf, size_t size) {
        if (is_local(i))
                (void) snprintf(buf, size, "unix:/no-such-folder/worker-%u", i);
        else
                (void) snprintf(buf, size, "http://worker-%u", i);
}

static Worker *worker(World *w, unsigned i) {
        char url[64];

        url_of(i, url, sizeof url);
        for (Worker *k = fleet_first(w->fleet); k; k = fleet_next(k))
                if (strcmp(k->url, url) == 0)
                        return k;
        return NULL;
}

static void on_fleet(Fleet *f, FleetEvent event, Worker *k, void *userdata) {
        World *w = userdata;
        unsigned i = index_of(k->url);
        Expected *e = &w->expected[i];

        (void) f;
        model_say(w->m, "worker %u: event %d", i, event);
        switch (event) {
        case FLEET_UP:
                model_check(w->m, worker_is_reachable(k));
                break;
        case FLEET_RENEWED: /* what it holds is asked for: it is no longer given up */
                e->told_given_up = false;
                break;
        case FLEET_DOWN:
                model_check(w->m, k->live.state == LIVENESS_DOWN);
                model_check(w->m, !e->told_down); /* once for each time that it is down */
                e->told_down = true;
                break;
        case FLEET_GIVEN_UP:
                model_check(w->m, !e->told_given_up && k->live.state == LIVENESS_DOWN);
                model_check(w->m, clock_monotonic() >= k->live.down_since + GIVE_UP || (is_local(i) && !e->known));
                e->told_given_up = true;
                break;
        case FLEET_REMOVED:
                model_check(w->m, !e->known);
                e->told_down = e->told_given_up = false; /* the next one there is another */
                break;
        default:
                break;
        }
}

static void on_lost(WorkerWaiter *waiter) {
        Expected *e = CONTAINER_OF(waiter, Expected, waiter);

        e->n_lost++;
        model_check(world->m, e->waits && e->n_lost == 1); /* once, and nobody who left */
}

/* One that came out of being down may go down again. */
static void look(World *w) {
        for (Worker *k = fleet_first(w->fleet); k; k = fleet_next(k))
                if (k->live.state != LIVENESS_DOWN)
                        w->expected[index_of(k->url)].told_down = false;
}

static void pass(World *w, usec_t usec) {
        for (usec_t piece; usec > 0; usec -= piece) {
                piece = MIN(usec, 20 * USEC_PER_MSEC);
                fake_clock_pass(piece);
                while (sd_event_run(w->event, 0) > 0)
                        ;
                for (unsigned i = 0; i < WORKERS; i++) { /* no answer within the time that the probe had */
                        Fetch *f = probes[i];
                        if (f && clock_monotonic() - f->begin >= f->patience)
                                f->ops->done(f, -ETIMEDOUT, f->userdata);
                }
                look(w);
        }
}

static void answer(World *w, unsigned i, const char *status) {
        char text[256];
        Fetch *f = probes[i];

        if (!f)
                return;
        int n = snprintf(text, sizeof text,
                "{\"status\":\"%s\",\"worker_id\":\"worker-%u\",\"pool_size\":5,\"pool_ready\":5,\"active_sessions\":1,"
                "\"max_sessions\":10,\"limits\":\"enforced\",\"fencing_token\":\"token-%u\"}",
                status, i, w->expected[i].token);
        f->status = 200;
        (void) f->ops->data(f, text, (size_t) n, f->userdata);
        f->ops->done(f, 0, f->userdata);
}

/* --- steps --- */

static void op_good(World *w, unsigned i) {
        model_say(w->m, "worker %u answers", i);
        answer(w, i, "healthy");
}

static void op_drains(World *w, unsigned i) {
        model_say(w->m, "worker %u answers that it drains", i);
        answer(w, i, "draining");
}

static void op_refuses(World *w, unsigned i) {
        Fetch *f = probes[i];

        if (!f)
                return;
        model_say(w->m, "worker %u: nobody listens", i);
        f->ops->done(f, -ECONNREFUSED, f->userdata);
}

static void op_garbage(World *w, unsigned i) {
        Fetch *f = probes[i];

        if (!f)
                return;
        model_say(w->m, "worker %u: garbage", i);
        f->status = 200;
        (void) f->ops->data(f, "{\"status\":", 10, f->userdata);
        f->ops->done(f, 0, f->userdata);
}

static void op_doubt(World *w, unsigned i) {
        Worker *k = worker(w, i);

        if (!k)
                return;
        model_say(w->m, "a request to worker %u fails", i);
        bool was_up = k->live.state == LIVENESS_UP;
        worker_doubt(k);
        model_check(w->m, !was_up || !k->sources || k->live.state == LIVENESS_SUSPECT);
}

static void op_found(World *w, unsigned i) {
        char url[64];

        url_of(i, url, sizeof url);
        model_say(w->m, "worker %u is found", i);
        w->expected[i].known = true;
        model_check(w->m, fleet_found(w->fleet, url, WORKER_CONFIGURED) == 0);
}

static void op_lost(World *w, unsigned i) {
        char url[64];

        url_of(i, url, sizeof url);
        model_say(w->m, "worker %u is said to have ended", i);
        w->expected[i].known = false;
        w->expected[i].unknown_since = clock_monotonic();
        fleet_lost(w->fleet, url, WORKER_CONFIGURED);
        Worker *k = worker(w, i);
        model_check(w->m, !k || k->live.state == LIVENESS_DOWN);
}

static void op_restart(World *w, unsigned i) {
        model_say(w->m, "worker %u is another", i);
        w->expected[i].token++;
}

static void op_wait(World *w, unsigned i) {
        Expected *e = &w->expected[i];
        Worker *k = worker(w, i);

        if (e->waits && e->n_lost == 0 && k) {
                worker_wait_end(k, &e->waiter);
                e->waits = false;
        } else if (k && k->live.state != LIVENESS_DOWN) {
                e->waiter = (WorkerWaiter){ .lost = on_lost, .patient = model_random(w->m, 2) };
                e->waits = true;
                e->n_lost = 0;
                worker_wait(k, &e->waiter);
        }
}

static void op_fence(World *w, unsigned i) {
        Worker *k = worker(w, i);

        if (k)
                fleet_set_fencing(k, !k->fencing && model_random(w->m, 2));
}

static void op_time(World *w, unsigned i) {
        usec_t usec = (model_random(w->m, 10) == 0 ? model_random(w->m, 40000) : model_random(w->m, 700)) * USEC_PER_MSEC;

        (void) i;
        model_say(w->m, "%.3f s pass", (double) usec / USEC_PER_SEC);
        pass(w, usec);
}

/* --- what has to be so --- */

static void check(World *w) {
        size_t n_ready = 0;

        look(w);
        for (Worker *k = fleet_first(w->fleet); k; k = fleet_next(k)) {
                Expected *e = &w->expected[index_of(k->url)];
                bool listed = k->position != SIZE_MAX;
                n_ready += listed;
                /* those that get new sessions are those that are well, and no others */
                model_check(w->m, listed == worker_takes_sessions(k));
                model_check(w->m, !listed || (k->live.state == LIVENESS_UP && k->live.n_bad == 0 && e->known));
                model_check(w->m, k->live.state != LIVENESS_SUSPECT || k->live.n_bad < LIVENESS_BAD_MAX);
                model_check(w->m, k->live.state != LIVENESS_DOWN || !worker_is_reachable(k));
                model_check(w->m, !k->given_up || k->live.state == LIVENESS_DOWN || k->live.n_good < LIVENESS_GOOD_MIN);
                /* who waits for one that is gone for long has been told */
                model_check(w->m, !(e->waits && e->n_lost == 0 && k->live.state == LIVENESS_DOWN &&
                                          clock_monotonic() > k->live.down_since + 6 * USEC_PER_SEC));
                model_check(w->m, !(e->waits && e->n_lost == 0 && !e->waiter.patient && k->live.state == LIVENESS_DOWN));
                /* one that nobody knows of is forgotten in time */
                model_check(w->m, e->known || clock_monotonic() <
                                                     MAX(k->live.down_since + GIVE_UP, e->unknown_since) + USEC_PER_SEC);
        }
        model_check(w->m, n_ready == fleet_n_ready(w->fleet));
        Worker *best = fleet_choose(w->fleet, NULL, 0);
        model_check(w->m, !best || worker_is_reachable(best));
        model_check(w->m, best || n_ready == 0);
        model_check(w->m, !best || n_ready == 0 || worker_takes_sessions(best));
}

static void quiet(World *w) {
        for (unsigned i = 0; i < WORKERS; i++) {
                op_found(w, i);
                Worker *k = worker(w, i);
                fleet_set_fencing(k, false);
        }
        for (unsigned n = 0; n < 60; n++) {
                pass(w, 80 * USEC_PER_MSEC);
                for (unsigned i = 0; i < WORKERS; i++)
                        answer(w, i, "healthy");
        }
        for (unsigned i = 0; i < WORKERS; i++)
                model_check(w->m, worker(w, i) && worker_takes_sessions(worker(w, i)));
        check(w);
}

static void schedule(Model *m) {
        static void (*const ops[])(World *w, unsigned i) = { op_good, op_good, op_good, op_good, op_good, op_good,
                op_time, op_time, op_time, op_time, op_refuses, op_garbage, op_doubt, op_drains, op_found, op_found,
                op_lost, op_restart, op_wait, op_fence };
        FleetSettings settings = { .interval = INTERVAL, .give_up = GIVE_UP };
        World *w = world = calloc(1, sizeof *w);

        assert_non_null(w);
        w->m = m;
        assert_true(sd_event_new(&w->event) >= 0);
        assert_int_equal(fleet_new(w->event, NULL, &settings, on_fleet, w, &w->fleet), 0);
        for (unsigned i = 0; i < WORKERS; i++)
                op_found(w, i);
        for (m->step = 1; m->step <= STEPS; m->step++) {
                ops[model_random(m, ELEMENTSOF(ops))](w, model_random(m, WORKERS));
                while (sd_event_run(w->event, 0) > 0)
                        ;
                check(w);
        }
        quiet(w);
        for (unsigned i = 0; i < WORKERS; i++)
                if (w->expected[i].waits && w->expected[i].n_lost == 0)
                        worker_wait_end(worker(w, i), &w->expected[i].waiter);
        w->fleet = fleet_free(w->fleet);
        w->event = sd_event_unref(w->event);
        free(w);
}

static void test_schedules(void **state) {
        (void) state;
        model_run(schedule);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_schedules),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
