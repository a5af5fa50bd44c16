/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "spawner/state.h"

#define N_IDENTITIES 8U

static const Limits limits = { .memory = 64 * MIB, .disk = 8 * MIB, .cpu_quota = 100000, .pids = 50 };
static const char image[IMAGE_NAME_MAX] = "base";

static int make_fd(void) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static bool is_open(int fd) {
        return fcntl(fd, F_GETFD) >= 0;
}

typedef struct Fixture {
        State state;
        SlotTable table;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);

        assert_non_null(f);
        assert_int_equal(state_new(&f->state), 0);
        assert_int_equal(state_add_slots(&f->state, N_IDENTITIES), 0);
        StateHead *h = f->state.head;
        assert_int_equal(slot_table_init(&f->table, &h->counters, f->state.slots, f->state.kept, N_IDENTITIES), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        for (uint32_t i = 0; i < f->state.head->counters.n_used; i++) {
                if (f->table.slots[i].state != SLOT_FREE)
                        slot_release(&f->table, &f->table.slots[i]);
                slot_close(&f->table.slots[i].netns);
        }
        free(f->table.identities);
        state_free(&f->state);
        free(f);
        return 0;
}

/* Another process takes the table up. */
static void take_up(Fixture *f) {
        free(f->table.identities);
        assert_int_equal(
                slot_table_resume(&f->table, &f->state.head->counters, f->state.slots, f->state.kept), 0);
}

static Slot *live(Fixture *f, uint64_t cookie) {
        Slot *s = slot_take(&f->table, cookie, &limits, CALLS_NUMA, image);

        assert_non_null(s);
        s->netns = make_fd();
        s->ctl = make_fd();
        s->pidfd = make_fd();
        slot_set_state(s, SLOT_LIVE);
        return s;
}

static void test_what_another_process_finds(void **state) {
        Fixture *f = *state;
        Slot *a = live(f, 1), *b = live(f, 2), *c = live(f, 3);
        int fds[2] = { make_fd(), make_fd() }, kept = fds[0];
        uint64_t generation = c->generation;
        uint32_t identity = a->identity;

        assert_int_equal(slot_keep(&f->table, a, 5, 3, fds, 2), 0);
        slot_release(&f->table, b);
        take_up(f);
        assert_int_equal(f->table.n_busy, 2);
        assert_int_equal(a->n_kept, 1);
        assert_int_equal(f->table.kept[a->kept].number, 5);
        assert_true(is_open(kept));
        assert_true(is_open(c->pidfd));
        /* the free slot, and none of the ids that are taken */
        Slot *next = slot_take(&f->table, 4, &limits, 0, image);
        assert_ptr_equal(next, b);
        assert_int_equal(next->calls, 0); /* not those of the tenant before */
        assert_int_equal(a->calls, CALLS_NUMA);
        assert_true(next->generation > generation);
        assert_int_not_equal(next->identity, identity);
        slot_drop(&f->table, a, 5);
        assert_false(is_open(kept));
        assert_int_equal(a->n_kept, 0);
}

static void test_what_is_kept_for_a_tenant_that_is_gone(void **state) {
        Fixture *f = *state;
        Slot *a = live(f, 1);
        int fd = make_fd();

        assert_int_equal(slot_keep(&f->table, a, 5, 1, &fd, 1), 0);
        uint32_t place = a->kept;
        f->table.kept[place].generation--;
        take_up(f);
        assert_int_equal(a->n_kept, 0);
        assert_int_equal(f->table.kept[place].generation, 0);
        fd = make_fd();
        assert_int_equal(slot_keep(&f->table, a, 6, 1, &fd, 1), 0);
        assert_int_equal(a->kept, place); /* its place is used again */
        slot_drop(&f->table, a, 6);
        (void) close(f->table.kept[place].fds[0]);
}

static void test_damage_is_refused(void **state) {
        Fixture *f = *state;
        StateHead *h = f->state.head;
        SlotTable t;

        (void) live(f, 1);
        (void) live(f, 2);
        uint32_t identity = f->table.slots[1].identity;
        f->table.slots[1].identity = f->table.slots[0].identity; /* an id twice */
        assert_int_equal(slot_table_resume(&t, &h->counters, f->state.slots, f->state.kept), -EBADMSG);
        free(t.identities);
        f->table.slots[1].identity = N_IDENTITIES;
        assert_int_equal(slot_table_resume(&t, &h->counters, f->state.slots, f->state.kept), -EBADMSG);
        free(t.identities);
        f->table.slots[1].identity = identity;
        uint32_t used = h->counters.n_used;
        h->counters.n_used = N_IDENTITIES;
        assert_int_equal(slot_table_resume(&t, &h->counters, f->state.slots, f->state.kept), -EBADMSG);
        h->counters.n_used = used;
}

/* In a process of its own: all descriptors of this one would be closed. */
static void test_only_what_is_named_stays_open(void **state) {
        Fixture *f = *state;
        Slot *a = live(f, 1);
        int kept = make_fd(), other = make_fd(), lost = make_fd(), status;

        assert_int_equal(slot_keep(&f->table, a, 5, 1, &(int){ kept }, 1), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                bool well = state_sweep(&f->state, &other, 1) == 0 && is_open(0) && is_open(other) && is_open(kept) &&
                            is_open(a->netns) && is_open(a->ctl) && is_open(a->pidfd) && is_open(f->state.fd) &&
                            !is_open(lost);
                _exit(well ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        (void) close(other);
        (void) close(lost);
}

static void test_descriptors_are_passed_on_or_not(void **state) {
        Fixture *f = *state;
        Slot *a = live(f, 1);

        state_pass(&f->state, true);
        assert_int_equal(fcntl(a->ctl, F_GETFD), 0);
        assert_int_equal(fcntl(f->state.fd, F_GETFD), 0);
        state_pass(&f->state, false);
        assert_int_equal(fcntl(a->ctl, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(f->state.fd, F_GETFD), FD_CLOEXEC);
}

/* --- another version --- */

/* The file as a program would have written it whose parts are @more bytes longer, or shorter where that is negative,
 * the bytes that this one does not know being 0xff. */
static int as_other_version(const State *s, int more_head, int more_slot, int more_kept) {
        StateHead head = *s->head;
        int fd = memfd_create("other", MFD_CLOEXEC);
        char entry[2048];

        assert_true(fd >= 0);
        head.head_size = (uint32_t) ((int) sizeof head + more_head);
        head.slot_size = (uint32_t) ((int) sizeof(Slot) + more_slot);
        head.kept_size = (uint32_t) ((int) sizeof(Kept) + more_kept);
        off_t kept_at = (head.head_size + 4095U) & ~4095U;
        off_t slots_at = kept_at + (off_t) (((uint64_t) head.kept_size * head.n_kept + 4095U) & ~UINT64_C(4095));
        memset(entry, 0xff, sizeof entry);
        memcpy(entry, &head, sizeof head);
        assert_int_equal(pwrite(fd, entry, head.head_size, 0), head.head_size);
        for (uint32_t i = 0; i < head.counters.n_kept_used; i++) {
                memset(entry, 0xff, sizeof entry);
                memcpy(entry, &s->kept[i], sizeof *s->kept);
                assert_true(pwrite(fd, entry, head.kept_size, kept_at + (off_t) i * head.kept_size) > 0);
        }
        for (uint32_t i = 0; i < head.counters.n_used; i++) {
                memset(entry, 0xff, sizeof entry);
                memcpy(entry, &s->slots[i], sizeof *s->slots);
                assert_true(pwrite(fd, entry, head.slot_size, slots_at + (off_t) i * head.slot_size) > 0);
        }
        return fd;
}

static void assert_taken_up(Fixture *f, int fd, const Slot *a, const Slot *b) {
        State other;
        SlotTable t;

        assert_int_equal(state_open(&other, fd), 0);
        assert_int_equal(slot_table_resume(&t, &other.head->counters, other.slots, other.kept), 0);
        assert_int_equal(t.n_busy, 2);
        for (uint32_t i = 0; i < 2; i++) {
                const Slot *was = i == 0 ? a : b, *is = &t.slots[slot_index(&f->table, was)];
                assert_int_equal(is->state, was->state);
                assert_int_equal(is->generation, was->generation);
                assert_int_equal(is->identity, was->identity);
                assert_int_equal(is->ctl, was->ctl);
                assert_int_equal(is->pidfd, was->pidfd);
                assert_int_equal(is->limits.memory, limits.memory);
                assert_string_equal(is->image, image);
                assert_int_equal(is->n_kept, was->n_kept);
        }
        assert_int_equal(t.kept[t.slots[slot_index(&f->table, a)].kept].fds[1], f->table.kept[a->kept].fds[1]);
        assert_int_equal(other.head->worker, 77);
        free(t.identities);
        state_free(&other);
}

static void test_of_a_newer_and_of_an_older_program(void **state) {
        Fixture *f = *state;
        Slot *a = live(f, 1), *b = live(f, 2);
        int fds[2] = { make_fd(), make_fd() };

        assert_int_equal(slot_keep(&f->table, a, 5, 3, fds, 2), 0);
        f->state.head->worker = 77;
        assert_taken_up(f, as_other_version(&f->state, 0, 0, 0), a, b);
        assert_taken_up(f, as_other_version(&f->state, 64, 24, 8), a, b);   /* N+1 -> N */
        assert_taken_up(f, as_other_version(&f->state, 0, -12, -8), a, b);  /* N -> N+1: the lists are made anew */
        f->state.head->worker = -EBADF;
}

static void test_of_a_program_that_nobody_can_follow(void **state) {
        Fixture *f = *state;
        State other;

        (void) live(f, 1);
        f->state.head->version++;
        assert_int_equal(state_open(&other, as_other_version(&f->state, 0, 0, 0)), -EPROTONOSUPPORT);
        f->state.head->version--;
        f->state.head->magic++;
        assert_int_equal(state_open(&other, as_other_version(&f->state, 0, 0, 0)), -EPROTONOSUPPORT);
        f->state.head->magic--;
        assert_int_equal(state_open(&other, as_other_version(&f->state, 0, -200, 0)), -EBADMSG);
        assert_int_equal(state_open(&other, as_other_version(&f->state, -60, 0, 0)), -EBADMSG);
        assert_int_equal(state_open(&other, make_fd()), -EBADMSG); /* empty */
        uint32_t used = f->state.head->counters.n_used;
        f->state.head->counters.n_used = 7; /* cut off */
        int fd = as_other_version(&f->state, 0, 8, 0);
        f->state.head->counters.n_used = used;
        assert_int_equal(ftruncate(fd, 8192), 0);
        assert_int_equal(state_open(&other, fd), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_what_another_process_finds, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_is_kept_for_a_tenant_that_is_gone, setup, teardown),
                cmocka_unit_test_setup_teardown(test_damage_is_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_only_what_is_named_stays_open, setup, teardown),
                cmocka_unit_test_setup_teardown(test_descriptors_are_passed_on_or_not, setup, teardown),
                cmocka_unit_test_setup_teardown(test_of_a_newer_and_of_an_older_program, setup, teardown),
                cmocka_unit_test_setup_teardown(test_of_a_program_that_nobody_can_follow, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
