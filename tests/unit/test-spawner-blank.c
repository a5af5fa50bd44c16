/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner-fixture.h"

static void expect_silence(void) {
        assert_int_equal(heard().type, 0);
}

static unsigned n_blanks_made(void) {
        unsigned n = 0;

        for (unsigned i = 0; i < n_made; i++)
                n += (made[i].request.flags & ZYGOTE_BLANK) != 0;
        return n;
}

/* The first thing that process 1 of what was made @i-th is told. */
static bool told_limits(unsigned i, Limits *ret) {
        struct {
                InitRequest head;
                Limits limits;
        } m;

        if (recv(made[i].control, &m, sizeof m, MSG_DONTWAIT) != sizeof m)
                return false;
        assert_int_equal(m.head.type, INIT_LIMIT);
        assert_int_equal(m.head.length, sizeof m.limits);
        *ret = m.limits;
        return true;
}

/* Two requests of a kind: blanks of it follow. */
static void stock(Spawner *s) {
        for (unsigned i = 0; i < 2; i++) {
                ask(s, MIB, 10, 0);
                turn(s);
                (void) expect_created(s);
        }
        assert_int_equal(n_blanks_made(), BLANKS_MAX);
        assert_int_equal(s->blanks.n, BLANKS_MAX);
        expect_silence();
}

static void test_kind_that_is_asked_for_twice_is_made_ahead(void **state) {
        Spawner *s = *state;

        ask(s, MIB, 10, 0);
        turn(s);
        assert_int_equal(n_blanks_made(), 0);
        (void) expect_created(s);
        ask(s, MIB, 10, 0);
        turn(s);
        assert_int_equal(n_blanks_made(), BLANKS_MAX);
        for (unsigned i = 0; i < n_made; i++) {
                Limits l;
                assert_string_equal(made[i].request.image, "base-1");
                assert_false(told_limits(i, &l));
        }
}

static void test_request_gets_a_blank_with_its_limits(void **state) {
        Spawner *s = *state;
        Limits l;

        stock(s);
        ask(s, MIB, 77, 0); /* answered before the zygote does anything */
        const Slot *slot = expect_created(s);
        assert_int_equal(slot->limits.pids, 77);
        assert_false(blank_is(slot));
        assert_true(told_limits(2, &l)); /* the oldest, after those that were asked for */
        assert_int_equal(l.pids, 77);
        assert_int_equal(l.disk, MIB);
        assert_int_equal(s->blanks.n, BLANKS_MAX - 1);
        turn(s);
        assert_int_equal(s->blanks.n, BLANKS_MAX);
}

static void test_no_blank_serves_twice(void **state) {
        Spawner *s = *state;
        bool used[N_IDENTITIES] = { false };

        stock(s);
        for (unsigned i = 0; i < 3 * BLANKS_MAX; i++) {
                ask(s, MIB, 10, 0);
                turn(s);
                const Slot *slot = expect_created(s);
                assert_false(used[slot_index(&s->table, slot)]);
                used[slot_index(&s->table, slot)] = true;
        }
}

static void test_other_size_is_made_from_the_start(void **state) {
        Spawner *s = *state;
        unsigned before;

        stock(s);
        before = n_made;
        ask(s, 2 * MIB, 10, 0);
        expect_silence();
        turn(s);
        (void) expect_created(s);
        assert_int_equal(n_made, before + 1); /* and once is by chance */
        assert_false(made[before].request.flags & ZYGOTE_BLANK);
        assert_int_equal(made[before].request.limits.disk, 2 * MIB);
}

static void test_stock_follows_what_is_asked_for(void **state) {
        Spawner *s = *state;

        stock(s);
        for (unsigned i = 0; i < 2; i++) {
                ask(s, 2 * MIB, 10, 0);
                turn(s);
                (void) expect_created(s);
        }
        close(take_fd(made[2].life)); /* the oldest was told to make room */
        turn(s);
        expect_silence();
        ask(s, 2 * MIB, 11, 0);
        (void) expect_created(s);
        ask(s, MIB, 11, 0);
        (void) expect_created(s);
}

static void test_pools_leave_blanks_to_those_who_wait(void **state) {
        Spawner *s = *state;

        stock(s);
        ask(s, MIB, 10, SPAWN_AHEAD);
        expect_silence();
        turn(s);
        (void) expect_created(s);
        assert_int_equal(s->blanks.n, BLANKS_MAX);
}

static void end_all_made(Spawner *s, unsigned from) {
        for (unsigned i = from; i < n_made; i++)
                made[i].life = fd_close(made[i].life);
        turn(s);
}

static void test_images_that_change_end_all(void **state) {
        Spawner *s = *state;

        stock(s);
        say(s, (SpawnMessage){ .type = SPAWN_FORGET });
        assert_int_equal(s->blanks.n, 0);
        end_all_made(s, 2);
        expect_silence(); /* nobody knew of them */
        assert_int_equal(s->table.n_busy, 2);
        assert_int_equal(n_blanks_made(), BLANKS_MAX);
}

static void test_blank_that_ends_is_not_made_again_and_again(void **state) {
        Spawner *s = *state;

        stock(s);
        end_all_made(s, 2);
        expect_silence();
        assert_int_equal(s->table.n_busy, 2);
        assert_int_equal(n_blanks_made(), BLANKS_MAX);
        ask(s, MIB, 10, 0);
        turn(s);
        (void) expect_created(s);
        assert_int_equal(n_blanks_made(), BLANKS_MAX);
}

static void test_blank_that_has_just_ended_is_not_given(void **state) {
        Spawner *s = *state;

        stock(s);
        made[2].control = fd_close(made[2].control);
        ask(s, MIB, 10, 0);
        const Slot *slot = expect_created(s);
        assert_int_equal(slot->pid, 100 + 4);
        assert_int_equal(s->blanks.n, BLANKS_MAX - 2);
}

static void test_next_worker_is_not_told_of_blanks(void **state) {
        Spawner *s = *state;

        stock(s);
        link_drop(s);
        connect_worker(s);
        assert_int_equal(spawner_watch(s, s->held->worker, SOURCE_WORKER, 0), 0);
        say(s, (SpawnMessage){ .type = SPAWN_HELLO, .cookie = WIRE_VERSION });
        assert_int_equal(heard().type, SPAWN_WELCOME);
        assert_int_equal(heard().type, SPAWN_SLOT);
        assert_int_equal(heard().type, SPAWN_SLOT);
        assert_int_equal(heard().type, SPAWN_SYNCED);
        expect_silence();
}

/* It is told of none, but can guess where one is: its number is next to those of sandboxes that it has. */
static void test_worker_cannot_reach_blanks(void **state) {
        static const SpawnType types[] = { SPAWN_KILL, SPAWN_DROP, SPAWN_FREEZE };
        Spawner *s = *state;

        stock(s);
        for (unsigned i = 0; i < BLANKS_MAX; i++) {
                const Slot *slot = &s->table.slots[s->blanks.slots[i]];
                for (size_t k = 0; k < ELEMENTSOF(types); k++)
                        say(s, (SpawnMessage){ .type = types[k],
                                       .slot = slot_index(&s->table, slot),
                                       .generation = slot->generation,
                                       .flags = 1 });
                assert_int_equal(slot->state, SLOT_LIVE);
                assert_false(slot->frozen);
        }
        turn(s);
        assert_int_equal(s->blanks.n, BLANKS_MAX);
        expect_silence();
        ask(s, MIB, 10, 0);
        (void) expect_created(s);
}

static void test_process_that_follows_ends_them(void **state) {
        Spawner *s = *state;
        unsigned dying = 0;

        stock(s);
        for (uint32_t i = 0; i < s->table.counters->n_used; i++)
                if (s->table.slots[i].pidfd >= 0)
                        assert_int_equal(epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->table.slots[i].pidfd, NULL), 0);
        free(s->table.identities);
        s->blanks.n = 0;
        assert_int_equal(resume_state(s), 0);
        for (uint32_t i = 0; i < s->table.counters->n_used; i++)
                dying += s->table.slots[i].state == SLOT_DYING && blank_is(&s->table.slots[i]);
        assert_int_equal(dying, BLANKS_MAX);
        assert_int_equal(s->table.n_busy, 2 + BLANKS_MAX);
}

static void test_places_are_for_those_who_ask(void **state) {
        Spawner *s = *state;

        for (unsigned i = 0; i < N_IDENTITIES - 1; i++) {
                ask(s, MIB, 10, 0);
                turn(s);
                (void) expect_created(s);
                for (unsigned k = 0; k < n_made; k++) /* what was told to end does */
                        if ((made[k].request.flags & ZYGOTE_BLANK) && i == (N_IDENTITIES - 1) / 4 * 3)
                                made[k].life = s->table.slots[made[k].request.cookie].state == SLOT_DYING
                                                       ? fd_close(made[k].life)
                                                       : made[k].life;
                turn(s);
        }
        assert_int_equal(s->blanks.n, 0);
        assert_int_equal(s->table.n_busy, N_IDENTITIES - 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_kind_that_is_asked_for_twice_is_made_ahead),
                TEST(test_request_gets_a_blank_with_its_limits),
                TEST(test_no_blank_serves_twice),
                TEST(test_other_size_is_made_from_the_start),
                TEST(test_stock_follows_what_is_asked_for),
                TEST(test_pools_leave_blanks_to_those_who_wait),
                TEST(test_images_that_change_end_all),
                TEST(test_blank_that_ends_is_not_made_again_and_again),
                TEST(test_blank_that_has_just_ended_is_not_given),
                TEST(test_next_worker_is_not_told_of_blanks),
                TEST(test_worker_cannot_reach_blanks),
                TEST(test_process_that_follows_ends_them),
                TEST(test_places_are_for_those_who_ask),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
