/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-fixture.h"

#include "base/fd.h"
#include "fake-clock.h"
#include "model.h"

/*
 * Sessions and the pool, as doc/reliability.md draws their states, against a backend that makes, loses and ends
 * sandboxes when the schedule says so. After each step what the code says is compared with what has to be so.
 */

#define STEPS 60U
#define CLIENTS 24U
#define SESSIONS_MAX 10U
#define POOL_MAX 6U
#define SANDBOXES 4096U

/* What one client asked for and got. */
typedef struct Client {
        Outcome outcome;
        Creation *creation; /* still going on */
        bool alive;         /* has a session that nobody ended, as far as it knows */
        bool lost;          /* its sandbox died */
        char id[UUID_TEXT_MAX];
        char key[8];
        uint32_t slot;
        usec_t deadline; /* by the fake clock */
} Client;

typedef struct World {
        Model *m;
        Fixture *f;
        Client clients[CLIENTS];
        bool dead[SANDBOXES];   /* process 1 was gone before anybody had it */
        bool handed[SANDBOXES]; /* it was somebody's */
        bool lost;              /* the backend */
        unsigned pool_size;
} World;

static void turn(World *w, usec_t usec) {
        /* in small pieces, as time passes: what is due earlier comes first */
        for (usec_t piece; usec > 0; usec -= piece) {
                piece = usec > 4 * USEC_PER_SEC ? USEC_PER_SEC : usec > 50 * USEC_PER_MSEC ? 50 * USEC_PER_MSEC : usec;
                fake_clock_pass(piece);
                run_ready(w->f->event);
        }
        run_ready(w->f->event);
}

static void got(World *w, Client *c, Session *s) {
        c->alive = true;
        c->slot = s->sandbox->slot;
        c->deadline = s->deadline;
        (void) snprintf(c->id, sizeof c->id, "%s", s->id);
        model_say(w->m, "session %.8s in sandbox %u", c->id, c->slot);
        if (c->outcome.attached) { /* maybe to one whose end nobody has noticed */
                c->lost = !sandbox_is_alive(s->sandbox);
                return;
        }
        model_check(w->m, !w->dead[c->slot]);   /* none that died in the pool */
        model_check(w->m, !w->handed[c->slot]); /* none that was another's */
        w->handed[c->slot] = true;
}

/* Creations that came to an end since. */
static void collect(World *w) {
        for (unsigned i = 0; i < CLIENTS; i++) {
                Client *c = &w->clients[i];
                if (!c->creation || c->outcome.n_done == 0)
                        continue;
                model_check(w->m, c->outcome.n_done == 1);
                c->creation = NULL;
                model_check(w->m, (c->outcome.session != NULL) == (c->outcome.error == ERROR_NONE));
                if (c->outcome.session)
                        got(w, c, c->outcome.session);
                else
                        model_check(w->m, c->outcome.error == ERROR_NO_CAPACITY || c->outcome.error == ERROR_DRAINING ||
                                                  c->outcome.error == ERROR_INTERNAL);
                c->outcome.session = session_unref(c->outcome.session);
        }
}

static void forget(World *w, const char *id) {
        for (unsigned i = 0; i < CLIENTS; i++)
                if (w->clients[i].alive && strcmp(w->clients[i].id, id) == 0)
                        w->clients[i].alive = false;
}

static Client *any(World *w, bool alive) {
        unsigned start = model_random(w->m, CLIENTS);

        for (unsigned i = 0; i < CLIENTS; i++) {
                Client *c = &w->clients[(start + i) % CLIENTS];
                if (alive ? c->alive : !c->alive && !c->creation)
                        return c;
        }
        return NULL;
}

static Session *session_of(World *w, const Client *c) {
        _cleanup_error_ Error error = { 0 };
        Session *s = NULL;

        return session_find(w->f->manager, c->id, NULL, &s, &error) == 0 ? s : NULL;
}

static void is_ended(World *w, const char *id, const char *reason) {
        _cleanup_error_ Error error = { 0 };
        Session *s = NULL;

        model_check(w->m, session_find(w->f->manager, id, NULL, &s, &error) == -EOWNERDEAD);
        model_check(w->m, strcmp(error.reason, reason) == 0);
}

/* --- what clients do --- */

static void op_create(World *w) {
        Client *c = any(w, false);
        Request q = { .timeout = (1 + model_random(w->m, 100)) * USEC_PER_SEC };

        if (!c)
                return;
        *c = (Client){ 0 };
        if (model_random(w->m, 4) == 0) {
                (void) snprintf(c->key, sizeof c->key, "key-%u", model_random(w->m, 3));
                q.key = c->key;
        }
        if (model_random(w->m, 3) == 0)
                q.memory = 256 * MIB; /* not the pool's */
        if (model_random(w->m, 3) == 0)
                q.wait = model_random(w->m, 5) * USEC_PER_SEC;
        bool full = session_count(w->f->manager) >= SESSIONS_MAX;
        int r = create(w->f, &q, &c->outcome, &c->creation);
        model_say(w->m, "create %s%s: %d", q.memory ? "other " : "", c->key, r);
        model_check(w->m, r != 0 || c->outcome.attached || !full);
        if (r == 0)
                got(w, c, c->outcome.session);
        else if (r < 0) {
                model_check(w->m, c->outcome.error == ERROR_NO_CAPACITY || c->outcome.error == ERROR_DRAINING);
                model_check(w->m, c->outcome.error == ERROR_DRAINING || c->outcome.retry_after > 0);
                c->creation = NULL;
        }
        c->outcome.session = session_unref(c->outcome.session);
}

static void op_cancel(World *w) {
        for (unsigned i = 0, start = model_random(w->m, CLIENTS); i < CLIENTS; i++) {
                Client *c = &w->clients[(start + i) % CLIENTS];
                if (!c->creation)
                        continue;
                model_say(w->m, "cancel");
                creation_cancel(take_ptr(c->creation));
                model_check(w->m, c->outcome.n_done == 0);
                return;
        }
}

static void op_delete(World *w) {
        Client *c = any(w, true);
        Session *s = c ? session_of(w, c) : NULL;

        if (!s)
                return;
        model_say(w->m, "delete %.8s", c->id);
        session_end(s, SESSION_DELETED);
        is_ended(w, c->id, "deleted");
        forget(w, c->id);
}

static void op_timeout(World *w) {
        Client *c = any(w, true);
        Session *s = c ? session_of(w, c) : NULL;
        usec_t timeout = (1 + model_random(w->m, 50)) * USEC_PER_SEC;

        if (!s)
                return;
        model_say(w->m, "another deadline of %.8s", c->id);
        model_check(w->m, session_set_timeout(s, timeout) >= 0);
        for (unsigned i = 0; i < CLIENTS; i++)
                if (w->clients[i].alive && strcmp(w->clients[i].id, c->id) == 0)
                        w->clients[i].deadline = clock_monotonic() + timeout;
}

/* --- what the world does --- */

static void op_time(World *w) {
        usec_t usec = model_random(w->m, 4) == 0 ? model_random(w->m, 60) * USEC_PER_SEC
                                                 : model_random(w->m, 100) * USEC_PER_MSEC;

        model_say(w->m, "%.3f s pass", (double) usec / USEC_PER_SEC);
        turn(w, usec);
}

static FakeSandbox *any_sandbox(World *w, bool ready) {
        unsigned n = w->f->backend->n_alive, start = n > 0 ? model_random(w->m, n) : 0;

        for (unsigned i = 0; i < n; i++) {
                FakeSandbox *s = fake_sandbox(w->f->backend, (start + i) % n);
                if ((s->init >= 0) == ready && (ready || s->sandbox->state == SANDBOX_STARTING))
                        return s;
        }
        return NULL;
}

static bool is_somebodys(World *w, uint32_t slot) {
        for (Session *s = session_next(w->f->manager, 0, NULL); s; s = session_after(s, NULL))
                if (s->sandbox->slot == slot)
                        return true;
        return false;
}

static void op_made(World *w) {
        FakeSandbox *s = any_sandbox(w, false);

        if (!s || w->lost)
                return;
        model_say(w->m, "sandbox %u is ready", s->sandbox->slot);
        fake_ready(w->f->backend, s);
}

static void op_fails(World *w) {
        FakeSandbox *s = any_sandbox(w, false);

        if (!s)
                return;
        model_say(w->m, "sandbox %u cannot be made", s->sandbox->slot);
        fake_end(w->f->backend, s, model_random(w->m, 2) ? -EAGAIN : -ENOSPC);
}

/* Its processes are gone; nobody has been told yet. */
static void op_dies(World *w) {
        FakeSandbox *s = any_sandbox(w, true);

        if (!s)
                return;
        model_say(w->m, "sandbox %u dies", s->sandbox->slot);
        if (!is_somebodys(w, s->sandbox->slot))
                w->dead[s->sandbox->slot] = true;
        for (unsigned i = 0; i < CLIENTS; i++)
                w->clients[i].lost |= w->clients[i].alive && w->clients[i].slot == s->sandbox->slot;
        fake_die(s);
        if (model_random(w->m, 2)) /* a request may be served before it is noticed */
                op_create(w);
}

static void op_reaped(World *w) {
        for (FakeSandbox *s = w->f->backend->sandboxes, *next; s; s = next) {
                next = s->next;
                if (!s->kill_wanted && s->sandbox->state != SANDBOX_DYING)
                        continue;
                model_say(w->m, "sandbox %u has ended", s->sandbox->slot);
                fake_end(w->f->backend, s, 0);
        }
}

static void op_backend(World *w) {
        w->lost = !w->lost;
        model_say(w->m, "the spawner is %s", w->lost ? "lost" : "back");
        w->f->backend->backend.status = w->lost ? BACKEND_LOST : BACKEND_READY;
        w->f->backend->refuse = w->lost ? -ENOTCONN : 0;
        for (FakeSandbox *s = w->f->backend->sandboxes, *next; w->lost && s; s = next) { /* what was being made */
                next = s->next;
                if (s->init < 0 && s->sandbox->state == SANDBOX_STARTING)
                        fake_end(w->f->backend, s, -ENOTCONN);
        }
        if (!w->lost)
                pool_start(w->f->pool);
        session_manager_backend_changed(w->f->manager);
}

static void op_strain(World *w) {
        bool strained = model_random(w->m, 3) == 0;

        model_say(w->m, "strained: %d", strained);
        pool_set_strained(w->f->pool, strained);
        session_manager_set_strained(w->f->manager, strained);
}

static void op_drain(World *w) {
        bool drain = model_random(w->m, 3) == 0;

        model_say(w->m, "draining: %d", drain);
        session_manager_set_draining(w->f->manager, drain);
}

static void op_resize(World *w) {
        PoolSettings p = *pool_settings(w->f->pool);

        p.size = w->pool_size = model_random(w->m, POOL_MAX) + 1;
        p.min = MIN(p.size, 2U);
        p.max = POOL_MAX;
        model_say(w->m, "pool size %u", p.size);
        pool_configure(w->f->pool, &p);
}

/* --- what has to be so --- */

static void check(World *w) {
        unsigned n_sandboxes = 0, n_starting = 0;
        Fixture *f = w->f;

        collect(w);
        for (unsigned i = 0; i < CLIENTS; i++) {
                Client *c = &w->clients[i];
                Session *s = c->alive ? session_of(w, c) : NULL;
                if (!c->alive)
                        continue;
                if (s) {
                        model_check(w->m, s->sandbox->slot == c->slot);
                        model_check(w->m, clock_monotonic() <= c->deadline + USEC_PER_SEC);
                        model_check(w->m, sandbox_is_alive(s->sandbox));
                        continue;
                }
                /* nobody deleted it: its time was over, or its sandbox died */
                is_ended(w, c->id, c->lost ? "lost" : "expired");
                model_check(w->m, c->lost || clock_monotonic() >= c->deadline);
                forget(w, c->id);
        }
        for (FakeSandbox *s = f->backend->sandboxes; s; s = s->next) {
                n_sandboxes += !s->kill_wanted && s->sandbox->state == SANDBOX_READY;
                n_starting += !s->kill_wanted && s->sandbox->state == SANDBOX_STARTING;
        }
        /* each sandbox is a session's or the pool's: none is forgotten, none is used twice */
        model_check(w->m, n_sandboxes == session_count(f->manager) + pool_n_ready(f->pool));
        model_check(w->m, session_count(f->manager) <= SESSIONS_MAX);
        model_check(w->m, n_starting >= f->manager->n_starting);
        model_check(w->m, pool_n_ready(f->pool) <= POOL_MAX);
        model_check(w->m, pool_target(f->pool) <= POOL_MAX);
}

static void quiet(World *w) {
        FakeBackend *b = w->f->backend;

        if (w->lost)
                op_backend(w);
        session_manager_set_strained(w->f->manager, false);
        pool_set_strained(w->f->pool, false);
        session_manager_set_draining(w->f->manager, false);
        b->automatic_ready = b->automatic_end = true;
        op_reaped(w);
        for (FakeSandbox *s; (s = any_sandbox(w, false));)
                fake_ready(b, s);
        turn(w, 90 * USEC_PER_SEC); /* the longest that the pool waits after failures, and all creations */
        collect(w);
        for (unsigned i = 0; i < CLIENTS; i++)
                model_check(w->m, !w->clients[i].creation); /* every one had an answer */
        model_say(w->m, "pool: %u ready, target %u", pool_n_ready(w->f->pool), pool_target(w->f->pool));
        model_check(w->m, pool_n_ready(w->f->pool) == pool_target(w->f->pool));
        model_check(w->m, pool_target(w->f->pool) >= MIN(w->pool_size, 2U));
        session_end_all(w->f->manager, SESSION_STOPPED);
        pool_stop(w->f->pool);
        turn(w, USEC_PER_SEC);
        model_check(w->m, b->n_alive == 0);
        model_check(w->m, session_count(w->f->manager) == 0 && session_n_ending(w->f->manager) == 0);
}

static void schedule(Model *m) {
        static void (*const ops[])(World *w) = { op_create, op_create, op_create, op_create, op_made, op_made, op_made,
                op_made, op_time, op_time, op_time, op_delete, op_reaped, op_reaped, op_cancel, op_timeout, op_fails,
                op_dies, op_backend, op_strain, op_drain, op_resize };
        void *state;

        model_check(m, setup(&state) == 0);
        World *w = calloc(1, sizeof *w);
        assert_non_null(w);
        w->m = m;
        w->f = state;
        w->pool_size = 3;
        w->f->backend->backend.memory_available = GIB;
        PoolSettings p = *pool_settings(w->f->pool);
        p.size = 3;
        p.min = 2;
        p.max = POOL_MAX;
        pool_configure(w->f->pool, &p);
        max_sessions(w->f, SESSIONS_MAX);
        pool_start(w->f->pool);
        turn(w, 100 * USEC_PER_MSEC);
        w->f->backend->automatic_ready = w->f->backend->automatic_end = false;
        for (m->step = 1; m->step <= STEPS; m->step++) {
                ops[model_random(m, ELEMENTSOF(ops))](w);
                run_ready(w->f->event);
                check(w);
        }
        quiet(w);
        free(w);
        (void) teardown(&state);
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
