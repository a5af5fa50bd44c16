/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fake-backend.h"
#include "session/manager-internal.h"
#include "session/manager.h"

typedef struct Outcome {
        unsigned n_done, order;
        Session *session; /* owned */
        bool attached;
        ErrorKind error;
        unsigned retry_after;
} Outcome;

typedef struct Fixture {
        sd_event *event;
        FakeBackend *backend;
        Pool *pool;
        Registry *registry;
        SessionManager *manager;
        SessionSettings settings;
        unsigned events[SESSION_EVENT_EXEC + 1];
        SessionEndReason last_reason;
        unsigned n_outcomes;
} Fixture;

static const Limits limits = { .memory = 512 * MIB, .disk = MIB, .cpu_quota = 50000, .pids = 100 };

static void on_session(SessionManager *m, SessionEvent event, Session *s, const Exec *e, void *userdata) {
        Fixture *f = userdata;

        (void) m;
        (void) e;
        f->events[event]++;
        if (event == SESSION_EVENT_REMOVED)
                f->last_reason = s->end_reason;
}

static int resolve(const char *name, char folder[static IMAGE_NAME_MAX], void *userdata, Error *error) {
        (void) userdata;
        if (strcmp(name, "base") != 0)
                return error_set_field(error, ERROR_INVALID_VALUE, "image", NULL, "There is no image of this name.");
        (void) strcpy(folder, "base-1");
        return 0;
}

static void use_pool(Fixture *f, unsigned size) {
        PoolSettings p = { .size = size, .min = size, .max = size, .spec = { .image = "base-1", .limits = limits } };

        pool_configure(f->pool, &p);
        pool_start(f->pool);
        RUN_UNTIL(f->event, pool_n_ready(f->pool) == size);
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        PoolSettings none = { .spec = { .image = "base-1", .limits = limits } };

        clock_shift_for_test(0);
        if (!f || sd_event_new(&f->event) < 0)
                return -1;
        f->settings = (SessionSettings){
                .timeout = 3600 * USEC_PER_SEC,
                .timeout_max = 86400 * USEC_PER_SEC,
                .sessions_max = 100,
                .image = "base",
                .limits = limits,
                .output_max = MIB,
        };
        f->backend = fake_backend_new(f->event);
        if (pool_new(f->event, &f->backend->backend, &none, NULL, NULL, &f->pool) < 0 ||
                registry_open(NULL, &f->registry) < 0 ||
                session_manager_new(f->event, &f->backend->backend, f->pool, &f->settings, on_session, resolve,
                        f->registry, f, &f->manager) < 0)
                return -1;
        *state = f;
        return 0;
}

/* As the worker does: the backend goes first. */
static int teardown(void **state) {
        Fixture *f = *state;

        run_ready(f->event);
        f->backend = fake_backend_free(f->backend);
        f->pool = pool_free(f->pool);
        f->manager = session_manager_free(f->manager);
        f->registry = registry_free(f->registry);
        f->event = sd_event_unref(f->event);
        free(f);
        return 0;
}

static void max_sessions(Fixture *f, unsigned max) {
        f->settings.sessions_max = max;
        session_manager_configure(f->manager, &f->settings);
}

/* --- creating --- */

typedef struct Request {
        const char *key, *owner, *image;
        usec_t wait, timeout;
        uint64_t memory; /* 0: as the pool has it */
} Request;

static Fixture *current; /* of the outcome's order */

static void on_created(Creation *c, Session *s, bool attached, Error *error, void *userdata) {
        Outcome *o = userdata;

        (void) c;
        o->n_done++;
        o->order = ++current->n_outcomes;
        o->session = s ? session_ref(s) : NULL;
        o->attached = attached;
        o->error = error->kind;
        o->retry_after = error->retry_after;
}

static void outcome_clear(Outcome *o) {
        o->session = session_unref(o->session);
}
#define _cleanup_outcome_ _cleanup_(outcome_clear)

/* Returns what session_create() returned; what is known at once is in @o. */
static int create(Fixture *f, const Request *q, Outcome *o, Creation **ret_creation) {
        _cleanup_create_spec_ CreateSpec spec = { .limits = limits, .timeout = q->timeout, .wait = q->wait };
        _cleanup_error_ Error error = { 0 };
        Creation *creation = NULL;
        Session *s = NULL;

        current = f;
        *o = (Outcome){ 0 };
        spec.key = q->key ? strdup(q->key) : NULL;
        spec.image = q->image ? strdup(q->image) : NULL;
        if (q->memory)
                spec.limits.memory = q->memory;
        int r = session_create(f->manager, &spec, q->owner, on_created, o, &s, &o->attached, &creation, &error);
        if (r == 0) {
                assert_non_null(s);
                o->session = session_ref(s);
        } else if (r < 0) {
                assert_int_not_equal(error.kind, ERROR_NONE);
                o->error = error.kind;
                o->retry_after = error.retry_after;
        } else
                assert_non_null(creation);
        assert_int_equal(o->n_done, 0); /* never from within */
        if (ret_creation)
                *ret_creation = creation;
        return r;
}

/* Creates one, however long it takes. */
static void make(Fixture *f, const Request *q, Outcome *o) {
        int r = create(f, q, o, NULL);

        assert_true(r >= 0);
        if (r > 0)
                RUN_UNTIL(f->event, o->n_done == 1);
        assert_non_null(o->session);
}

static const Request plain;

static void test_from_the_pool(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        use_pool(f, 2);
        assert_int_equal(create(f, &plain, &o, NULL), 0);
        assert_true(o.session->from_pool);
        assert_false(o.attached);
        assert_true(id_is_valid(o.session->id));
        assert_int_equal(session_count(f->manager), 1);
        assert_int_equal(f->events[SESSION_EVENT_NEW], 0); /* after the answer */
        RUN_UNTIL(f->event, f->events[SESSION_EVENT_NEW] == 1);
}

static void test_on_demand(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        assert_int_equal(create(f, &plain, &o, NULL), 1);
        RUN_UNTIL(f->event, o.n_done == 1);
        assert_non_null(o.session);
        assert_false(o.session->from_pool);
        assert_int_equal(f->backend->n_started, 1);
}

static void test_other_limits_come_not_from_the_pool(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        use_pool(f, 2);
        assert_int_equal(create(f, &(Request){ .memory = 64 * MIB }, &o, NULL), 1);
        RUN_UNTIL(f->event, o.n_done == 1);
        assert_int_equal(o.session->sandbox->spec.limits.memory, 64 * MIB);
        assert_int_equal(o.session->limits.memory, 64 * MIB);
        assert_int_equal(pool_n_ready(f->pool), 2);
}

static void test_unknown_image(void **state) {
        Fixture *f = *state;
        Outcome o;

        assert_int_equal(create(f, &(Request){ .image = "other" }, &o, NULL), -EINVAL);
        assert_int_equal(o.error, ERROR_INVALID_VALUE);
        assert_int_equal(f->backend->n_started, 0);
}

static void test_two_sessions_share_nothing(void **state) {
        Fixture *f = *state;
        Outcome o[20];

        use_pool(f, 4);
        for (unsigned i = 0; i < 20; i++) {
                make(f, &plain, &o[i]);
                for (unsigned k = 0; k < i; k++) {
                        assert_ptr_not_equal(o[i].session->sandbox, o[k].session->sandbox);
                        assert_string_not_equal(o[i].session->id, o[k].session->id);
                }
        }
        for (unsigned i = 0; i < 20; i++)
                outcome_clear(&o[i]);
}

static void test_cannot_be_made(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o, busy;

        f->backend->fail = -ENOSPC;
        assert_int_equal(create(f, &plain, &o, NULL), 1);
        RUN_UNTIL(f->event, o.n_done == 1);
        assert_null(o.session);
        assert_int_equal(o.error, ERROR_INTERNAL);
        f->backend->fail = -EAGAIN;
        assert_int_equal(create(f, &plain, &busy, NULL), 1);
        RUN_UNTIL(f->event, busy.n_done == 1);
        assert_int_equal(busy.error, ERROR_NO_CAPACITY);
        assert_true(busy.retry_after > 0);
        assert_int_equal(session_count(f->manager), 0);
}

static void test_a_backend_that_comes_back(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        f->backend->backend.status = BACKEND_LOST;
        assert_int_equal(create(f, &plain, &o, NULL), 1);
        run_ready(f->event);
        assert_int_equal(o.n_done, 0);
        f->backend->backend.status = BACKEND_READY;
        session_manager_backend_changed(f->manager);
        RUN_UNTIL(f->event, o.n_done == 1);
        assert_non_null(o.session);
}

static void test_a_client_that_leaves(void **state) {
        Fixture *f = *state;
        Creation *c;
        Outcome o;

        f->backend->automatic_ready = false;
        assert_int_equal(create(f, &plain, &o, &c), 1);
        assert_int_equal(f->backend->n_started, 1);
        creation_cancel(c);
        run_ready(f->event);
        assert_int_equal(o.n_done, 0);
        assert_int_equal(f->backend->n_killed, 1);
        assert_int_equal(f->backend->n_alive, 0);
        assert_int_equal(session_count(f->manager), 0);
}

/* --- keys --- */

static void test_a_key_attaches(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome first, again, other;

        use_pool(f, 4);
        make(f, &(Request){ .key = "k" }, &first);
        assert_int_equal(create(f, &(Request){ .key = "k" }, &again, NULL), 0);
        assert_ptr_equal(again.session, first.session);
        assert_true(again.attached);
        make(f, &(Request){ .key = "K" }, &other);
        assert_ptr_not_equal(other.session, first.session);
        assert_int_equal(session_count(f->manager), 2);
}

static void test_a_key_is_free_again_after_the_end(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome first, again;

        make(f, &(Request){ .key = "k" }, &first);
        session_end(first.session, SESSION_DELETED);
        make(f, &(Request){ .key = "k" }, &again);
        assert_ptr_not_equal(again.session, first.session);
        assert_false(again.attached);
}

static void test_owners_have_keys_of_their_own(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b, none, twin;

        make(f, &(Request){ .key = "k", .owner = "a" }, &a);
        make(f, &(Request){ .key = "k", .owner = "b" }, &b);
        make(f, &(Request){ .key = "k" }, &none);
        assert_ptr_not_equal(a.session, b.session);
        assert_ptr_not_equal(a.session, none.session);
        make(f, &(Request){ .key = "k", .owner = "b" }, &twin);
        assert_ptr_equal(twin.session, b.session);
        assert_int_equal(session_count(f->manager), 3);
}

static void test_a_race_for_a_key(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b, c;

        f->backend->automatic_ready = false;
        assert_int_equal(create(f, &(Request){ .key = "k" }, &a, NULL), 1);
        assert_int_equal(create(f, &(Request){ .key = "k" }, &b, NULL), 1);
        assert_int_equal(create(f, &(Request){ .key = "k" }, &c, NULL), 1);
        fake_ready(f->backend, fake_sandbox(f->backend, 1)); /* the second wins */
        RUN_UNTIL(f->event, b.n_done == 1);
        fake_ready(f->backend, fake_sandbox(f->backend, 2));
        fake_ready(f->backend, fake_sandbox(f->backend, 0));
        RUN_UNTIL(f->event, a.n_done == 1 && c.n_done == 1);
        assert_false(b.attached);
        assert_true(a.attached && c.attached);
        assert_ptr_equal(a.session, b.session);
        assert_ptr_equal(c.session, b.session);
        run_ready(f->event);
        assert_int_equal(session_count(f->manager), 1);
        assert_int_equal(f->backend->n_alive, 1); /* those of the losers are ended */
}

static void test_a_race_for_a_key_in_the_queue(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome first, a, b;

        max_sessions(f, 1);
        make(f, &plain, &first);
        assert_int_equal(create(f, &(Request){ .key = "k", .wait = WAIT_MAX }, &a, NULL), 1);
        assert_int_equal(create(f, &(Request){ .key = "k", .wait = WAIT_MAX }, &b, NULL), 1);
        max_sessions(f, 10);
        session_end(first.session, SESSION_DELETED);
        RUN_UNTIL(f->event, a.n_done == 1 && b.n_done == 1);
        assert_ptr_equal(a.session, b.session);
        assert_int_equal(session_count(f->manager), 1);
}

/* --- limits --- */

static void test_no_more_than_allowed(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b, c;

        use_pool(f, 4);
        max_sessions(f, 2);
        make(f, &plain, &a);
        make(f, &plain, &b);
        assert_int_equal(create(f, &plain, &c, NULL), -EAGAIN);
        assert_int_equal(c.error, ERROR_NO_CAPACITY);
        assert_true(c.retry_after > 0);
        assert_int_equal(session_count(f->manager), 2);
}

static void test_those_that_are_being_made_count(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b, c;

        max_sessions(f, 2);
        f->backend->automatic_ready = false;
        assert_int_equal(create(f, &plain, &a, NULL), 1);
        assert_int_equal(create(f, &plain, &b, NULL), 1);
        assert_int_equal(create(f, &plain, &c, NULL), -EAGAIN);
        f->backend->automatic_ready = true;
        fake_end(f->backend, fake_sandbox(f->backend, 1), -ENOSPC); /* its place is free again */
        assert_int_equal(a.n_done, 1);
        assert_int_equal(create(f, &plain, &c, NULL), 1);
        RUN_UNTIL(f->event, b.n_done == 1 && c.n_done == 1);
        assert_int_equal(session_count(f->manager), 2);
}

static void test_those_that_are_ending_count(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b;

        max_sessions(f, 1);
        f->backend->automatic_end = false;
        make(f, &plain, &a);
        session_end(a.session, SESSION_DELETED);
        assert_int_equal(session_count(f->manager), 0);
        assert_int_equal(session_n_ending(f->manager), 1);
        assert_int_equal(create(f, &plain, &b, NULL), -EAGAIN);
        fake_end(f->backend, fake_sandbox(f->backend, 0), 0);
        assert_int_equal(session_n_ending(f->manager), 0);
        make(f, &plain, &b);
}

static void test_attaching_needs_no_place(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b;

        max_sessions(f, 1);
        make(f, &(Request){ .key = "k" }, &a);
        assert_int_equal(create(f, &(Request){ .key = "k" }, &b, NULL), 0);
}

static void test_waiting_for_a_place_in_order(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome first, a, b, c;

        max_sessions(f, 1);
        make(f, &plain, &first);
        f->n_outcomes = 0;
        assert_int_equal(create(f, &(Request){ .wait = WAIT_MAX }, &a, NULL), 1);
        assert_int_equal(create(f, &(Request){ .wait = WAIT_MAX }, &b, NULL), 1);
        assert_int_equal(create(f, &(Request){ .wait = WAIT_MAX }, &c, NULL), 1);
        run_ready(f->event);
        assert_int_equal(f->n_outcomes, 0);

        session_end(first.session, SESSION_DELETED);
        RUN_UNTIL(f->event, a.n_done == 1);
        session_end(a.session, SESSION_DELETED);
        RUN_UNTIL(f->event, b.n_done == 1);
        session_end(b.session, SESSION_DELETED);
        RUN_UNTIL(f->event, c.n_done == 1);
        assert_int_equal(a.order, 1);
        assert_int_equal(b.order, 2);
        assert_int_equal(c.order, 3);
        assert_non_null(c.session);
}

static void test_who_comes_later_does_not_take_the_place(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome first, waiting, late;

        use_pool(f, 2);
        max_sessions(f, 1);
        f->backend->automatic_end = false;
        make(f, &plain, &first);
        assert_int_equal(create(f, &(Request){ .wait = WAIT_MAX }, &waiting, NULL), 1);
        session_end(first.session, SESSION_DELETED);
        fake_end(f->backend, fake_sandbox_of(f->backend, first.session->sandbox), 0);
        /* there is room now, and the one that waits has not run yet */
        assert_int_equal(create(f, &plain, &late, NULL), -EAGAIN);
        RUN_UNTIL(f->event, waiting.n_done == 1);
        assert_non_null(waiting.session);
        f->backend->automatic_end = true;
}

static void test_waiting_ends(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome first, a;

        max_sessions(f, 1);
        make(f, &plain, &first);
        assert_int_equal(create(f, &(Request){ .wait = 20 * USEC_PER_MSEC }, &a, NULL), 1);
        RUN_UNTIL(f->event, a.n_done == 1);
        assert_null(a.session);
        assert_int_equal(a.error, ERROR_NO_CAPACITY);
        assert_true(a.retry_after > 0);
}

static void test_who_waits_may_leave(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome first, a, b;
        Creation *creation;

        max_sessions(f, 1);
        make(f, &plain, &first);
        assert_int_equal(create(f, &(Request){ .wait = WAIT_MAX }, &a, &creation), 1);
        assert_int_equal(create(f, &(Request){ .wait = WAIT_MAX }, &b, NULL), 1);
        creation_cancel(creation);
        session_end(first.session, SESSION_DELETED);
        RUN_UNTIL(f->event, b.n_done == 1);
        assert_int_equal(a.n_done, 0);
}

static void test_so_many_may_wait(void **state) {
        Fixture *f = *state;
        static Outcome o[1025];

        f->backend->backend.status = BACKEND_LOST;
        max_sessions(f, 5000);
        for (unsigned i = 0; i < 1024; i++)
                assert_int_equal(create(f, &plain, &o[i], NULL), 1);
        assert_int_equal(create(f, &plain, &o[1024], NULL), -EAGAIN);
        assert_int_equal(o[1024].error, ERROR_NO_CAPACITY);
        session_manager_set_draining(f->manager, true);
        for (unsigned i = 0; i < 1024; i++)
                assert_int_equal(o[i].n_done, 1);
}

static void test_draining(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, waiting, late;

        max_sessions(f, 1);
        make(f, &(Request){ .key = "k" }, &a);
        assert_int_equal(create(f, &(Request){ .wait = WAIT_MAX }, &waiting, NULL), 1);
        session_manager_set_draining(f->manager, true);
        assert_int_equal(waiting.n_done, 1);
        assert_int_equal(waiting.error, ERROR_DRAINING);
        assert_int_equal(create(f, &plain, &late, NULL), -ESHUTDOWN);
        assert_int_equal(late.error, ERROR_DRAINING);
        assert_int_equal(create(f, &(Request){ .wait = WAIT_MAX }, &late, NULL), -ESHUTDOWN);
        assert_int_equal(session_count(f->manager), 1); /* those that live go on */
        assert_int_equal(create(f, &(Request){ .key = "k" }, &late, NULL), 0);
        outcome_clear(&late);

        session_manager_set_draining(f->manager, false);
        session_end(a.session, SESSION_DELETED);
        run_ready(f->event);
        make(f, &plain, &late);
}

/* --- the end --- */

static void assert_ended(Fixture *f, const char *id, const char *owner, const char *reason) {
        _cleanup_error_ Error error = { 0 };
        Session *s = NULL;

        assert_int_equal(session_find(f->manager, id, owner, &s, &error), -EOWNERDEAD);
        assert_null(s);
        assert_int_equal(error.kind, ERROR_SESSION_ENDED);
        assert_string_equal(error.reason, reason);
        assert_string_equal(error.session_id, id);
}

static void assert_unknown(Fixture *f, const char *id, const char *owner) {
        _cleanup_error_ Error error = { 0 };
        Session *s = NULL;

        assert_int_equal(session_find(f->manager, id, owner, &s, &error), -ENOENT);
        assert_null(s);
        assert_int_equal(error.kind, ERROR_NOT_FOUND);
        assert_string_equal(error.reason, "");
}

static void test_deadline(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        make(f, &(Request){ .timeout = 20 * USEC_PER_MSEC }, &o);
        RUN_UNTIL(f->event, session_count(f->manager) == 0);
        assert_ended(f, o.session->id, NULL, "expired");
        run_ready(f->event);
        assert_int_equal(f->backend->n_alive, 0);
        RUN_UNTIL(f->event, f->events[SESSION_EVENT_REMOVED] == 1);
        assert_int_equal(f->last_reason, SESSION_EXPIRED);
}

static void test_deadline_can_be_moved(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome later, sooner;

        make(f, &(Request){ .timeout = 20 * USEC_PER_MSEC }, &later);
        assert_int_equal(session_set_timeout(later.session, 3600 * USEC_PER_SEC), 0);
        make(f, &plain, &sooner);
        assert_int_equal(session_set_timeout(sooner.session, 40 * USEC_PER_MSEC), 0);
        RUN_UNTIL(f->event, session_count(f->manager) == 1);
        assert_false(later.session->ended);
        assert_true(sooner.session->ended);
}

static void test_default_time_is_within_the_longest(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        f->settings.timeout_max = 60 * USEC_PER_SEC;
        session_manager_configure(f->manager, &f->settings);
        make(f, &plain, &o);
        assert_int_equal(o.session->timeout, 60 * USEC_PER_SEC);
}

static void test_ended_is_known_and_says_why(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b;

        make(f, &(Request){ .owner = "a" }, &a);
        make(f, &(Request){ .owner = "a" }, &b);
        session_end(a.session, SESSION_DELETED);
        session_end(a.session, SESSION_STOPPED); /* only the first counts */
        assert_ended(f, a.session->id, "a", "deleted");
        assert_ended(f, a.session->id, NULL, "deleted");
        assert_unknown(f, a.session->id, "b");
        session_end_all(f->manager, SESSION_STOPPED);
        assert_ended(f, b.session->id, "a", "stopped");
}

static void test_so_many_ends_are_remembered(void **state) {
        Fixture *f = *state;
        char first[UUID_TEXT_MAX], second[UUID_TEXT_MAX];

        use_pool(f, 8);
        for (unsigned i = 0; i <= ENDED_REMEMBERED; i++) {
                _cleanup_outcome_ Outcome o;
                make(f, &plain, &o);
                if (i < 2)
                        (void) strcpy(i == 0 ? first : second, o.session->id);
                session_end(o.session, SESSION_DELETED);
                run_ready(f->event);
        }
        assert_unknown(f, first, NULL);
        assert_ended(f, second, NULL, "deleted");
}

static void test_ids_that_are_none(void **state) {
        static const char *const ids[] = { "", "x", "..", "A", "a b", "a/b", "\xff" };
        Fixture *f = *state;
        char text[ID_MAX + 2];

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                assert_unknown(f, ids[i], NULL);
        memset(text, 'a', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        assert_unknown(f, text, NULL);
}

static void test_owners_see_their_own(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b, none, c;
        Session *s;

        make(f, &(Request){ .owner = "a" }, &a);
        make(f, &(Request){ .owner = "b" }, &b);
        make(f, &plain, &none);
        make(f, &(Request){ .owner = "a" }, &c);
        assert_int_equal(session_find(f->manager, a.session->id, "a", &s, NULL), 0);
        assert_int_equal(session_find(f->manager, a.session->id, NULL, &s, NULL), 0);
        assert_unknown(f, a.session->id, "b");
        assert_unknown(f, a.session->id, "");
        assert_unknown(f, none.session->id, "a");

        s = session_next(f->manager, 0, "a");
        assert_ptr_equal(s, a.session);
        assert_ptr_equal(session_after(s, "a"), c.session);
        assert_null(session_after(c.session, "a"));
        assert_ptr_equal(session_next(f->manager, a.session->sequence, "a"), c.session);
        assert_null(session_next(f->manager, c.session->sequence, NULL));
        assert_null(session_next(f->manager, 0, "nobody"));

        s = session_next(f->manager, 0, NULL); /* all, in order of creation */
        assert_ptr_equal(s, a.session);
        assert_ptr_equal(s = session_after(s, NULL), b.session);
        assert_ptr_equal(s = session_after(s, NULL), none.session);
        assert_ptr_equal(session_after(s, NULL), c.session);
}

typedef struct EndTest {
        SessionEndWaiter waiter;
        unsigned n;
} EndTest;

static void on_ended(SessionEndWaiter *w) {
        CONTAINER_OF(w, EndTest, waiter)->n++;
}

static void test_the_end_is_told_when_nothing_runs(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        EndTest first = { .waiter.ended = on_ended }, second = { .waiter.ended = on_ended }, gone = first;

        f->backend->automatic_end = false;
        make(f, &plain, &o);
        session_end(o.session, SESSION_DELETED);
        assert_true(session_wait_end(o.session, &first.waiter));
        assert_true(session_wait_end(o.session, &second.waiter));
        assert_true(session_wait_end(o.session, &gone.waiter));
        session_end_waiter_cancel(&gone.waiter);
        run_ready(f->event);
        assert_int_equal(first.n, 0);
        fake_end(f->backend, fake_sandbox(f->backend, 0), 0);
        assert_int_equal(first.n, 1);
        assert_int_equal(second.n, 1);
        assert_int_equal(gone.n, 0);
        assert_false(session_wait_end(o.session, &first.waiter)); /* that is so already */
}

/* --- commands --- */

typedef struct Run {
        Exec *exec; /* owned */
        unsigned n_done;
} Run;

static void on_exec(Exec *e, void *userdata) {
        Run *r = userdata;

        (void) e;
        r->n_done++;
}

static void run_clear(Run *r) {
        if (r->exec && r->n_done == 0)
                r->exec->done = NULL;
        r->exec = exec_unref(r->exec);
}
#define _cleanup_run_ _cleanup_(run_clear)

static int run(Session *s, usec_t timeout, Run *r, Error *error) {
        static const char text[] = "{\"argv\":[\"x\"]}";
        _cleanup_exec_spec_ ExecSpec spec = { .output_max = 1000 };

        *r = (Run){ 0 };
        assert_int_equal(exec_spec_read(&spec, text, strlen(text), NULL), 0);
        spec.timeout = timeout;
        return session_exec(s, &spec, false, on_exec, r, &r->exec, error);
}

static FakeSandbox *init_of(Fixture *f, const Session *s) {
        FakeSandbox *i = fake_sandbox_of(f->backend, s->sandbox);

        assert_non_null(i);
        return i;
}

static void test_a_command(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;
        InitRequest q;
        int fds[3];

        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        assert_true(fake_asked(init_of(f, o.session), &q, NULL, 0, fds) > 0);
        assert_int_equal(q.type, INIT_EXEC);
        assert_int_equal(q.exec, 1);
        assert_int_equal(write(fds[1], "out", 3), 3);
        assert_int_equal(write(fds[2], "err", 3), 3);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(close(fds[i]), 0);
        fake_tell(init_of(f, o.session),
                &(InitEvent){ .type = INIT_EXITED, .exec = 1, .status = 3 << 8, .cpu_usec = 7, .max_rss = 8192 });
        RUN_UNTIL(f->event, r.n_done == 1);
        assert_int_equal(r.exec->reason, EXEC_EXITED);
        assert_int_equal(r.exec->exit_code, 3);
        _cleanup_json_ json_t *j = exec_result(r.exec, true);
        assert_string_equal(json_string_value(json_object_get(j, "stdout")), "out");
        assert_string_equal(json_string_value(json_object_get(j, "stderr")), "err");
        assert_int_equal(json_integer_value(json_object_get(j, "max_rss_kb")), 8);
        assert_string_equal(json_string_value(json_object_get(j, "reason")), "exited");
        RUN_UNTIL(f->event, f->events[SESSION_EVENT_EXEC] == 1);
}

static void test_a_command_ended_by_a_signal(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;

        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 1, .status = 11 });
        RUN_UNTIL(f->event, r.n_done == 1);
        assert_int_equal(r.exec->reason, EXEC_SIGNALED);
        assert_int_equal(r.exec->signal, 11);
        assert_int_equal(r.exec->exit_code, 139);
}

static void test_what_limits_did(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run memory, pids, neither;

        f->backend->has_usage = true;
        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &memory, NULL), 0);
        f->backend->usage.oom_kills = 1;
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 1, .status = 9 });
        RUN_UNTIL(f->event, memory.n_done == 1);
        assert_int_equal(memory.exec->reason, EXEC_OOM);

        assert_int_equal(run(o.session, USEC_PER_SEC, &pids, NULL), 0);
        f->backend->usage.pids_refused = 5;
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 2, .status = 1 << 8 });
        RUN_UNTIL(f->event, pids.n_done == 1);
        assert_int_equal(pids.exec->reason, EXEC_PIDS);

        assert_int_equal(run(o.session, USEC_PER_SEC, &neither, NULL), 0);
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 3, .status = 1 << 8 });
        RUN_UNTIL(f->event, neither.n_done == 1);
        assert_int_equal(neither.exec->reason, EXEC_EXITED); /* what was before does not count again */
}

static void test_a_command_that_takes_too_long(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;
        InitRequest q;

        make(f, &plain, &o);
        assert_int_equal(run(o.session, 10 * USEC_PER_MSEC, &r, NULL), 0);
        (void) fake_asked(init_of(f, o.session), &q, NULL, 0, NULL);
        RUN_UNTIL(f->event, r.exec->killed);
        assert_true(fake_asked(init_of(f, o.session), &q, NULL, 0, NULL) > 0);
        assert_int_equal(q.type, INIT_SIGNAL);
        assert_int_equal(q.exec, 1);
        assert_int_equal(q.signal, SIGKILL);
        assert_int_equal(q.scope, INIT_SCOPE_EVERYTHING);
        /* process 1 does not tell of its end: the client is answered all the same */
        RUN_UNTIL(f->event, r.n_done == 1);
        assert_int_equal(r.exec->reason, EXEC_TIMEOUT);
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 1, .status = 9 });
        run_ready(f->event);
        assert_int_equal(r.n_done, 1);
        assert_false(o.session->ended);
}

static void test_a_command_that_is_cancelled(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;

        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        exec_kill(r.exec, EXEC_CANCELLED);
        exec_kill(r.exec, EXEC_TIMEOUT); /* too late */
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 1, .status = 9 });
        RUN_UNTIL(f->event, r.n_done == 1);
        assert_int_equal(r.exec->reason, EXEC_CANCELLED);
}

static void test_commands_that_cannot_start(void **state) {
        static const struct {
                InitStage stage;
                int error;
                ErrorKind kind;
                ExecReason reason;
                int exit_code;
        } rows[] = {
                { INIT_STAGE_CWD, ENOENT, ERROR_INVALID_VALUE, EXEC_LOST, -1 },
                { INIT_STAGE_LIMIT, EAGAIN, ERROR_QUOTA, EXEC_LOST, -1 },
                { INIT_STAGE_EXECVE, ENOENT, ERROR_NONE, EXEC_EXITED, 127 },
                { INIT_STAGE_EXECVE, EACCES, ERROR_NONE, EXEC_EXITED, 126 },
                { INIT_STAGE_FORK, EAGAIN, ERROR_NONE, EXEC_PIDS, -1 },
                { INIT_STAGE_FORK, ENOMEM, ERROR_NONE, EXEC_OOM, -1 },
                { INIT_STAGE_FORK, EPERM, ERROR_INTERNAL, EXEC_LOST, -1 },
        };
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        make(f, &plain, &o);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_run_ Run r;
                assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
                fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_REFUSED,
                                                         .exec = (uint32_t) i + 1,
                                                         .error = rows[i].error,
                                                         .stage = rows[i].stage });
                RUN_UNTIL(f->event, r.n_done == 1);
                assert_int_equal(r.exec->error.kind, rows[i].kind);
                assert_int_equal(r.exec->reason, rows[i].reason);
                assert_int_equal(r.exec->exit_code, rows[i].exit_code);
        }
}

static void test_so_many_commands_at_once(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_error_ Error error = { 0 };
        Run r[INIT_EXECS_MAX], more;

        make(f, &plain, &o);
        for (unsigned i = 0; i < INIT_EXECS_MAX; i++)
                assert_int_equal(run(o.session, USEC_PER_SEC, &r[i], NULL), 0);
        assert_int_equal(run(o.session, USEC_PER_SEC, &more, &error), -EDQUOT);
        assert_int_equal(error.kind, ERROR_QUOTA);
        session_end(o.session, SESSION_DELETED);
        for (unsigned i = 0; i < INIT_EXECS_MAX; i++) {
                assert_int_equal(r[i].n_done, 1); /* told at once */
                assert_int_equal(r[i].exec->reason, EXEC_LOST);
                run_clear(&r[i]);
        }
}

static void test_a_lost_sandbox(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;
        _cleanup_error_ Error error = { 0 };
        Run late;

        make(f, &(Request){ .owner = "a" }, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        fake_die(init_of(f, o.session));
        RUN_UNTIL(f->event, r.n_done == 1);
        assert_int_equal(r.exec->reason, EXEC_LOST);
        assert_int_equal(session_count(f->manager), 0);
        assert_ended(f, o.session->id, "a", "lost");
        assert_int_equal(run(o.session, USEC_PER_SEC, &late, &error), -EOWNERDEAD);
        assert_string_equal(error.reason, "lost");
        RUN_UNTIL(f->event, f->events[SESSION_EVENT_REMOVED] == 1);
        assert_int_equal(f->last_reason, SESSION_LOST);
        assert_int_equal(session_n_ending(f->manager), 0);
}

static void test_a_sandbox_that_is_gone_at_once(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;

        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        fake_end(f->backend, init_of(f, o.session), 0); /* never DYING */
        assert_int_equal(r.n_done, 1);
        assert_ended(f, o.session->id, NULL, "lost");
        assert_int_equal(session_n_ending(f->manager), 0);
}

static void test_a_command_after_the_end(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_error_ Error error = { 0 };
        Run r;

        make(f, &plain, &o);
        session_end(o.session, SESSION_DELETED);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, &error), -EOWNERDEAD);
        assert_int_equal(error.kind, ERROR_SESSION_ENDED);
        assert_string_equal(error.reason, "deleted");
}

static void test_dropping_a_command_does_not_end_it(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        InitRequest q;
        Run r;

        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        (void) fake_asked(init_of(f, o.session), &q, NULL, 0, NULL);
        r.exec->done = NULL;
        r.exec = exec_unref(r.exec);
        run_ready(f->event);
        assert_int_equal(fake_asked(init_of(f, o.session), &q, NULL, 0, NULL), 0);
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 1 });
        run_ready(f->event);
        assert_int_equal(o.session->sandbox->n_jobs, 0);
}

static void test_description(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        make(f, &(Request){ .key = "k", .timeout = 60 * USEC_PER_SEC }, &o);
        _cleanup_json_ json_t *j = session_describe(o.session, "worker1", false);
        assert_string_equal(json_string_value(json_object_get(j, "session_id")), o.session->id);
        assert_string_equal(json_string_value(json_object_get(j, "worker_id")), "worker1");
        assert_string_equal(json_string_value(json_object_get(j, "state")), "running");
        assert_string_equal(json_string_value(json_object_get(j, "key")), "k");
        assert_string_equal(json_string_value(json_object_get(j, "user")), SANDBOX_USER);
        assert_int_equal(json_number_value(json_object_get(j, "timeout")), 60);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "limits"), "memory_limit")), 512 * MIB);
        assert_true(json_is_object(json_object_get(j, "metadata")));
        assert_null(json_object_get(j, "env")); /* may hold secrets */
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
                TEST(test_from_the_pool),
                TEST(test_on_demand),
                TEST(test_other_limits_come_not_from_the_pool),
                TEST(test_unknown_image),
                TEST(test_two_sessions_share_nothing),
                TEST(test_cannot_be_made),
                TEST(test_a_backend_that_comes_back),
                TEST(test_a_client_that_leaves),
                TEST(test_a_key_attaches),
                TEST(test_a_key_is_free_again_after_the_end),
                TEST(test_owners_have_keys_of_their_own),
                TEST(test_a_race_for_a_key),
                TEST(test_a_race_for_a_key_in_the_queue),
                TEST(test_no_more_than_allowed),
                TEST(test_those_that_are_being_made_count),
                TEST(test_those_that_are_ending_count),
                TEST(test_attaching_needs_no_place),
                TEST(test_waiting_for_a_place_in_order),
                TEST(test_who_comes_later_does_not_take_the_place),
                TEST(test_waiting_ends),
                TEST(test_who_waits_may_leave),
                TEST(test_so_many_may_wait),
                TEST(test_draining),
                TEST(test_deadline),
                TEST(test_deadline_can_be_moved),
                TEST(test_default_time_is_within_the_longest),
                TEST(test_ended_is_known_and_says_why),
                TEST(test_so_many_ends_are_remembered),
                TEST(test_ids_that_are_none),
                TEST(test_owners_see_their_own),
                TEST(test_the_end_is_told_when_nothing_runs),
                TEST(test_a_command),
                TEST(test_a_command_ended_by_a_signal),
                TEST(test_what_limits_did),
                TEST(test_a_command_that_takes_too_long),
                TEST(test_a_command_that_is_cancelled),
                TEST(test_commands_that_cannot_start),
                TEST(test_so_many_commands_at_once),
                TEST(test_a_lost_sandbox),
                TEST(test_a_sandbox_that_is_gone_at_once),
                TEST(test_a_command_after_the_end),
                TEST(test_dropping_a_command_does_not_end_it),
                TEST(test_description),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
