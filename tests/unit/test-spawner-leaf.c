/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner-fixture.h"

#include <stdlib.h>
#include <unistd.h>

/* Control groups of sandboxes, played by folders: they are removed by others while nobody is in them. */

/* The process in this slot ends. */
static void end(uint32_t index) {
        for (unsigned i = 0; i < n_made; i++)
                if (made[i].request.cookie == index)
                        made[i].life = fd_close(made[i].life);
}

static void play_cgroups(Spawner *s, char *top) {
        assert_non_null(mkdtemp(top));
        s->cgroup.fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(s->cgroup.fd >= 0);
}

static void no_cgroups(Spawner *s, const char *top) {
        for (uint32_t i = 0; i < s->table.counters->n_used; i++)
                (void) cgroup_leaf_remove(&s->cgroup, i);
        s->cgroup.fd = fd_close(s->cgroup.fd);
        assert_int_equal(rmdir(top), 0);
}

static void test_leaf_that_was_removed_is_made_again(void **state) {
        char top[] = "/tmp/test-leaf-XXXXXX", name[32];
        Spawner *s = *state;

        play_cgroups(s, top);
        for (unsigned i = 0; i < 3; i++) {
                ask(s, MIB, 10, SPAWN_AHEAD);
                turn(s);
                const Slot *slot = expect_created(s);
                assert_true(slot->leaf);
                (void) snprintf(name, sizeof name, "slot-%u", slot_index(&s->table, slot));
                assert_int_equal(unlinkat(s->cgroup.fd, name, AT_REMOVEDIR), 0);
                end(slot_index(&s->table, slot));
                turn(s);
                assert_int_equal(slot->state, SLOT_FREE);
                assert_true(slot->leaf); /* as far as is known */
                while (heard().type != 0)
                        ;
        }
        no_cgroups(s, top);
}

/* How many leaves there are. */
static unsigned n_leaves(const Spawner *s) {
        char name[32];
        unsigned n = 0;

        for (uint32_t i = 0; i < s->table.counters->n_used; i++) {
                (void) snprintf(name, sizeof name, "slot-%u", i);
                n += faccessat(s->cgroup.fd, name, F_OK, 0) == 0;
        }
        return n;
}

#define RUSH 24U

static void rush(Spawner *s) {
        for (unsigned i = 0; i < RUSH; i++) {
                ask(s, (i + 1) * MIB, 10, SPAWN_AHEAD); /* each its own kind: nothing more is made ahead */
                turn(s);
                (void) expect_created(s);
        }
        assert_int_equal(s->table.n_busy, RUSH);
        assert_int_equal(n_leaves(s), RUSH);
        for (uint32_t i = 0; i < RUSH; i++)
                end(i);
        turn(s);
        assert_int_equal(s->table.n_busy, 0);
        while (heard().type != 0)
                ;
        assert_true(s->trim_due > 0);
}

static void test_what_a_rush_has_left_is_given_back(void **state) {
        char top[] = "/tmp/test-leaf-XXXXXX";
        Spawner *s = *state;

        play_cgroups(s, top);
        for (unsigned round = 0; round < 2; round++) {
                rush(s);
                assert_true(ending_trim(s) > 9000); /* not at once */
                assert_int_equal(n_leaves(s), RUSH);
                s->trim_due = 1;
                assert_true(ending_trim(s) > 9000); /* nor what was needed since the last time */
                assert_int_equal(n_leaves(s), RUSH);
                s->trim_due = 1;
                assert_int_equal(ending_trim(s), -1);
                assert_int_equal(n_leaves(s), 16);
                assert_int_equal(s->trim_due, 0);
        }
        no_cgroups(s, top);
}

/* Turns the clock twice: nobody needed them in between. */
static void expect_trimmed(Spawner *s) {
        for (unsigned i = 0; i < 2; i++) {
                assert_true(s->trim_due > 0);
                s->trim_due = 1;
                (void) ending_trim(s);
        }
        assert_int_equal(n_leaves(s), 16);
        assert_int_equal(s->trim_due, 0);
}

static void test_what_failed_is_given_back(void **state) {
        char top[] = "/tmp/test-leaf-XXXXXX";
        Spawner *s = *state;

        play_cgroups(s, top);
        zygote_refuses = true;
        for (unsigned i = 0; i < RUSH; i++)
                ask(s, (i + 1) * MIB, 10, SPAWN_AHEAD);
        turn(s);
        zygote_refuses = false;
        assert_int_equal(s->table.n_busy, 0);
        assert_int_equal(n_leaves(s), RUSH);
        expect_trimmed(s);
        no_cgroups(s, top);
}

static void test_process_that_follows_gives_it_back(void **state) {
        char top[] = "/tmp/test-leaf-XXXXXX";
        Spawner *s = *state;

        play_cgroups(s, top);
        rush(s);
        free(s->table.identities);
        s->trim_due = 0; /* which is not in the file */
        assert_int_equal(resume_state(s), 0);
        expect_trimmed(s);
        no_cgroups(s, top);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_leaf_that_was_removed_is_made_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_a_rush_has_left_is_given_back, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_failed_is_given_back, setup, teardown),
                cmocka_unit_test_setup_teardown(test_process_that_follows_gives_it_back, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
