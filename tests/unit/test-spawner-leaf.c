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

static void test_leaf_that_was_removed_is_made_again(void **state) {
        char top[] = "/tmp/test-leaf-XXXXXX", name[32];
        Spawner *s = *state;

        assert_non_null(mkdtemp(top));
        s->cgroup.fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(s->cgroup.fd >= 0);
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
        for (uint32_t i = 0; i < s->table.counters->n_used; i++)
                cgroup_leaf_remove(&s->cgroup, i);
        s->cgroup.fd = fd_close(s->cgroup.fd);
        assert_int_equal(rmdir(top), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_leaf_that_was_removed_is_made_again, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
