/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "spawner/slot.h"

static void table_clear(SlotTable *t) {
        free(t->slots);
        free(t->kept);
        free(t->counters);
        free(t->identities);
}
#define _cleanup_table_ _cleanup_(table_clear)

static int table_init(SlotTable *t, uint32_t n_identities) {
        SlotCounters *counters = calloc(1, sizeof *counters);
        Slot *slots = calloc(n_identities, sizeof *slots);
        Kept *kept = calloc(KEPT_TABLE_MAX, sizeof *kept);

        assert_true(counters && slots && kept);
        return slot_table_init(t, counters, slots, kept, n_identities);
}

static Slot *take(SlotTable *t) {
        static const char image[IMAGE_NAME_MAX] = "base";
        static const Limits limits = { 0 };
        static uint64_t cookie;

        return slot_take(t, ++cookie, &limits, 0, image);
}

static bool is_open(int fd) {
        return fcntl(fd, F_GETFD) >= 0;
}

static int make_fd(void) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static void test_one_slot_less_than_identities(void **state) {
        _cleanup_table_ SlotTable t = { 0 };

        (void) state;
        assert_int_equal(table_init(&t, 5), 0);
        assert_int_equal(t.n_slots, 4);
        for (uint32_t i = 0; i < 4; i++) {
                Slot *s = take(&t);
                assert_non_null(s);
                assert_int_equal(slot_index(&t, s), i);
                assert_int_equal(s->state, SLOT_WAITING);
                assert_int_equal(s->netns, -EBADF);
                assert_int_equal(s->pidfd, -EBADF);
        }
        assert_null(take(&t));
        assert_int_equal(t.n_busy, 4);
}

static void test_tenants_share_nothing(void **state) {
        _cleanup_table_ SlotTable t = { 0 };
        bool used[16] = { false };
        uint64_t last = 0;

        (void) state;
        assert_int_equal(table_init(&t, 16), 0);
        for (unsigned i = 0; i < 15; i++) {
                Slot *s = take(&t);
                assert_true(s->identity < 16);
                assert_false(used[s->identity]);
                used[s->identity] = true;
                assert_true(s->generation > last);
                last = s->generation;
        }
}

static void test_last_freed_is_taken_first(void **state) {
        _cleanup_table_ SlotTable t = { 0 };
        Slot *s[3];

        (void) state;
        assert_int_equal(table_init(&t, 8), 0);
        for (unsigned i = 0; i < 3; i++)
                s[i] = take(&t);
        slot_release(&t, s[0]);
        slot_release(&t, s[2]);
        assert_ptr_equal(take(&t), s[2]);
        assert_ptr_equal(take(&t), s[0]);
        assert_int_equal(slot_index(&t, take(&t)), 3); /* only then a fresh one */
}

static void test_an_identity_rests(void **state) {
        _cleanup_table_ SlotTable t = { 0 };

        (void) state;
        assert_int_equal(table_init(&t, 8), 0);
        Slot *s = take(&t);
        uint32_t before = s->identity;
        for (unsigned i = 0; i < 7; i++) {
                slot_release(&t, s);
                s = take(&t);
                assert_int_not_equal(s->identity, before);
        }
        slot_release(&t, s);
        assert_int_equal(take(&t)->identity, before);
}

static void test_generations_never_repeat(void **state) {
        _cleanup_table_ SlotTable t = { 0 };
        uint64_t last = 0;

        (void) state;
        assert_int_equal(table_init(&t, 3), 0);
        for (unsigned i = 0; i < 1000; i++) {
                Slot *s = take(&t);
                assert_true(s->generation > last);
                last = s->generation;
                slot_release(&t, s);
        }
        /* nor those of a spawner that comes after this one */
        _cleanup_table_ SlotTable next = { 0 };
        clock_shift_for_test(USEC_PER_SEC);
        assert_int_equal(table_init(&next, 3), 0);
        clock_shift_for_test(0);
        assert_true(take(&next)->generation > last);
}

static void test_release_closes_what_is_the_tenants(void **state) {
        _cleanup_table_ SlotTable t = { 0 };

        (void) state;
        assert_int_equal(table_init(&t, 4), 0);
        for (unsigned reusable = 0; reusable < 2; reusable++) {
                Slot *s = take(&t);
                int netns, ctl, inner, pidfd;
                s->ctl = ctl = make_fd();
                s->inner = inner = make_fd();
                s->pidfd = pidfd = make_fd();
                s->netns = netns = make_fd();
                s->netns_reusable = reusable;
                s->leaf = true;
                slot_release(&t, s);
                assert_false(is_open(ctl));
                assert_false(is_open(inner));
                assert_false(is_open(pidfd));
                assert_int_equal(is_open(netns), reusable);
                assert_int_equal(s->state, SLOT_FREE);

                Slot *again = take(&t);
                assert_ptr_equal(again, s);
                assert_int_equal(again->netns, reusable ? netns : -EBADF);
                assert_true(again->leaf);
                assert_false(again->kill_wanted);
                assert_int_equal(again->ctl, -EBADF);
                again->netns_reusable = false;
                slot_release(&t, again);
        }
}

static void test_kept_descriptors(void **state) {
        _cleanup_table_ SlotTable t = { 0 };

        (void) state;
        assert_int_equal(table_init(&t, 4), 0);
        Slot *s = take(&t);
        int first[2] = { make_fd(), make_fd() }, a = first[0], b = first[1];
        int second[1] = { make_fd() }, c = second[0];

        assert_int_equal(slot_keep(&t, s, 1, 3, first, 2), 0);
        assert_int_equal(first[0], -EBADF); /* taken */
        assert_int_equal(slot_keep(&t, s, 2, 1, second, 1), 0);
        assert_int_equal(s->n_kept, 2);

        /* the same number again takes the place of the former */
        int other[1] = { make_fd() }, d = other[0];
        assert_int_equal(slot_keep(&t, s, 1, 4, other, 1), 0);
        assert_int_equal(s->n_kept, 2);
        assert_false(is_open(a));
        assert_false(is_open(b));

        slot_drop(&t, s, 2);
        assert_false(is_open(c));
        slot_drop(&t, s, 77); /* none of this number */
        assert_int_equal(s->n_kept, 1);
        slot_release(&t, s);
        assert_false(is_open(d));
        assert_int_equal(s->kept, SLOT_NONE);
}

static void test_what_is_not_kept(void **state) {
        _cleanup_table_ SlotTable t = { 0 };

        (void) state;
        assert_int_equal(table_init(&t, 4), 0);
        Slot *s = take(&t);
        int fds[2] = { make_fd(), make_fd() };

        assert_int_equal(slot_keep(&t, s, 1, 0, fds, 0), -EINVAL);
        assert_int_equal(slot_keep(&t, s, 1, 1, fds, 2), -EINVAL);
        assert_int_equal(slot_keep(&t, s, 1, 3, fds, 1), -EINVAL);
        assert_int_equal(slot_keep(&t, s, 1, 1U << KEPT_MAX, fds, 1), -EINVAL);
        assert_int_equal(slot_keep(&t, s, 1, UINT32_MAX, fds, 2), -EINVAL);
        assert_true(is_open(fds[0]) && is_open(fds[1])); /* the caller's still */
        assert_int_equal(s->n_kept, 0);
        fds_close(fds, 2);

        for (uint32_t i = 0; i < KEPT_PER_SLOT_MAX; i++) {
                int fd = make_fd();
                assert_int_equal(slot_keep(&t, s, i, 1, &fd, 1), 0);
        }
        int fd = make_fd();
        assert_int_equal(slot_keep(&t, s, KEPT_PER_SLOT_MAX, 1, &fd, 1), -EMFILE);
        assert_true(is_open(fd));
        assert_int_equal(slot_keep(&t, s, 0, 1, &fd, 1), 0); /* in place of another there is room */
        slot_release(&t, s);
        assert_int_equal(s->n_kept, 0);
}

static void forget(void *userdata, Slot *s) {
        unsigned *n = userdata;

        (*n)++;
        s->leaf = false;
        slot_close(&s->netns);
}

static void test_what_rested_is_given_up(void **state) {
        _cleanup_table_ SlotTable t = { 0 };
        Slot *s[10];
        unsigned n = 0;

        (void) state;
        assert_int_equal(table_init(&t, 16), 0);
        for (unsigned i = 0; i < 10; i++) {
                s[i] = take(&t);
                s[i]->leaf = true;
                s[i]->netns = i % 2 ? make_fd() : -EBADF;
                s[i]->netns_reusable = true;
        }
        for (unsigned i = 0; i < 10; i++)
                slot_release(&t, s[i]);
        assert_int_equal(slot_n_free(&t), 10);
        /* all of them were needed since the last time */
        assert_true(slot_table_trim(&t, 2, 4, forget, &n));
        assert_int_equal(n, 0);
        /* three of them were: the last, since it was freed last; not more than four in one go */
        for (unsigned i = 0; i < 3; i++)
                assert_ptr_equal(s[i] = take(&t), &t.slots[9 - i]);
        for (unsigned i = 0; i < 3; i++)
                slot_release(&t, s[i]);
        assert_true(slot_table_trim(&t, 2, 4, forget, &n));
        assert_int_equal(n, 4);
        for (unsigned i = 0; i < 3; i++)
                assert_true(s[i]->leaf);
        /* and now all but two, each once */
        assert_false(slot_table_trim(&t, 2, 4, forget, &n));
        assert_int_equal(n, 8);
        assert_false(slot_table_trim(&t, 2, 4, forget, &n));
        assert_int_equal(n, 8);
        for (unsigned i = 0; i < 10; i++) {
                assert_non_null(s[i] = take(&t));
                assert_int_equal(s[i]->leaf, i < 2);
                if (i >= 2)
                        assert_int_equal(s[i]->netns, -EBADF);
        }
        for (unsigned i = 0; i < 2; i++)
                slot_close(&s[i]->netns);
}

static void forget_in_vain(void *userdata, Slot *s) {
        (void) s;
        (*(unsigned *) userdata)++;
}

static void test_what_is_busy_is_tried_again(void **state) {
        _cleanup_table_ SlotTable t = { 0 };
        unsigned n = 0;

        (void) state;
        assert_int_equal(table_init(&t, 8), 0);
        Slot *s = take(&t);
        s->leaf = true;
        slot_release(&t, s);
        assert_true(slot_table_trim(&t, 0, 4, forget_in_vain, &n));
        for (unsigned i = 1; i < 4; i++) {
                assert_true(slot_table_trim(&t, 0, 4, forget_in_vain, &n));
                assert_int_equal(n, i);
        }
        assert_false(slot_table_trim(&t, 0, 4, forget, &n));
}

/* Random takes and releases against the counts. */
static void test_churn(void **state) {
        _cleanup_table_ SlotTable t = { 0 };
        Slot *taken[64];
        unsigned n = 0, seed = 1;

        (void) state;
        assert_int_equal(table_init(&t, 65), 0);
        for (unsigned i = 0; i < 20000; i++) {
                seed = seed * 1103515245U + 12345U;
                if (n < 64 && (n == 0 || seed >> 16 & 1)) {
                        Slot *s = take(&t);
                        assert_non_null(s);
                        for (unsigned k = 0; k < n; k++) {
                                assert_ptr_not_equal(taken[k], s);
                                assert_int_not_equal(taken[k]->identity, s->identity);
                        }
                        taken[n++] = s;
                } else {
                        unsigned k = (seed >> 17) % n;
                        slot_release(&t, taken[k]);
                        taken[k] = taken[--n];
                }
                assert_int_equal(t.n_busy, n);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_slot_less_than_identities),
                cmocka_unit_test(test_tenants_share_nothing),
                cmocka_unit_test(test_last_freed_is_taken_first),
                cmocka_unit_test(test_an_identity_rests),
                cmocka_unit_test(test_generations_never_repeat),
                cmocka_unit_test(test_release_closes_what_is_the_tenants),
                cmocka_unit_test(test_kept_descriptors),
                cmocka_unit_test(test_what_is_not_kept),
                cmocka_unit_test(test_what_rested_is_given_up),
                cmocka_unit_test(test_what_is_busy_is_tried_again),
                cmocka_unit_test(test_churn),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
