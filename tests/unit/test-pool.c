/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "fake-backend.h"

/* The pool reviews itself on a timer that counts real time: the tests call it by hand. */
#include "../../src/pool/pool.c"

typedef struct Fixture {
        sd_event *event;
        FakeBackend *backend;
        Pool *pool;
        unsigned events[POOL_RESIZED + 1];
} Fixture;

static void on_pool(Pool *p, PoolEvent event, const Sandbox *s, void *userdata) {
        Fixture *f = userdata;

        (void) p;
        (void) s;
        f->events[event]++;
}

static const PoolSettings settings = {
        .size = 4,
        .min = 2,
        .idle = 600 * USEC_PER_SEC,
        .max = 12,
        .spec = { .image = "base", .limits = { 1, 2, 3, 4 } },
};

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);

        clock_shift_for_test(0);
        if (!f || sd_event_new(&f->event) < 0)
                return -1;
        f->backend = fake_backend_new(f->event);
        if (pool_new(f->event, &f->backend->backend, &settings, on_pool, f, &f->pool) < 0)
                return -1;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        f->pool = pool_free(f->pool);
        run_ready(f->event);
        assert_int_equal(f->backend->n_alive, 0); /* what the pool had is ended */
        f->backend = fake_backend_free(f->backend);
        f->event = sd_event_unref(f->event);
        free(f);
        clock_shift_for_test(0);
        return 0;
}

static void fill(Fixture *f, unsigned n) {
        pool_start(f->pool);
        RUN_UNTIL(f->event, pool_n_ready(f->pool) == n);
}

/* Takes one, which the caller then ends. */
static void take(Fixture *f) {
        Sandbox *s = pool_take(f->pool);

        assert_non_null(s);
        assert_int_equal(s->state, SANDBOX_READY);
        sandbox_set_owner(s, NULL, NULL);
        backend_kill(&f->backend->backend, s);
        (void) sandbox_unref(s);
}

/* Lets refills happen until there are none to be made. */
static void settle(Fixture *f) {
        RUN_UNTIL(f->event, pool_n_ready(f->pool) >= pool_target(f->pool));
        run_ready(f->event);
}

static void review(Fixture *f) {
        (void) on_review(f->pool->review, 0, f->pool);
}

static void test_nothing_is_made_before_the_start(void **state) {
        Fixture *f = *state;

        run_ready(f->event);
        assert_int_equal(f->backend->n_started, 0);
        assert_int_equal(pool_n_ready(f->pool), 0);
        assert_null(pool_take(f->pool));
}

static void test_start_fills_it(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        run_ready(f->event);
        assert_int_equal(f->backend->n_started, 4);
        assert_int_equal(f->events[POOL_MEMBER_READY], 4);
        assert_int_equal(f->events[POOL_FILLED], 1);
        assert_false(pool_is_failing(f->pool));
}

static void test_members_have_the_spec(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        assert_true(pool_fits(f->pool, &fake_sandbox(f->backend, 0)->sandbox->spec));
        assert_true(fake_sandbox(f->backend, 0)->sandbox->spec.ahead);
}

static void test_a_member_is_handed_out_once(void **state) {
        Fixture *f = *state;
        Sandbox *taken[4];

        fill(f, 4);
        for (unsigned i = 0; i < 4; i++) {
                taken[i] = pool_take(f->pool);
                assert_non_null(taken[i]);
                for (unsigned k = 0; k < i; k++)
                        assert_ptr_not_equal(taken[i], taken[k]);
        }
        assert_int_equal(pool_n_ready(f->pool), 0);
        for (unsigned i = 0; i < 4; i++) {
                sandbox_set_owner(taken[i], NULL, NULL);
                backend_kill(&f->backend->backend, taken[i]);
                (void) sandbox_unref(taken[i]);
        }
}

static void test_what_was_taken_is_no_more_its_own(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        Sandbox *s = pool_take(f->pool);
        assert_non_null(s);
        fake_end(f->backend, fake_sandbox(f->backend, 0), 0); /* before its new owner asks to be told */
        assert_int_equal(s->state, SANDBOX_ENDED);
        assert_int_equal(f->events[POOL_MEMBER_DIED], 0);
        assert_int_equal(pool_n_ready(f->pool), 3);
        (void) sandbox_unref(s);
}

static void test_longest_ready_first(void **state) {
        Fixture *f = *state;

        f->backend->automatic_ready = false;
        pool_start(f->pool);
        RUN_UNTIL(f->event, f->backend->n_started == 4);
        FakeSandbox *first = fake_sandbox(f->backend, 2);
        fake_ready(f->backend, first);
        RUN_UNTIL(f->event, pool_n_ready(f->pool) == 1);
        fake_ready(f->backend, fake_sandbox(f->backend, 3));
        RUN_UNTIL(f->event, pool_n_ready(f->pool) == 2);
        Sandbox *s = pool_take(f->pool);
        assert_ptr_equal(s, first->sandbox);
        sandbox_set_owner(s, NULL, NULL);
        backend_kill(&f->backend->backend, s);
        (void) sandbox_unref(s);
}

static void test_refill_comes_after_the_answer(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        take(f);
        assert_int_equal(f->backend->n_started, 4); /* not in the same call */
        settle(f);
        assert_int_equal(f->backend->n_started, 5);
        assert_int_equal(pool_n_ready(f->pool), 4);
        assert_int_equal(f->events[POOL_FILLED], 1); /* only the first time */
}

static void test_grows_with_demand_to_its_maximum(void **state) {
        Fixture *f = *state;
        unsigned last = 4;

        fill(f, 4);
        for (unsigned i = 0; i < 8; i++) {
                while (pool_n_ready(f->pool) > 0)
                        take(f);
                assert_null(pool_take(f->pool));
                assert_true(pool_target(f->pool) >= last && pool_target(f->pool) <= 12);
                last = pool_target(f->pool);
                settle(f);
        }
        assert_int_equal(last, 12);
        assert_int_equal(pool_n_ready(f->pool), 12);
        assert_true(f->events[POOL_EMPTY] >= 8);
}

static void test_only_so_many_are_made_side_by_side(void **state) {
        Fixture *f = *state;

        f->backend->automatic_ready = false;
        pool_start(f->pool);
        RUN_UNTIL(f->event, f->backend->n_started == 4);
        set_target(f->pool, 12);
        run_ready(f->event);
        assert_true(f->pool->n_starting <= STARTING_MAX);
        fake_ready(f->backend, fake_sandbox(f->backend, 0));
        RUN_UNTIL(f->event, f->backend->n_started == 5);
}

static void test_shrinks_to_its_size_when_it_is_quiet(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        set_target(f->pool, 12);
        settle(f);
        review(f);
        assert_int_equal(pool_target(f->pool), 12); /* not yet */
        clock_shift_for_test(QUIET_USEC + USEC_PER_SEC);
        review(f);
        assert_int_equal(pool_target(f->pool), 6);
        review(f);
        assert_int_equal(pool_target(f->pool), 4);
        review(f);
        assert_int_equal(pool_target(f->pool), 4);
        run_ready(f->event);
        assert_int_equal(f->backend->n_alive, 4);
}

static void test_shrinks_to_its_minimum_when_it_is_idle(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        clock_shift_for_test(settings.idle + USEC_PER_SEC);
        for (unsigned i = 0; i < 10; i++)
                review(f);
        assert_int_equal(pool_target(f->pool), 2);
        run_ready(f->event);
        assert_int_equal(f->backend->n_alive, 2);

        take(f); /* demand: it wakes up */
        take(f);
        assert_null(pool_take(f->pool));
        assert_true(pool_target(f->pool) > 2);
}

static void test_a_short_idle_time_is_not_longer_than_its_name(void **state) {
        Fixture *f = *state;
        PoolSettings other = settings;
        uint64_t before, due;

        fill(f, 4);
        assert_int_equal(sd_event_source_get_time(f->pool->review, &before), 0);
        other.idle = 2 * USEC_PER_SEC; /* less than it takes elsewhere to be back at the size */
        pool_configure(f->pool, &other);
        assert_int_equal(sd_event_source_get_time(f->pool->review, &due), 0);
        assert_true(due + 5 * USEC_PER_SEC < before);
        set_target(f->pool, 12);
        settle(f);
        review(f);
        assert_int_equal(pool_target(f->pool), 12);
        clock_shift_for_test(3 * USEC_PER_SEC);
        for (unsigned i = 0; i < 10; i++)
                review(f);
        assert_int_equal(pool_target(f->pool), 2);
}

static void test_without_an_idle_time_it_stays_at_its_size(void **state) {
        Fixture *f = *state;
        PoolSettings other = settings;

        other.idle = 0;
        pool_configure(f->pool, &other);
        fill(f, 4);
        clock_shift_for_test(settings.idle + USEC_PER_SEC);
        for (unsigned i = 0; i < 10; i++)
                review(f);
        assert_int_equal(pool_target(f->pool), 4);
}

static void test_a_dead_member_is_not_handed_out(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        Sandbox *dead = TAILQ_FIRST(&f->pool->ready)->sandbox;
        fake_die(fake_sandbox_of(f->backend, dead)); /* nobody was told */
        Sandbox *s = pool_take(f->pool);
        assert_ptr_not_equal(s, dead);
        assert_non_null(s);
        assert_int_equal(f->events[POOL_MEMBER_DIED], 1);
        sandbox_set_owner(s, NULL, NULL);
        backend_kill(&f->backend->backend, s);
        (void) sandbox_unref(s);
        settle(f);
        assert_int_equal(pool_n_ready(f->pool), pool_target(f->pool));
}

static void test_all_dead(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        for (unsigned i = 0; i < 4; i++)
                fake_die(fake_sandbox(f->backend, i));
        assert_null(pool_take(f->pool));
        assert_int_equal(f->events[POOL_MEMBER_DIED], 4);
        assert_int_equal(f->events[POOL_EMPTY], 1);
}

static void test_a_member_that_dies_is_replaced(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        fake_die(fake_sandbox(f->backend, 2));
        RUN_UNTIL(f->event, f->events[POOL_MEMBER_DIED] == 1);
        settle(f);
        assert_int_equal(f->backend->n_started, 5);
        assert_int_equal(pool_n_ready(f->pool), 4);
}

static void test_a_member_that_ends_at_once_is_replaced(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        fake_end(f->backend, fake_sandbox(f->backend, 1), 0); /* never DYING */
        assert_int_equal(f->events[POOL_MEMBER_DIED], 1);
        settle(f);
        assert_int_equal(pool_n_ready(f->pool), 4);
}

static void test_a_member_that_breaks_the_protocol_is_replaced(void **state) {
        Fixture *f = *state;
        InitEvent nonsense = { .type = 77 };

        fill(f, 4);
        fake_tell(fake_sandbox(f->backend, 0), &nonsense);
        RUN_UNTIL(f->event, f->events[POOL_MEMBER_DIED] == 1);
        settle(f);
        assert_int_equal(pool_n_ready(f->pool), 4);
        assert_int_equal(f->pool->n_starting, 0);
        assert_int_equal(f->events[POOL_MEMBER_FAILED], 0);
}

static void test_who_cannot_be_made_is_tried_again_later(void **state) {
        Fixture *f = *state;

        f->backend->fail = -ENOSPC;
        pool_start(f->pool);
        RUN_UNTIL(f->event, f->events[POOL_MEMBER_FAILED] == 4);
        assert_true(pool_is_failing(f->pool));
        assert_true(f->pool->backoff >= BACKOFF_MIN_USEC && f->pool->backoff <= BACKOFF_MAX_USEC);
        run_ready(f->event);
        assert_int_equal(f->backend->n_started, 4); /* not at once */

        f->backend->fail = 0;
        schedule_refill(f->pool, 0); /* the time has come */
        settle(f);
        assert_false(pool_is_failing(f->pool));
        assert_int_equal(pool_n_ready(f->pool), 4);
}

static void test_patience_grows_to_its_limit(void **state) {
        Fixture *f = *state;

        f->backend->fail = -ENOSPC;
        pool_start(f->pool);
        for (unsigned i = 1; i <= 20; i++) {
                RUN_UNTIL(f->event, f->events[POOL_MEMBER_FAILED] >= i);
                schedule_refill(f->pool, 0);
        }
        assert_int_equal(f->pool->backoff, BACKOFF_MAX_USEC);
}

static void test_one_that_dies_before_it_is_ready(void **state) {
        Fixture *f = *state;

        f->backend->automatic_ready = false;
        pool_start(f->pool);
        RUN_UNTIL(f->event, f->backend->n_started == 4);
        FakeSandbox *s = fake_sandbox(f->backend, 0);
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        assert_int_equal(sandbox_attach(s->sandbox, f->event, ends[0]), 0);
        (void) close(ends[1]);
        RUN_UNTIL(f->event, f->events[POOL_MEMBER_FAILED] == 1);
        assert_int_equal(f->pool->n_starting, 3);
        assert_true(pool_is_failing(f->pool));
}

static void test_a_backend_that_refuses(void **state) {
        Fixture *f = *state;

        f->backend->refuse = -EAGAIN;
        pool_start(f->pool);
        run_ready(f->event);
        assert_int_equal(pool_n_ready(f->pool), 0);
        f->backend->refuse = 0;
        schedule_refill(f->pool, 0);
        settle(f);
}

static void test_nothing_is_made_while_the_backend_is_away(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        f->backend->backend.status = BACKEND_LOST;
        take(f);
        review(f);
        for (unsigned i = 0; i < 5; i++)
                (void) on_refill(f->pool->refill, 0, f->pool);
        assert_int_equal(f->backend->n_started, 4);
        f->backend->backend.status = BACKEND_READY;
        pool_start(f->pool);
        settle(f);
        assert_int_equal(f->backend->n_started, 5);
}

static void test_stop_ends_all(void **state) {
        Fixture *f = *state;

        fill(f, 4);
        f->backend->automatic_ready = false;
        set_target(f->pool, 6);
        RUN_UNTIL(f->event, f->backend->n_started == 6);
        pool_stop(f->pool);
        assert_int_equal(pool_n_ready(f->pool), 0);
        assert_int_equal(f->backend->n_killed, 6);
        run_ready(f->event);
        assert_int_equal(f->backend->n_alive, 0);
        review(f);
        run_ready(f->event);
        assert_int_equal(f->backend->n_started, 6);
}

static void test_configure_resizes(void **state) {
        Fixture *f = *state;
        PoolSettings other = settings;

        fill(f, 4);
        other.size = 7;
        pool_configure(f->pool, &other);
        settle(f);
        assert_int_equal(pool_n_ready(f->pool), 7);
        assert_int_equal(f->backend->n_started, 7); /* those that were there stay */
        other.size = 3;
        pool_configure(f->pool, &other);
        assert_int_equal(pool_n_ready(f->pool), 3);
        assert_int_equal(f->backend->n_killed, 4);
}

static void test_configure_keeps_a_target_within_the_new_bounds(void **state) {
        Fixture *f = *state;
        PoolSettings other = settings;

        fill(f, 4);
        set_target(f->pool, 10);
        other.max = 8;
        pool_configure(f->pool, &other);
        assert_int_equal(pool_target(f->pool), 8);
        other.max = 12;
        other.min = 4;
        clock_shift_for_test(settings.idle + USEC_PER_SEC);
        pool_configure(f->pool, &other);
        for (unsigned i = 0; i < 20; i++)
                review(f);
        assert_int_equal(pool_target(f->pool), 4);
}

static void test_configure_replaces_members_of_another_kind(void **state) {
        Fixture *f = *state;
        PoolSettings other = settings;

        fill(f, 4);
        other.spec.limits.memory = 99;
        pool_configure(f->pool, &other);
        assert_int_equal(pool_n_ready(f->pool), 0);
        assert_int_equal(f->backend->n_killed, 4);
        settle(f);
        assert_int_equal(pool_n_ready(f->pool), 4);
        assert_int_equal(TAILQ_FIRST(&f->pool->ready)->sandbox->spec.limits.memory, 99);
        assert_false(pool_fits(f->pool, &settings.spec));
}

static void test_members_have_the_calls_of_their_kind_only(void **state) {
        Fixture *f = *state;
        PoolSettings other = settings;

        fill(f, 4);
        other.spec.calls = CALLS_AIO;
        assert_false(pool_fits(f->pool, &other.spec));
        pool_configure(f->pool, &other);
        assert_int_equal(pool_n_ready(f->pool), 0); /* those that were made before do not have them */
        settle(f);
        assert_int_equal(TAILQ_FIRST(&f->pool->ready)->sandbox->spec.calls, CALLS_AIO);
        assert_false(pool_fits(f->pool, &settings.spec)); /* and nobody else gets one that does */
        other.spec.calls = CALLS_AIO | CALLS_NUMA;
        assert_false(pool_fits(f->pool, &other.spec));
}

static void test_empty_pool_is_possible(void **state) {
        Fixture *f = *state;
        PoolSettings none = settings;

        none.size = none.min = none.max = 0;
        pool_configure(f->pool, &none);
        pool_start(f->pool);
        run_ready(f->event);
        assert_null(pool_take(f->pool));
        assert_int_equal(pool_target(f->pool), 0);
        assert_int_equal(f->backend->n_started, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
                TEST(test_nothing_is_made_before_the_start),
                TEST(test_start_fills_it),
                TEST(test_members_have_the_spec),
                TEST(test_a_member_is_handed_out_once),
                TEST(test_what_was_taken_is_no_more_its_own),
                TEST(test_longest_ready_first),
                TEST(test_refill_comes_after_the_answer),
                TEST(test_grows_with_demand_to_its_maximum),
                TEST(test_only_so_many_are_made_side_by_side),
                TEST(test_shrinks_to_its_size_when_it_is_quiet),
                TEST(test_shrinks_to_its_minimum_when_it_is_idle),
                TEST(test_a_short_idle_time_is_not_longer_than_its_name),
                TEST(test_without_an_idle_time_it_stays_at_its_size),
                TEST(test_a_dead_member_is_not_handed_out),
                TEST(test_all_dead),
                TEST(test_a_member_that_dies_is_replaced),
                TEST(test_a_member_that_ends_at_once_is_replaced),
                TEST(test_a_member_that_breaks_the_protocol_is_replaced),
                TEST(test_who_cannot_be_made_is_tried_again_later),
                TEST(test_patience_grows_to_its_limit),
                TEST(test_one_that_dies_before_it_is_ready),
                TEST(test_a_backend_that_refuses),
                TEST(test_nothing_is_made_while_the_backend_is_away),
                TEST(test_stop_ends_all),
                TEST(test_configure_resizes),
                TEST(test_configure_keeps_a_target_within_the_new_bounds),
                TEST(test_configure_replaces_members_of_another_kind),
                TEST(test_members_have_the_calls_of_their_kind_only),
                TEST(test_empty_pool_is_possible),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
