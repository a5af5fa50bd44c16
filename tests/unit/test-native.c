/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "fake-backend.h"

/* The backend over a spawner that the test plays, on a socket of its own or behind a listening one. */

#define N_SLOTS 8U

typedef struct Owner {
        Sandbox *sandbox; /* owned */
        unsigned n_notified;
        SandboxState state;
} Owner;

typedef struct Fixture {
        sd_event *event;
        Backend *backend;
        char folder[32], path[64];
        int listener, spawner; /* owned */
        unsigned n_changes;
        Owner owners[N_SLOTS];
} Fixture;

static const SandboxSpec spec = { .image = "base-7", .limits = { 1, 2, 3, 4 } };

static void on_backend(Backend *b, void *userdata) {
        Fixture *f = userdata;

        (void) b;
        f->n_changes++;
}

static void on_state(Sandbox *s, void *userdata) {
        Owner *o = userdata;

        o->n_notified++;
        o->state = s->state;
}

/* --- the spawner's part --- */

/* The next message of the worker. */
static SpawnMessage heard(Fixture *f) {
        SpawnMessage m;
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds;

        run_ready(f->event);
        assert_int_equal(message_recv(f->spawner, &m, sizeof m, fds, &n_fds, MSG_DONTWAIT), sizeof m);
        fds_close(fds, n_fds);
        return m;
}

static void assert_silent(Fixture *f) {
        char byte;

        run_ready(f->event);
        assert_true(recv(f->spawner, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0);
        assert_int_equal(errno, EAGAIN);
}

static void say_raw(Fixture *f, const void *data, size_t size, const int *fds, size_t n_fds) {
        struct iovec iov = { .iov_base = (void *) data, .iov_len = size };

        assert_int_equal(message_send(f->spawner, &iov, 1, fds, n_fds), 0);
        run_ready(f->event);
}

static void say(Fixture *f, SpawnMessage m) {
        say_raw(f, &m, sizeof m, NULL, 0);
}

static void accept_worker(Fixture *f) {
        RUN_UNTIL(f->event, (f->spawner = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
}

static void hang_up(Fixture *f) {
        f->spawner = fd_close(f->spawner);
        run_ready(f->event);
}

static void welcome(Fixture *f) {
        SpawnMessage m = heard(f);

        assert_int_equal(m.type, SPAWN_HELLO);
        assert_int_equal(m.cookie, WIRE_VERSION);
        say(f, (SpawnMessage){ .type = SPAWN_WELCOME, .cookie = WIRE_VERSION, .slot = N_SLOTS, .text = "/cg" });
}

/* --- fixtures --- */

static int setup_socket(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        int ends[2];

        if (!f || sd_event_new(&f->event) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -1;
        f->listener = -EBADF;
        f->spawner = ends[1];
        if (native_new(f->event, NULL, ends[0], on_backend, f, &f->backend) < 0)
                return -1;
        *state = f;
        return 0;
}

static int setup_path(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Fixture *f = calloc(1, sizeof *f);

        if (!f || sd_event_new(&f->event) < 0)
                return -1;
        (void) strcpy(f->folder, "/tmp/test-native.XXXXXX");
        if (!mkdtemp(f->folder))
                return -1;
        (void) snprintf(f->path, sizeof f->path, "%s/spawner.sock", f->folder);
        memcpy(address.sun_path, f->path, sizeof f->path);
        f->spawner = -EBADF;
        f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (bind(f->listener, (struct sockaddr *) &address, sizeof address) < 0 || listen(f->listener, 4) < 0 ||
                native_new(f->event, f->path, -EBADF, on_backend, f, &f->backend) < 0)
                return -1;
        accept_worker(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        f->backend = backend_free(f->backend);
        for (size_t i = 0; i < N_SLOTS; i++)
                f->owners[i].sandbox = sandbox_unref(f->owners[i].sandbox);
        (void) fd_close(f->spawner);
        (void) fd_close(f->listener);
        if (f->path[0]) {
                (void) unlink(f->path);
                (void) rmdir(f->folder);
        }
        f->event = sd_event_unref(f->event);
        free(f);
        return 0;
}

static void sync_up(Fixture *f) {
        welcome(f);
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        assert_int_equal(f->backend->status, BACKEND_READY);
}

/* Asks for a sandbox. Returns the cookie. */
static uint64_t start(Fixture *f, unsigned i) {
        Owner *o = &f->owners[i];

        assert_int_equal(backend_start(f->backend, &spec, on_state, o, &o->sandbox), 0);
        SpawnMessage m = heard(f);
        assert_int_equal(m.type, SPAWN_CREATE);
        assert_string_equal(m.image, spec.image);
        assert_memory_equal(&m.limits, &spec.limits, sizeof m.limits);
        return m.cookie;
}

/* Answers with the sandbox in @slot. Returns process 1's end of the control socket. */
static int created(Fixture *f, uint64_t cookie, uint32_t slot, uint64_t generation) {
        SpawnMessage m = { .type = SPAWN_CREATED, .cookie = cookie, .slot = slot, .generation = generation, .pid = 5 };
        int ends[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        say_raw(f, &m, sizeof m, ends, 1);
        (void) close(ends[0]);
        return ends[1];
}

static void init_says(Fixture *f, int init, InitEventType type) {
        InitEvent e = { .type = type };

        assert_int_equal(send(init, &e, sizeof e, MSG_NOSIGNAL), sizeof e);
        run_ready(f->event);
}

/* A sandbox that is ready in @slot. Returns process 1's end. */
static int make(Fixture *f, unsigned i, uint64_t generation) {
        int init = created(f, start(f, i), i, generation);

        init_says(f, init, INIT_READY);
        assert_int_equal(f->owners[i].state, SANDBOX_READY);
        return init;
}

static void assert_kill(Fixture *f, uint32_t slot, uint64_t generation) {
        SpawnMessage m = heard(f);

        assert_int_equal(m.type, SPAWN_KILL);
        assert_int_equal(m.slot, slot);
        assert_int_equal(m.generation, generation);
}

static unsigned count_fds(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 1024; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

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
        assert_silent(f);
        say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = 3, .generation = 77 });
        assert_int_equal(f->owners[0].state, SANDBOX_ENDED);
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
        int init[MANY], seen = 0;

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
        for (;;) {
                SpawnMessage m;
                run_ready(f->event);
                if (recv(f->spawner, &m, sizeof m, MSG_DONTWAIT) != sizeof m)
                        break;
                assert_int_equal(m.type, SPAWN_KILL);
                assert_true(m.slot < MANY && m.generation == m.slot + 1);
                seen += !killed[m.slot];
                killed[m.slot] = true;
        }
        assert_int_equal(seen, MANY);
        for (unsigned i = 0; i < MANY; i++) {
                say(f, (SpawnMessage){ .type = SPAWN_ENDED, .slot = i, .generation = i + 1 });
                assert_int_equal(owners[i].state, SANDBOX_ENDED);
                (void) sandbox_unref(owners[i].sandbox);
                (void) close(init[i]);
        }
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_socket, teardown)
#define TEST_PATH(name) cmocka_unit_test_setup_teardown(name, setup_path, teardown)
                TEST(test_hello),
                TEST(test_limits_flag),
                TEST(test_another_version),
                TEST(test_too_many_slots),
                TEST(test_what_is_no_message),
                TEST(test_a_sandbox),
                TEST(test_it_fails),
                TEST(test_it_ends_while_it_begins),
                TEST(test_answers_that_nobody_asked_for),
                TEST(test_created_twice),
                TEST(test_answers_that_are_malformed),
                TEST(test_a_slot_that_is_taken),
                TEST(test_the_end_of_another_tenant),
                TEST(test_killed_before_it_is_there),
                TEST(test_kills_that_do_not_fit_come_later),
                TEST(test_cookies_of_two_workers_differ),
                TEST(test_the_only_connection_is_lost),
                TEST_PATH(test_sandboxes_outlive_the_connection),
                TEST_PATH(test_those_that_vanished_have_ended),
                TEST_PATH(test_strangers_are_killed),
                TEST_PATH(test_another_tenant_in_a_known_slot),
                TEST_PATH(test_a_kill_while_the_spawner_is_away),
                TEST_PATH(test_lost_again_before_all_is_told),
                TEST_PATH(test_fewer_slots_than_before),
                TEST_PATH(test_taking_over),
                TEST_PATH(test_nobody_takes_it_over),
                TEST_PATH(test_what_cannot_be_taken_over),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
