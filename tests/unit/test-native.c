/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "native-fixture.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

/* --- meeting --- */

static void test_hello(void **state) {
        Fixture *f = *state;
        Owner *o = &f->owners[0];

        assert_int_equal(f->backend->status, BACKEND_CONNECTING);
        welcome(f);
        assert_int_equal(f->backend->status, BACKEND_CONNECTING); /* not before all is told */
        assert_int_equal(backend_start(f->backend, &spec, on_state, o, &o->sandbox), -ENOTCONN);
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        assert_int_equal(f->backend->status, BACKEND_READY);
        assert_int_equal(f->n_changes, 1);
        assert_int_equal(f->backend->capacity, N_SLOTS);
        assert_false(f->backend->limits_enforced);
}

static void test_limits_flag(void **state) {
        Fixture *f = *state;

        (void) heard(f);
        say(f, (SpawnMessage){
                       .type = SPAWN_WELCOME, .cookie = WIRE_VERSION, .slot = 1, .flags = SPAWN_LIMITS_ENFORCED });
        assert_true(f->backend->limits_enforced);
}

static void test_system_calls_are_asked_of_who_knows_them(void **state) {
        Fixture *f = *state;
        Owner *o = &f->owners[0];
        SandboxSpec wide = spec;

        wide.calls = CALLS_DEBUG;
        sync_up(f);
        assert_int_equal(backend_start(f->backend, &wide, on_state, o, &o->sandbox), -EPROTONOSUPPORT);
        say(f, (SpawnMessage){
                       .type = SPAWN_WELCOME, .cookie = WIRE_VERSION, .slot = N_SLOTS, .flags = SPAWN_CAN_WIDEN });
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        assert_int_equal(backend_start(f->backend, &wide, on_state, o, &o->sandbox), 0);
        assert_int_equal(heard(f).calls, CALLS_DEBUG);
}

static void test_what_is_made_ahead_goes_with_the_images_it_was_made_for(void **state) {
        Fixture *f = *state;

        sync_up(f);
        backend_forget(f->backend);
        assert_silent(f); /* a spawner of an older package would hang up */
        say(f, (SpawnMessage){
                       .type = SPAWN_WELCOME, .cookie = WIRE_VERSION, .slot = N_SLOTS, .flags = SPAWN_CAN_FORGET });
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        assert_int_equal(heard(f).type, SPAWN_FORGET); /* they may have changed before */
        backend_forget(f->backend);
        assert_int_equal(heard(f).type, SPAWN_FORGET);
        say(f, (SpawnMessage){ .type = SPAWN_PONG, .slot = 3 });
        assert_int_equal(f->backend->n_blanks, 3);
}

static void test_it_is_said_when_nobody_waits(void **state) {
        Fixture *f = *state;
        Owner *o = f->owners;
        SandboxSpec ahead = spec;

        ahead.ahead = true;
        sync_up(f);
        assert_int_equal(backend_start(f->backend, &ahead, on_state, &o[0], &o[0].sandbox), 0);
        assert_int_equal(heard(f).flags, SPAWN_AHEAD);
        assert_int_equal(backend_start(f->backend, &spec, on_state, &o[1], &o[1].sandbox), 0);
        assert_int_equal(heard(f).flags, 0);
}

static void test_another_version(void **state) {
        Fixture *f = *state;

        (void) heard(f);
        say(f, (SpawnMessage){ .type = SPAWN_WELCOME, .cookie = WIRE_VERSION + 1, .slot = N_SLOTS });
        assert_int_equal(f->backend->status, BACKEND_CONNECTING);
        char byte;
        assert_int_equal(recv(f->spawner, &byte, 1, MSG_DONTWAIT), 0); /* hung up */
}

static void test_too_many_slots(void **state) {
        static const uint32_t numbers[] = { UINT32_MAX, 1U << 31 };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                Fixture *f = *state;
                (void) heard(f);
                say(f, (SpawnMessage){ .type = SPAWN_WELCOME, .cookie = WIRE_VERSION, .slot = numbers[i] });
                char byte;
                assert_int_equal(recv(f->spawner, &byte, 1, MSG_DONTWAIT), 0);
                assert_int_equal(teardown(state), 0);
                assert_int_equal(setup_socket(state), 0);
        }
}

static void test_what_is_no_message(void **state) {
        static const struct {
                uint32_t type;
                size_t size;
        } rows[] = {
                { SPAWN_SYNCED, 1 },
                { SPAWN_SYNCED, sizeof(SpawnMessage) - 1 },
                { SPAWN_SYNCED, sizeof(SpawnMessage) + 1 },
                { SPAWN_SYNCED, 0 },
                { 0, sizeof(SpawnMessage) },
                { SPAWN_CREATE, sizeof(SpawnMessage) },
                { SPAWN_TYPE_MAX_, sizeof(SpawnMessage) },
                { UINT32_MAX, sizeof(SpawnMessage) },
        };
        static char data[sizeof(SpawnMessage) + 1];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (size_t n_fds = 0; n_fds <= 2; n_fds++) {
                        Fixture *f = *state;
                        int fds[2] = { STDERR_FILENO, STDERR_FILENO };
                        char byte;
                        sync_up(f);
                        unsigned before = count_fds();
                        ((SpawnMessage *) data)->type = rows[i].type;
                        say_raw(f, data, rows[i].size, fds, n_fds);
                        assert_int_equal(recv(f->spawner, &byte, 1, MSG_DONTWAIT), 0);
                        assert_int_equal(f->backend->status, BACKEND_LOST);
                        assert_int_equal(count_fds(), before - 1); /* the connection, and nothing that came */
                        assert_int_equal(teardown(state), 0);
                        assert_int_equal(setup_socket(state), 0);
                }
}

/* --- making and ending --- */

static void assert_asked_to_end(int init) {
        InitRequest end;

        assert_int_equal(recv(init, &end, sizeof end, MSG_DONTWAIT), sizeof end);
        assert_int_equal(end.type, INIT_END);
}

static void test_a_sandbox(void **state) {
        Fixture *f = *state;
        char cgroup[64];

        sync_up(f);
        int init = created(f, start(f, 0), 3, 77);
        assert_int_equal(f->owners[0].n_notified, 0);
        assert_false(sandbox_is_alive(f->owners[0].sandbox));
        init_says(f, init, INIT_READY);
        assert_int_equal(f->owners[0].state, SANDBOX_READY);
        assert_true(sandbox_is_alive(f->owners[0].sandbox));
        assert_int_equal(f->backend->ops->cgroup(f->backend, f->owners[0].sandbox, cgroup, sizeof cgroup), 0);
        assert_string_equal(cgroup, "/cg/slot-3");
        assert_int_equal(f->backend->ops->cgroup(f->backend, f->owners[0].sandbox, cgroup, 5), -ENAMETOOLONG);

        backend_kill(f->backend, f->owners[0].sandbox);
        backend_kill(f->backend, f->owners[0].sandbox); /* once is enough */
        assert_kill(f, 3, 77);
        assert_asked_to_end(init);
        assert_silent(f);
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 3, .generation = 77 });
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        (void) close(init);
}

static void test_process_1_says_that_it_ends(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int init = make(f, 0, 7);
        backend_kill(f->backend, f->owners[0].sandbox);
        assert_asked_to_end(init);
        init_says(f, init, INIT_ENDING);
        assert_int_equal(f->owners[0].state, SANDBOX_EMPTY);
        assert_kill(f, 0, 7); /* it may lie */
        assert_silent(f);
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 0, .generation = 7 });
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        (void) close(init);
}

static void test_process_1_says_nothing(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int gone = make(f, 0, 7), silent = make(f, 1, 8), frozen = make(f, 2, 9), late = make(f, 3, 10);
        backend_kill(f->backend, f->owners[0].sandbox);
        assert_asked_to_end(gone);
        (void) close(gone);
        assert_kill(f, 0, 7);
        assert_int_equal(f->owners[0].state, SANDBOX_DYING);

        backend_kill(f->backend, f->owners[1].sandbox);
        assert_asked_to_end(silent);
        assert_kill(f, 1, 8);
        init_says(f, silent, INIT_ENDING); /* it is not too late */
        assert_int_equal(f->owners[1].state, SANDBOX_EMPTY);
        assert_silent(f);

        f->owners[2].sandbox->frozen = true;
        backend_kill(f->backend, f->owners[2].sandbox);
        assert_int_equal(heard(f).slot, 2); /* at once */

        backend_kill(f->backend, f->owners[3].sandbox);
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 3, .generation = 10 });
        assert_int_equal(f->owners[3].state, SANDBOX_ENDED);
        assert_true(send(late, "", 1, MSG_NOSIGNAL) < 0); /* nobody listens to it */
        (void) close(silent);
        (void) close(frozen);
        (void) close(late);
}

/* The worker ends before the patience with process 1 does. */
static void test_no_kill_is_forgotten(void **state) {
        Fixture *f = *state;
        SpawnMessage m;

        sync_up(f);
        int init = make(f, 0, 7);
        backend_kill(f->backend, f->owners[0].sandbox);
        f->backend = backend_free(f->backend);
        assert_int_equal(recv(f->spawner, &m, sizeof m, MSG_DONTWAIT), sizeof m);
        assert_int_equal(m.type, SPAWN_KILL);
        assert_int_equal(m.generation, 7);
        (void) close(init);
}

/* It has ended, but its files have not yet been given back. */
static void test_what_is_being_cleared_counts(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int init = make(f, 0, 7);
        backend_kill(f->backend, f->owners[0].sandbox);
        assert_kill(f, 0, 7);
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .flags = SPAWN_CLEARING, .slot = 0, .generation = 7 });
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        assert_int_equal(f->backend->n_clearing, 1);
        say(f, (SpawnMessage){ .type = SPAWN_CLEARED, .slot = 0, .generation = 7 });
        assert_int_equal(f->backend->n_clearing, 0);
        say(f, (SpawnMessage){ .type = SPAWN_CLEARED, .slot = 0, .generation = 7 }); /* of another connection */
        assert_int_equal(f->backend->n_clearing, 0);

        /* a spawner that says anew what there is will not tell of it */
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .flags = SPAWN_CLEARING, .slot = 1, .generation = 8 });
        say(f, (SpawnMessage){ .type = SPAWN_WELCOME, .cookie = WIRE_VERSION, .slot = N_SLOTS });
        assert_int_equal(f->backend->n_clearing, 0);
        assert_int_equal(f->backend->status, BACKEND_READY);
        (void) close(init);
}

static void test_it_fails(void **state) {
        Fixture *f = *state;
        SpawnMessage m = { .type = SPAWN_FAILED, .error = ENOSPC };

        sync_up(f);
        m.cookie = start(f, 0);
        memset(m.text, 'x', sizeof m.text); /* not ended */
        say(f, m);
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        assert_int_equal(f->owners[0].sandbox->error, -ENOSPC);
        assert_true(strlen(f->owners[0].sandbox->error_text) < sizeof f->owners[0].sandbox->error_text);

        say(f, m); /* again: nobody is meant */
        m.cookie = start(f, 1);
        m.error = -5;
        say(f, m);
        assert_int_equal(f->owners[1].sandbox->error, -EIO);
}

static void test_it_ends_while_it_begins(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int init = created(f, start(f, 0), 0, 7);
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 0, .generation = 7 });
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        assert_true(f->owners[0].sandbox->error < 0);
        (void) close(init);
}

static void test_answers_that_nobody_asked_for(void **state) {
        Fixture *f = *state;

        sync_up(f);
        unsigned before = count_fds();
        int init = created(f, 12345, 2, 9);
        (void) close(init);
        assert_int_equal(count_fds(), before);
        assert_kill(f, 2, 9);
        say(f, (SpawnMessage){ .type = SPAWN_FAILED, .cookie = 12345, .error = 5 });
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 2, .generation = 9 });
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = UINT32_MAX, .generation = 9 });
        say(f, (SpawnMessage){ .type = SPAWN_PONG, .cookie = 1 });
        assert_silent(f);
        assert_int_equal(f->backend->status, BACKEND_READY);
}

static void test_created_twice(void **state) {
        Fixture *f = *state;

        sync_up(f);
        uint64_t cookie = start(f, 0);
        int first = created(f, cookie, 0, 7), second = created(f, cookie, 1, 8);
        assert_kill(f, 1, 8);
        init_says(f, first, INIT_READY);
        assert_int_equal(f->owners[0].state, SANDBOX_READY);
        assert_int_equal(f->owners[0].sandbox->slot, 0);
        (void) close(first);
        (void) close(second);
}

/* It would be taken for one that is not made yet, and could be made a second time in another slot. */
static void test_created_without_a_generation(void **state) {
        Fixture *f = *state;

        sync_up(f);
        uint64_t cookie = start(f, 0);
        int init = created(f, cookie, 0, 0);
        assert_kill(f, 0, 0);
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        (void) close(init);
        init = created(f, cookie, 1, 5);
        assert_kill(f, 1, 5);
        (void) close(init);
}

static void test_answers_that_are_malformed(void **state) {
        int fds[2] = { STDERR_FILENO, STDERR_FILENO };
        Fixture *f = *state;

        sync_up(f);
        unsigned before = count_fds();
        for (size_t n_fds = 0; n_fds <= 2; n_fds += 2) {
                SpawnMessage m = { .type = SPAWN_CREATED, .cookie = start(f, 0), .slot = 1, .generation = 9 };
                say_raw(f, &m, sizeof m, fds, n_fds);
                assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
                assert_kill(f, 1, 9);
                f->owners[0].sandbox = sandbox_unref(f->owners[0].sandbox);
        }
        int init = created(f, start(f, 0), N_SLOTS, 10); /* a slot that is none */
        (void) close(init);
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        assert_kill(f, N_SLOTS, 10);
        assert_int_equal(count_fds(), before);
}

static void test_a_slot_that_is_taken(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int first = make(f, 0, 7), second = created(f, start(f, 1), 0, 8);
        assert_int_equal(f->owners[1].state, SANDBOX_ENDED);
        assert_kill(f, 0, 8);
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 0, .generation = 7 });
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        (void) close(first);
        (void) close(second);
}

static void test_the_end_of_another_tenant(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int init = make(f, 0, 7);
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 0, .generation = 6 });
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 1, .generation = 7 });
        assert_int_equal(f->owners[0].state, SANDBOX_READY);
        (void) close(init);
}

static void test_killed_before_it_is_there(void **state) {
        Fixture *f = *state;

        sync_up(f);
        uint64_t cookie = start(f, 0);
        backend_kill(f->backend, f->owners[0].sandbox);
        assert_silent(f);
        int init = created(f, cookie, 4, 9);
        assert_kill(f, 4, 9);
        char byte;
        assert_int_equal(recv(init, &byte, 1, MSG_DONTWAIT), 0); /* nobody listens to it */
        assert_int_equal(f->owners[0].n_notified, 0);
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 4, .generation = 9 });
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        (void) close(init);
}

static void test_kills_that_do_not_fit_come_later(void **state) {
        enum { MANY = 600 };
        static Owner owners[MANY];
        Fixture *f = *state;
        int init[MANY];
        unsigned seen = 0;

        (void) heard(f);
        say(f, (SpawnMessage){ .type = SPAWN_WELCOME, .cookie = WIRE_VERSION, .slot = MANY });
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        for (unsigned i = 0; i < MANY; i++) {
                owners[i] = (Owner){ 0 };
                assert_int_equal(backend_start(f->backend, &spec, on_state, &owners[i], &owners[i].sandbox), 0);
                init[i] = created(f, heard(f).cookie, i, i + 1);
        }
        for (unsigned i = 0; i < MANY; i++) /* nobody reads them meanwhile */
                backend_kill(f->backend, owners[i].sandbox);
        bool killed[MANY] = { false };
        while (seen < MANY) {
                SpawnMessage m;
                RUN_UNTIL(f->event, recv(f->spawner, &m, sizeof m, MSG_DONTWAIT) == sizeof m);
                assert_int_equal(m.type, SPAWN_KILL);
                assert_true(m.slot < MANY && m.generation == m.slot + 1);
                seen += !killed[m.slot];
                killed[m.slot] = true;
        }
        assert_silent(f);
        for (unsigned i = 0; i < MANY; i++) {
                say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = i, .generation = i + 1 });
                assert_int_equal(owners[i].state, SANDBOX_ENDED);
                (void) sandbox_unref(owners[i].sandbox);
                (void) close(init[i]);
        }
}

static void test_room_after_too_many_requests(void **state) {
        Fixture *f = *state;
        Sandbox *s = NULL;
        SpawnMessage m;
        unsigned n = 0;

        sync_up(f);
        unsigned changes = f->n_changes;
        int r;
        while ((r = backend_start(f->backend, &spec, NULL, NULL, &s)) == 0 && n++ < 100000)
                (void) sandbox_unref(s);
        assert_int_equal(r, -EAGAIN);
        run_ready(f->event);
        assert_int_equal(f->n_changes, changes); /* not yet */
        while (recv(f->spawner, &m, sizeof m, MSG_DONTWAIT) == sizeof m)
                n--;
        assert_int_equal(n, 0);
        run_ready(f->event);
        assert_int_equal(f->n_changes, changes + 1);
        run_ready(f->event);
        assert_int_equal(f->n_changes, changes + 1); /* once */
        (void) start(f, 0);
}

static void test_cookies_of_two_workers_differ(void **state) {
        Fixture *f = *state;

        sync_up(f);
        uint64_t first = start(f, 0);
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup_socket(state), 0);
        f = *state;
        sync_up(f);
        assert_int_not_equal(start(f, 0), first);
        /* what the former worker asked for is answered now */
        int init = created(f, first, 0, 7);
        assert_kill(f, 0, 7);
        assert_int_equal(f->owners[0].n_notified, 0);
        (void) close(init);
}

static void test_the_only_connection_is_lost(void **state) {
        Fixture *f = *state;

        sync_up(f);
        int init = make(f, 0, 7);
        (void) start(f, 1);
        hang_up(f);
        assert_int_equal(f->backend->status, BACKEND_LOST);
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
        assert_int_equal(f->owners[1].state, SANDBOX_ENDED);
        assert_int_equal(f->owners[1].sandbox->error, -ENOTCONN);
        (void) close(init);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_socket, teardown)
                TEST(test_hello),
                TEST(test_limits_flag),
                TEST(test_system_calls_are_asked_of_who_knows_them),
                TEST(test_what_is_made_ahead_goes_with_the_images_it_was_made_for),
                TEST(test_it_is_said_when_nobody_waits),
                TEST(test_another_version),
                TEST(test_too_many_slots),
                TEST(test_what_is_no_message),
                TEST(test_a_sandbox),
                TEST(test_process_1_says_that_it_ends),
                TEST(test_process_1_says_nothing),
                TEST(test_no_kill_is_forgotten),
                TEST(test_what_is_being_cleared_counts),
                TEST(test_it_fails),
                TEST(test_it_ends_while_it_begins),
                TEST(test_answers_that_nobody_asked_for),
                TEST(test_created_twice),
                TEST(test_created_without_a_generation),
                TEST(test_answers_that_are_malformed),
                TEST(test_a_slot_that_is_taken),
                TEST(test_the_end_of_another_tenant),
                TEST(test_killed_before_it_is_there),
                TEST(test_kills_that_do_not_fit_come_later),
                TEST(test_room_after_too_many_requests),
                TEST(test_cookies_of_two_workers_differ),
                TEST(test_the_only_connection_is_lost),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
