/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "spawner/bequest.h"

#define N_IDENTITIES 64U
#define N_SLOTS 20U

static const Limits limits = { .memory = 64 * MIB, .disk = 8 * MIB, .cpu_quota = 100000, .pids = 50 };
static const char image[IMAGE_NAME_MAX] = "base";

/* One that can be told from all others. */
static int make_fd(void) {
        int fd = memfd_create("test", MFD_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static ino_t inode(int fd) {
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        return st.st_ino;
}

typedef struct Fixture {
        State state;
        SlotTable table;
        int heir; /* the other end */
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        int ends[2];

        assert_non_null(f);
        assert_int_equal(state_new(&f->state), 0);
        assert_int_equal(state_add_slots(&f->state, N_IDENTITIES), 0);
        StateHead *h = f->state.head;
        assert_int_equal(slot_table_init(&f->table, &h->counters, f->state.slots, f->state.kept, N_IDENTITIES), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        h->heir = ends[0];
        f->heir = ends[1];
        h->userns = make_fd();
        h->listener = make_fd();
        h->worker = make_fd();
        h->worker_said_hello = true;
        for (uint32_t i = 0; i < N_SLOTS; i++) {
                Slot *s = slot_take(&f->table, i, &limits, 0, image);
                assert_non_null(s);
                s->netns = make_fd();
                s->ctl = make_fd();
                s->pidfd = make_fd();
                slot_set_state(s, SLOT_LIVE);
                int out = make_fd();
                assert_int_equal(slot_keep(&f->table, s, 7, 1, &out, 1), 0);
        }
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        free(f->table.identities);
        state_free(&f->state);
        (void) fd_close(f->heir);
        free(f);
        return 0;
}

/* As another process does that was not there: with a table of its own. */
static pid_t leave_in_child(Fixture *f) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                (void) close(f->heir);
                _exit(bequest_leave(&f->state) == 0 ? 0 : 1);
        }
        return pid;
}

static int status_of(pid_t pid) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_all_is_handed_over(void **state) {
        Fixture *f = *state;
        State got = STATE_INIT;
        ino_t ctl[N_SLOTS], kept[N_SLOTS], userns = inode(f->state.head->userns);
        int old_ctl = f->state.slots[3].ctl;

        for (uint32_t i = 0; i < N_SLOTS; i++) {
                ctl[i] = inode(f->state.slots[i].ctl);
                kept[i] = inode(f->state.kept[f->state.slots[i].kept].fds[0]);
        }
        pid_t pid = leave_in_child(f);
        assert_int_equal(bequest_take(f->heir, &got), 0);
        assert_int_equal(status_of(pid), 0);

        assert_true(got.head->counters.n_used == N_SLOTS);
        assert_true(inode(got.head->userns) == userns);
        assert_int_not_equal(got.slots[3].ctl, old_ctl);
        for (uint32_t i = 0; i < N_SLOTS; i++) {
                const Slot *s = &got.slots[i];
                assert_true(inode(s->ctl) == ctl[i]);
                assert_true(inode(got.kept[s->kept].fds[0]) == kept[i]);
                assert_int_equal(s->inner, -EBADF);
                assert_true(fcntl(s->pidfd, F_GETFD) & FD_CLOEXEC);
        }
        assert_int_equal(got.head->worker, -EBADF);
        assert_int_equal(got.head->heir, -EBADF);
        assert_false(got.head->worker_said_hello);
        state_free(&got);
}

static void test_nobody_is_there(void **state) {
        Fixture *f = *state;
        State got = STATE_INIT;

        slot_close(&f->state.head->heir);
        assert_int_equal(bequest_take(f->heir, &got), -EPIPE);
}

static void test_who_ends_in_between_leaves_nothing(void **state) {
        Fixture *f = *state;
        State got = STATE_INIT;
        int32_t piece[10] = { 1, 0, 50 };
        struct iovec iov = { .iov_base = piece, .iov_len = sizeof piece };
        int before = dup(0), after;

        assert_int_equal(message_send(f->state.head->heir, &iov, 1, &f->state.head->userns, 1), 0);
        assert_int_equal(shutdown(f->state.head->heir, SHUT_WR), 0);
        assert_int_equal(bequest_take(f->heir, &got), -EPIPE);
        after = dup(0);
        assert_int_equal(after, before + 1); /* what came was closed */
        (void) close(before);
        (void) close(after);
}

static void test_what_is_no_piece_is_refused(void **state) {
        Fixture *f = *state;
        State got = STATE_INIT;
        int32_t pieces[][10] = { { 1, 0, 2 }, { 1, 0, -1 }, { 1, 0, INT32_MAX }, { 2, 0, 50 }, { 1, 1, 0 } };

        for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
                struct iovec iov = { .iov_base = pieces[i], .iov_len = sizeof pieces[i] };
                assert_int_equal(message_send(f->state.head->heir, &iov, 1, &f->state.head->userns, 1), 0);
                assert_int_equal(bequest_take(f->heir, &got), -EBADMSG);
        }
}

static void test_the_heir_goes_before_it_asks(void **state) {
        Fixture *f = *state;

        f->heir = fd_close(f->heir);
        assert_true(bequest_leave(&f->state) < 0);
}

static void test_it_is_made_only_where_it_is_wanted(void **state) {
        Fixture *f = *state;
        StateHead *h = f->state.head;

        slot_close(&h->heir);
        assert_int_equal(unsetenv(BEQUEST_VARIABLE), 0);
        assert_int_equal(bequest_prepare(h), 0);
        assert_int_equal(h->heir, -EBADF);
        assert_int_equal(setenv(BEQUEST_VARIABLE, "yes", 1), 0);
        h->heir = 0; /* as in the state of an older program */
        assert_int_equal(bequest_prepare(h), 0);
        assert_true(h->heir > 2);
        int first = h->heir;
        assert_int_equal(bequest_prepare(h), 0);
        assert_int_equal(h->heir, first);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_all_is_handed_over, setup, teardown),
                cmocka_unit_test_setup_teardown(test_nobody_is_there, setup, teardown),
                cmocka_unit_test_setup_teardown(test_who_ends_in_between_leaves_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_is_no_piece_is_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_heir_goes_before_it_asks, setup, teardown),
                cmocka_unit_test_setup_teardown(test_it_is_made_only_where_it_is_wanted, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
