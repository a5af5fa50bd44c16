/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

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

static uint64_t room_left(Snapshots *store) {
        SnapshotDraft d;

        assert_int_equal(snapshot_draft(store, NULL, 1000, false, &d, NULL), 0);
        uint64_t room = d.room;
        snapshot_draft_clear(&d);
        return room;
}

static void test_a_deleted_snapshot_counts_while_a_session_of_it_is_made(void **state) {
        static const SnapshotSettings settings = { .max = 3, .space = 1000 };
        char path[] = "/tmp/snapshots.XXXXXX", image[64], bytes[600] = { 0 };
        Fixture *f = *state;
        Snapshots *store;
        SnapshotDraft d;
        Snapshot *s;
        Creation *c;
        Outcome o;
        unsigned n;

        assert_non_null(mkdtemp(path));
        assert_int_equal(snapshots_open(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), &store, &n), 0);
        snapshots_configure(store, &settings);
        assert_int_equal(snapshot_draft(store, NULL, sizeof bytes, false, &d, NULL), 0);
        assert_int_equal(write(d.fd, bytes, sizeof bytes), sizeof bytes);
        assert_int_equal(snapshot_commit(&d, "base", "some-session", &s), 0);
        snapshot_draft_clear(&d);
        (void) snprintf(image, sizeof image, SNAPSHOT_PREFIX "%s", s->id);
        session_manager_set_snapshots(f->manager, store);

        f->backend->automatic_ready = false;
        assert_int_equal(create(f, &(Request){ .image = image }, &o, &c), 1);
        snapshots_delete(store, s);
        assert_int_equal(create(f, &(Request){ .image = image }, &o, NULL), -EINVAL);
        assert_int_equal(room_left(store), 400);
        creation_cancel(c);
        assert_int_equal(room_left(store), 1000);

        session_manager_set_snapshots(f->manager, NULL);
        store = snapshots_free(store);
        assert_int_equal(rmdir(path), 0);
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

/* What is missing is the place of one that has ended, whose files are still being given back. */
static void test_place_that_is_being_cleared(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b, c, d;

        max_sessions(f, 2);
        make(f, &plain, &a);
        f->backend->backend.n_clearing = 1;
        assert_int_equal(create(f, &plain, &b, NULL), 1);
        run_ready(f->event);
        assert_int_equal(b.n_done, 0);
        assert_int_equal(f->backend->n_started, 1);
        assert_int_equal(create(f, &plain, &c, NULL), -EAGAIN); /* there would be no other place even then */
        assert_int_equal(c.error, ERROR_NO_CAPACITY);

        f->backend->backend.n_clearing = 0;
        session_manager_backend_changed(f->manager);
        RUN_UNTIL(f->event, b.n_done == 1);
        assert_non_null(b.session);
        assert_int_equal(create(f, &plain, &d, NULL), -EAGAIN);
        assert_int_equal(session_count(f->manager), 2);
}

/* What is missing is the place of one in which nothing runs any more, but whose process 1 is still there. */
static void test_place_of_one_that_is_empty(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b, c, d;

        max_sessions(f, 1);
        make(f, &plain, &a);
        f->backend->automatic_end = false;
        session_end(a.session, SESSION_DELETED);
        assert_int_equal(create(f, &plain, &b, NULL), -EAGAIN); /* something may run in it for long */
        sandbox_set_state(a.session->sandbox, SANDBOX_EMPTY);
        assert_int_equal(create(f, &plain, &c, NULL), 1);
        assert_int_equal(create(f, &plain, &d, NULL), -EAGAIN);
        run_ready(f->event);
        assert_int_equal(c.n_done, 0);
        fake_end(f->backend, fake_sandbox_of(f->backend, a.session->sandbox), 0);
        RUN_UNTIL(f->event, c.n_done == 1);
        assert_non_null(c.session);
}

static void test_place_that_is_not_cleared(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b;

        max_sessions(f, 2);
        make(f, &plain, &a);
        f->backend->backend.n_clearing = 1;
        assert_int_equal(create(f, &plain, &b, NULL), 1);
        RUN_UNTIL(f->event, b.n_done == 1);
        assert_int_equal(b.error, ERROR_NO_CAPACITY);
        assert_true(b.retry_after > 0);
}

static void test_no_more_of_one_owner_than_allowed(void **state) {
        const Request one = { .owner = "one" }, keyed = { .owner = "one", .key = "k" }, two = { .owner = "two" };
        Fixture *f = *state;
        _cleanup_outcome_ Outcome a, b, c, d, e;

        f->settings.sessions_per_owner = 2;
        session_manager_configure(f->manager, &f->settings);
        make(f, &keyed, &a);
        f->backend->automatic_ready = false;
        assert_int_equal(create(f, &one, &b, NULL), 1); /* is being made: counts */
        assert_int_equal(create(f, &one, &c, NULL), -EDQUOT);
        assert_int_equal(c.error, ERROR_QUOTA);
        f->backend->automatic_ready = true;
        assert_int_equal(create(f, &keyed, &c, NULL), 0); /* attaches */
        outcome_clear(&c);
        fake_end(f->backend, fake_sandbox(f->backend, 0), -ENOSPC); /* its place is free again */
        assert_int_equal(b.n_done, 1);
        assert_int_equal(create(f, &one, &c, NULL), 1);
        RUN_UNTIL(f->event, c.n_done == 1);
        assert_int_equal(create(f, &one, &b, NULL), -EDQUOT);
        make(f, &two, &d);
        make(f, &plain, &e); /* nobody's */
        session_end(c.session, SESSION_DELETED);
        RUN_UNTIL(f->event, session_n_ending(f->manager) == 0);
        outcome_clear(&c);
        make(f, &one, &c);
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

/* As the sessions of a fork do. */
static void test_who_waits_may_take_the_next_along(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome first, a, b, c;

        max_sessions(f, 1);
        make(f, &plain, &first);
        assert_int_equal(create(f, &(Request){ .wait = WAIT_MAX }, &a, NULL), 1);
        assert_int_equal(create(f, &(Request){ .wait = WAIT_MAX }, &b, &a.takes_along), 1);
        assert_int_equal(create(f, &(Request){ .wait = WAIT_MAX }, &c, NULL), 1);
        f->backend->refuse = -EIO;
        session_end(first.session, SESSION_DELETED);
        RUN_UNTIL(f->event, c.n_done == 1);
        assert_int_equal(a.n_done, 1);
        assert_int_equal(b.n_done, 0);
        assert_null(c.session);
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

/* --- images --- */

static void give_demo_a_config(Fixture *f) {
        static const char text[] = "{\"env\":{\"A\":\"image\",\"B\":\"image\"},\"cwd\":\"/srv\"}";

        assert_int_equal(image_config_read(text, strlen(text), &f->config, NULL), 0);
}

static const char *variable(const Session *s, const char *name) {
        return json_string_value(json_object_get(s->env, name));
}

static void test_what_an_image_says_holds_for_its_sessions(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o = { 0 }, p = { 0 };

        give_demo_a_config(f);
        make(f, &(Request){ .image = "demo" }, &o);
        assert_string_equal(variable(o.session, "A"), "image");
        assert_string_equal(o.session->cwd, "/srv");
        assert_string_equal(o.session->image, "demo");
        assert_false(o.session->has_own_env);
        make(f, &plain, &p);
        assert_null(p.session->cwd);
        assert_int_equal(json_object_size(p.session->env), 0);
}

static void test_what_the_client_says_counts_more(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o = { 0 }, p = { 0 };

        give_demo_a_config(f);
        make(f, &(Request){ .image = "demo", .env = "{\"B\":\"mine\",\"C\":\"mine\"}" }, &o);
        assert_string_equal(variable(o.session, "A"), "image");
        assert_string_equal(variable(o.session, "B"), "mine");
        assert_string_equal(variable(o.session, "C"), "mine");
        assert_true(o.session->has_own_env);
        /* and is nobody else's */
        make(f, &(Request){ .image = "demo" }, &p);
        assert_string_equal(variable(p.session, "B"), "image");
        assert_null(variable(p.session, "C"));
}

static void test_an_image_s_own_pool_serves_its_sessions(void **state) {
        Fixture *f = *state;
        PoolSettings s = *pool_settings(f->pool);
        _cleanup_outcome_ Outcome o = { 0 }, p = { 0 };
        Pool *own = NULL;

        use_pool(f, 1);
        s.size = s.min = s.max = 2;
        (void) strcpy(s.spec.image, "demo-1");
        assert_int_equal(pool_new(f->event, &f->backend->backend, &s, NULL, NULL, &own), 0);
        pool_append(f->pool, own);
        pool_start(own);
        RUN_UNTIL(f->event, pool_n_ready(own) == 2);
        assert_int_equal(pool_sum_ready(f->pool), 3);
        assert_int_equal(pool_sum_target(f->pool), 3);
        assert_int_equal(create(f, &(Request){ .image = "demo" }, &o, NULL), 0);
        assert_true(o.session->from_pool);
        assert_int_equal(pool_n_ready(own), 1);
        assert_int_equal(create(f, &plain, &p, NULL), 0);
        assert_true(p.session->from_pool);
        assert_int_equal(pool_n_ready(own), 1);
        assert_int_equal(pool_n_ready(f->pool), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_from_the_pool),
                TEST(test_on_demand),
                TEST(test_other_limits_come_not_from_the_pool),
                TEST(test_unknown_image),
                TEST(test_two_sessions_share_nothing),
                TEST(test_cannot_be_made),
                TEST(test_a_backend_that_comes_back),
                TEST(test_a_deleted_snapshot_counts_while_a_session_of_it_is_made),
                TEST(test_a_client_that_leaves),
                TEST(test_a_key_attaches),
                TEST(test_a_key_is_free_again_after_the_end),
                TEST(test_owners_have_keys_of_their_own),
                TEST(test_a_race_for_a_key),
                TEST(test_a_race_for_a_key_in_the_queue),
                TEST(test_no_more_than_allowed),
                TEST(test_place_that_is_being_cleared),
                TEST(test_place_of_one_that_is_empty),
                TEST(test_place_that_is_not_cleared),
                TEST(test_no_more_of_one_owner_than_allowed),
                TEST(test_those_that_are_being_made_count),
                TEST(test_those_that_are_ending_count),
                TEST(test_attaching_needs_no_place),
                TEST(test_waiting_for_a_place_in_order),
                TEST(test_who_comes_later_does_not_take_the_place),
                TEST(test_waiting_ends),
                TEST(test_who_waits_may_leave),
                TEST(test_who_waits_may_take_the_next_along),
                TEST(test_so_many_may_wait),
                TEST(test_draining),
                TEST(test_what_an_image_says_holds_for_its_sessions),
                TEST(test_what_the_client_says_counts_more),
                TEST(test_an_image_s_own_pool_serves_its_sessions),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
