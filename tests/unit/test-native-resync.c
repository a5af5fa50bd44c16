/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "native-fixture.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

/* --- coming back --- */

static void test_sandboxes_outlive_the_connection(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int init = make(f, 0, 7);
        (void) start(f, 1);
        hang_up(f);
        assert_int_equal(f->backend->status, BACKEND_LOST);
        assert_int_equal(f->owners[0].state, SANDBOX_READY);
        assert_int_equal(f->owners[1].state, SANDBOX_ENDED); /* what was being made */
        Owner *o = &f->owners[2];
        assert_int_equal(backend_start(f->backend, &spec, on_state, o, &o->sandbox), -ENOTCONN);

        accept_worker(f);
        welcome(f);
        say(f, (SpawnMessage){ .type = SPAWN_SLOT, .slot = 0, .generation = 7 });
        assert_int_equal(f->backend->status, BACKEND_LOST);
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        assert_int_equal(f->backend->status, BACKEND_READY);
        assert_int_equal(f->owners[0].state, SANDBOX_READY);
        assert_true(sandbox_is_alive(f->owners[0].sandbox));
        assert_silent(f);
        (void) start(f, 2);
        (void) close(init);
}

static void test_those_that_vanished_have_ended(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int a = make(f, 0, 7), b = make(f, 1, 8);
        hang_up(f);
        accept_worker(f);
        welcome(f);
        say(f, (SpawnMessage){ .type = SPAWN_SLOT, .slot = 1, .generation = 8 });
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        assert_int_equal(f->owners[1].state, SANDBOX_READY);
        (void) close(a);
        (void) close(b);
}

static void test_strangers_are_killed(void **state) {
        Fixture *f = *state;
        unsigned before;

        welcome(f);
        before = count_fds();
        SpawnMessage m = { .type = SPAWN_SLOT, .slot = 5, .generation = 99, .pid = 5 };
        int fd = STDERR_FILENO;
        say_raw(f, &m, sizeof m, &fd, 1);
        assert_kill(f, 5, 99);
        m.slot = UINT32_MAX;
        say_raw(f, &m, sizeof m, &fd, 1);
        assert_kill(f, UINT32_MAX, 99);
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        assert_int_equal(f->backend->status, BACKEND_READY);
        assert_int_equal(count_fds(), before);
}

static void test_another_tenant_in_a_known_slot(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int init = make(f, 0, 7);
        hang_up(f);
        accept_worker(f);
        welcome(f);
        say(f, (SpawnMessage){ .type = SPAWN_SLOT, .slot = 0, .generation = 8 });
        assert_kill(f, 0, 8);
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        (void) close(init);
}

static void test_a_kill_while_the_spawner_is_away(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int init = make(f, 0, 7);
        hang_up(f);
        backend_kill(f->backend, f->owners[0].sandbox);
        accept_worker(f);
        welcome(f);
        say(f, (SpawnMessage){ .type = SPAWN_SLOT, .slot = 0, .generation = 7 });
        assert_kill(f, 0, 7);
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 0, .generation = 7 });
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        (void) close(init);
}

static void test_lost_again_before_all_is_told(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int init = make(f, 0, 7);
        for (unsigned i = 0; i < 3; i++) {
                hang_up(f);
                accept_worker(f);
                welcome(f);
                assert_int_equal(f->owners[0].state, SANDBOX_READY);
        }
        say(f, (SpawnMessage){ .type = SPAWN_SLOT, .slot = 0, .generation = 7 });
        hang_up(f);
        accept_worker(f);
        welcome(f);
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED }); /* this time it is not named */
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        (void) close(init);
}

static void test_fewer_slots_than_before(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int init = make(f, 5, 7);
        hang_up(f);
        accept_worker(f);
        (void) heard(f);
        say(f, (SpawnMessage){ .type = SPAWN_WELCOME, .cookie = WIRE_VERSION, .slot = 2 });
        say(f, (SpawnMessage){ .type = SPAWN_SLOT, .slot = 5, .generation = 7 });
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        assert_int_equal(f->backend->capacity, 2);
        assert_int_equal(f->owners[5].state, SANDBOX_READY);
        (void) close(init);
}

/* --- all is told again, in the middle of a connection --- */

static SpawnMessage welcome_again(void) {
        return (SpawnMessage){ .type = SPAWN_WELCOME, .cookie = WIRE_VERSION, .slot = N_SLOTS };
}

static void test_what_a_killed_spawner_could_not_tell(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int lives = make(f, 0, 7), ended = make(f, 1, 8);
        uint64_t created_cookie = start(f, 2), pending = start(f, 3), lost = start(f, 4), unread = start(f, 5);
        say(f, welcome_again());
        say(f, (SpawnMessage){ .type = SPAWN_SLOT, .slot = 0, .generation = 7 });
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        SpawnMessage slot = { .type = SPAWN_SLOT, .slot = 2, .generation = 9, .cookie = created_cookie, .pid = 2 };
        say_raw(f, &slot, sizeof slot, &ends[0], 1);
        (void) close(ends[0]);
        say(f, (SpawnMessage){ .type = SPAWN_PENDING, .cookie = pending });
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED, .cookie = lost });
        assert_int_equal(f->backend->status, BACKEND_READY);
        assert_int_equal(f->owners[0].state, SANDBOX_READY);
        assert_int_equal(f->owners[1].state, SANDBOX_ENDED);
        assert_int_equal(f->owners[4].state, SANDBOX_ENDED);
        assert_int_equal(f->owners[4].sandbox->error, -EAGAIN);
        init_says(f, ends[1], INIT_READY);
        assert_int_equal(f->owners[2].state, SANDBOX_READY);
        /* both are answered as if nothing had been */
        int a = created(f, pending, 3, 10), b = created(f, unread, 5, 11);
        init_says(f, a, INIT_READY);
        init_says(f, b, INIT_READY);
        assert_int_equal(f->owners[3].state, SANDBOX_READY);
        assert_int_equal(f->owners[5].state, SANDBOX_READY);
        assert_silent(f);
        int fds[] = { lives, ended, ends[1], a, b };
        fds_close(fds, ELEMENTSOF(fds));
}

static void test_a_kill_that_a_killed_spawner_had_read(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int init = make(f, 0, 7);
        backend_kill(f->backend, f->owners[0].sandbox);
        assert_kill(f, 0, 7);
        say(f, welcome_again());
        say(f, (SpawnMessage){ .type = SPAWN_SLOT, .slot = 0, .generation = 7 });
        assert_kill(f, 0, 7);
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 0, .generation = 7 });
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        (void) close(init);
}

/* --- taking over --- */

typedef struct Heir {
        Owner owner;
        bool wanted;
        unsigned n_kept, n_done;
        uint32_t number, flags;
} Heir;

static bool on_adopt(Sandbox *s, void *userdata) {
        Heir *h = userdata;

        if (!h->wanted)
                return false;
        h->owner.sandbox = sandbox_ref(s);
        sandbox_set_owner(s, on_state, &h->owner);
        return true;
}

static void on_kept(Sandbox *s, uint32_t number, uint32_t flags, int fds[static KEPT_MAX], void *userdata) {
        Heir *h = userdata;

        assert_ptr_equal(s, h->owner.sandbox);
        h->n_kept++;
        h->number = number;
        h->flags = flags;
        for (unsigned i = 0; i < KEPT_MAX; i++)
                assert_int_equal(fds[i] >= 0, (flags & 1U << i) != 0);
}

static void on_all_told(void *userdata) {
        ((Heir *) userdata)->n_done++;
}

static void set_heir(Fixture *f, Heir *h) {
        f->backend->heir = (BackendHeir){ .adopt = on_adopt, .kept = on_kept, .done = on_all_told, .userdata = h };
}

static void test_taking_over(void **state) {
        Fixture *f = *state;
        Heir h = { .wanted = true };
        int ends[2], two[2] = { STDERR_FILENO, STDERR_FILENO };
        InitRequest q;

        set_heir(f, &h);
        welcome(f);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        SpawnMessage m = { .type = SPAWN_SLOT, .slot = 5, .generation = 99, .pid = 5, .limits = spec.limits };
        memset(m.image, 'x', sizeof m.image); /* not ended */
        say_raw(f, &m, sizeof m, ends, 1);
        (void) close(ends[0]);
        assert_non_null(h.owner.sandbox);
        unsigned before = count_fds();
        m = (SpawnMessage){ .type = SPAWN_KEPT, .slot = 5, .generation = 99, .cookie = 3, .flags = 5 };
        say_raw(f, &m, sizeof m, two, 2);
        assert_int_equal(h.n_kept, 1);
        assert_int_equal(h.number, 3);
        assert_int_equal(count_fds(), before); /* nobody took them */
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        assert_int_equal(h.n_done, 1);
        assert_int_equal(h.owner.n_notified, 0);

        assert_int_equal(recv(ends[1], &q, sizeof q, MSG_DONTWAIT), sizeof q);
        assert_int_equal(q.type, INIT_RESUME);
        init_says(f, ends[1], INIT_RESUMED);
        assert_int_equal(h.owner.state, SANDBOX_READY);
        assert_silent(f);
        (void) sandbox_unref(h.owner.sandbox);
        (void) close(ends[1]);
}

static void test_nobody_takes_it_over(void **state) {
        Fixture *f = *state;
        Heir h = { 0 };
        int fd = STDERR_FILENO;

        set_heir(f, &h);
        welcome(f);
        unsigned before = count_fds();
        SpawnMessage m = { .type = SPAWN_SLOT, .slot = 5, .generation = 99 };
        say_raw(f, &m, sizeof m, &fd, 1);
        assert_kill(f, 5, 99);
        m.type = SPAWN_KEPT;
        say_raw(f, &m, sizeof m, &fd, 1);
        assert_int_equal(h.n_kept, 0);
        assert_int_equal(count_fds(), before);
}

static void test_what_cannot_be_taken_over(void **state) {
        Fixture *f = *state;
        Heir h = { .wanted = true };
        int two[2] = { STDERR_FILENO, STDERR_FILENO };

        set_heir(f, &h);
        welcome(f);
        SpawnMessage m = { .type = SPAWN_SLOT, .slot = 5, .generation = 99 };
        say_raw(f, &m, sizeof m, NULL, 0); /* no control socket */
        assert_kill(f, 5, 99);
        say_raw(f, &m, sizeof m, two, 2);
        assert_kill(f, 5, 99);
        m.slot = N_SLOTS;
        say_raw(f, &m, sizeof m, two, 1);
        assert_kill(f, N_SLOTS, 99);
        assert_null(h.owner.sandbox);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_path, teardown)
                TEST(test_sandboxes_outlive_the_connection),
                TEST(test_those_that_vanished_have_ended),
                TEST(test_strangers_are_killed),
                TEST(test_another_tenant_in_a_known_slot),
                TEST(test_a_kill_while_the_spawner_is_away),
                TEST(test_lost_again_before_all_is_told),
                TEST(test_fewer_slots_than_before),
                TEST(test_what_a_killed_spawner_could_not_tell),
                TEST(test_a_kill_that_a_killed_spawner_had_read),
                TEST(test_taking_over),
                TEST(test_nobody_takes_it_over),
                TEST(test_what_cannot_be_taken_over),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
