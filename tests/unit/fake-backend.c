/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-backend.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "unit.h"

static FakeBackend *fake(Backend *b) {
        return CONTAINER_OF(b, FakeBackend, backend);
}

FakeSandbox *fake_sandbox(FakeBackend *b, unsigned index) {
        FakeSandbox *f = b->sandboxes;

        while (f && index-- > 0)
                f = f->next;
        return f;
}

FakeSandbox *fake_sandbox_of(FakeBackend *b, const Sandbox *s) {
        for (FakeSandbox *f = b->sandboxes; f; f = f->next)
                if (f->sandbox == s)
                        return f;
        return NULL;
}

void fake_ready(FakeBackend *b, FakeSandbox *f) {
        InitEvent e = { .type = INIT_READY };
        int ends[2];

        assert_int_equal(f->init, -EBADF);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        f->init = ends[1];
        assert_int_equal(sandbox_attach(f->sandbox, b->event, ends[0]), 0);
        fake_tell(f, &e);
}

void fake_end(FakeBackend *b, FakeSandbox *f, int error) {
        FakeSandbox **p = &b->sandboxes;

        while (*p != f)
                p = &(*p)->next;
        *p = f->next;
        b->n_alive--;
        if (f->sandbox->state == SANDBOX_STARTING && error < 0 && f->sandbox->error == 0) {
                f->sandbox->error = error;
                (void) snprintf(f->sandbox->error_text, sizeof f->sandbox->error_text, "the test has it fail");
        }
        sandbox_set_state(f->sandbox, SANDBOX_ENDED);
        (void) sandbox_unref(f->sandbox);
        f->init = fd_close(f->init);
        free(f);
}

void fake_die(FakeSandbox *f) {
        f->init = fd_close(f->init);
}

void fake_tell(FakeSandbox *f, const InitEvent *e) {
        assert_int_equal(send(f->init, e, sizeof *e, MSG_NOSIGNAL), sizeof *e);
}

size_t fake_asked(FakeSandbox *f, InitRequest *ret, char *strings, size_t size, int ret_fds[3]) {
        static struct {
                InitRequest head;
                char strings[INIT_STRINGS_MAX];
        } message;
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds;

        ssize_t n = message_recv(f->init, &message, sizeof message, fds, &n_fds, MSG_DONTWAIT);
        if (n <= 0)
                return 0;
        assert_true((size_t) n >= sizeof message.head);
        *ret = message.head;
        if (strings)
                memcpy(strings, message.strings, MIN(size, (size_t) n - sizeof message.head));
        for (size_t i = 0; ret_fds && i < 3; i++)
                ret_fds[i] = i < n_fds ? take_fd(fds[i]) : -EBADF;
        fds_close(fds, n_fds);
        return (size_t) n;
}

/* --- what it does by itself --- */

/* Does one thing that is due. Returns false when there is none; the list may have changed. */
static bool step(FakeBackend *b) {
        for (FakeSandbox *f = b->sandboxes; f; f = f->next) {
                bool starting = f->init < 0 && f->sandbox->state == SANDBOX_STARTING;
                if (b->automatic_end && f->kill_wanted)
                        fake_end(b, f, 0);
                else if (b->automatic_ready && starting && b->fail < 0)
                        fake_end(b, f, b->fail);
                else if (b->automatic_ready && starting)
                        fake_ready(b, f);
                else
                        continue;
                return true;
        }
        return false;
}

static int on_turn(sd_event_source *source, void *userdata) {
        (void) source;
        while (step(userdata))
                ;
        return 0;
}

static void turn(FakeBackend *b) {
        (void) sd_event_source_set_enabled(b->turn, SD_EVENT_ONESHOT);
}

static int fake_start(Backend *backend, Sandbox *s) {
        FakeBackend *b = fake(backend);

        if (b->refuse < 0)
                return b->refuse;
        FakeSandbox *f = malloc(sizeof *f);
        assert_non_null(f);
        *f = (FakeSandbox){ .sandbox = sandbox_ref(s), .init = -EBADF, .next = b->sandboxes };
        b->sandboxes = f;
        b->n_started++;
        b->n_alive++;
        s->slot = b->n_started;
        turn(b);
        return 0;
}

static void fake_kill(Backend *backend, Sandbox *s) {
        FakeBackend *b = fake(backend);
        FakeSandbox *f = fake_sandbox_of(b, s);

        if (!f || f->kill_wanted)
                return;
        f->kill_wanted = true;
        b->n_killed++;
        turn(b);
}

static int fake_usage(Backend *backend, const Sandbox *s, BackendUsage *ret) {
        FakeBackend *b = fake(backend);

        (void) s;
        if (!b->has_usage)
                return -EOPNOTSUPP;
        *ret = b->usage;
        return 0;
}

static void fake_freeze(Backend *backend, const Sandbox *s, bool freeze) {
        FakeSandbox *f = fake_sandbox_of(fake(backend), s);

        if (!f) /* has ended */
                return;
        f->frozen = freeze;
        f->n_thawed += !freeze;
}

static int fake_cgroup(Backend *backend, const Sandbox *s, char *buf, size_t size) {
        (void) backend;
        (void) s;
        (void) buf;
        (void) size;
        return -ENOENT;
}

static Backend *fake_free(Backend *backend) {
        (void) fake_backend_free(fake(backend));
        return NULL;
}

FakeBackend *fake_backend_new(sd_event *event) {
        static const BackendOps ops = {
                .name = "fake",
                .start = fake_start,
                .kill = fake_kill,
                .usage = fake_usage,
                .freeze = fake_freeze,
                .cgroup = fake_cgroup,
                .free = fake_free,
        };
        FakeBackend *b = malloc(sizeof *b);

        assert_non_null(b);
        *b = (FakeBackend){
                .backend = { .ops = &ops, .status = BACKEND_READY, .capacity = 1000 },
                .event = event,
                .automatic_ready = true,
                .automatic_end = true,
        };
        assert_true(sd_event_add_defer(event, &b->turn, on_turn, b) >= 0);
        assert_true(sd_event_source_set_enabled(b->turn, SD_EVENT_OFF) >= 0);
        return b;
}

FakeBackend *fake_backend_free(FakeBackend *b) {
        if (!b)
                return NULL;
        while (b->sandboxes)
                fake_end(b, b->sandboxes, -ESHUTDOWN);
        b->turn = sd_event_source_disable_unref(b->turn);
        free(b);
        return NULL;
}

void run_ready(sd_event *event) {
        while (sd_event_run(event, 0) > 0)
                ;
}
