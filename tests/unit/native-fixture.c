/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "native-fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

const SandboxSpec spec = { .image = "base-7", .limits = { 1, 2, 3, 4 } };

static void on_backend(Backend *b, void *userdata) {
        Fixture *f = userdata;

        (void) b;
        f->n_changes++;
}

void on_state(Sandbox *s, void *userdata) {
        Owner *o = userdata;

        o->n_notified++;
        o->state = s->state;
}

/* --- the spawner's part --- */

SpawnMessage heard(Fixture *f) {
        SpawnMessage m;
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds;

        run_ready(f->event);
        assert_int_equal(message_recv(f->spawner, &m, sizeof m, fds, &n_fds, MSG_DONTWAIT), sizeof m);
        fds_close(fds, n_fds);
        return m;
}

void assert_silent(Fixture *f) {
        char byte;

        run_ready(f->event);
        assert_true(recv(f->spawner, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0);
        assert_int_equal(errno, EAGAIN);
}

void say_raw(Fixture *f, const void *data, size_t size, const int *fds, size_t n_fds) {
        struct iovec iov = { .iov_base = (void *) data, .iov_len = size };

        assert_int_equal(message_send(f->spawner, &iov, 1, fds, n_fds), 0);
        run_ready(f->event);
}

void say(Fixture *f, SpawnMessage m) {
        say_raw(f, &m, sizeof m, NULL, 0);
}

void accept_worker(Fixture *f) {
        RUN_UNTIL(f->event, (f->spawner = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
}

void hang_up(Fixture *f) {
        f->spawner = fd_close(f->spawner);
        run_ready(f->event);
}

void welcome(Fixture *f) {
        SpawnMessage m = heard(f);

        assert_int_equal(m.type, SPAWN_HELLO);
        assert_int_equal(m.cookie, WIRE_VERSION);
        say(f, (SpawnMessage){ .type = SPAWN_WELCOME, .cookie = WIRE_VERSION, .slot = N_SLOTS, .text = "/cg" });
}

/* --- fixtures --- */

int setup_socket(void **state) {
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

int setup_path(void **state) {
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

int teardown(void **state) {
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

void sync_up(Fixture *f) {
        welcome(f);
        say(f, (SpawnMessage){ .type = SPAWN_SYNCED });
        assert_int_equal(f->backend->status, BACKEND_READY);
}

uint64_t start(Fixture *f, unsigned i) {
        Owner *o = &f->owners[i];

        assert_int_equal(backend_start(f->backend, &spec, on_state, o, &o->sandbox), 0);
        SpawnMessage m = heard(f);
        assert_int_equal(m.type, SPAWN_CREATE);
        assert_string_equal(m.image, spec.image);
        assert_memory_equal(&m.limits, &spec.limits, sizeof m.limits);
        assert_int_equal(m.calls, 0);
        return m.cookie;
}

int created(Fixture *f, uint64_t cookie, uint32_t slot, uint64_t generation) {
        SpawnMessage m = { .type = SPAWN_CREATED, .cookie = cookie, .slot = slot, .generation = generation, .pid = 5 };
        int ends[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        say_raw(f, &m, sizeof m, ends, 1);
        (void) close(ends[0]);
        return ends[1];
}

void init_says(Fixture *f, int init, InitEventType type) {
        InitEvent e = { .type = type };

        assert_int_equal(send(init, &e, sizeof e, MSG_NOSIGNAL), sizeof e);
        run_ready(f->event);
}

int make(Fixture *f, unsigned i, uint64_t generation) {
        int init = created(f, start(f, i), i, generation);

        init_says(f, init, INIT_READY);
        assert_int_equal(f->owners[i].state, SANDBOX_READY);
        return init;
}

void assert_kill(Fixture *f, uint32_t slot, uint64_t generation) {
        char byte;

        /* process 1 may have a moment before */
        RUN_UNTIL(f->event, recv(f->spawner, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0);
        SpawnMessage m = heard(f);
        assert_int_equal(m.type, SPAWN_KILL);
        assert_int_equal(m.slot, slot);
        assert_int_equal(m.generation, generation);
}

unsigned count_fds(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 1024; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}
