/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "runtime/backend.h"
#include "spec/wire.h"

/* A backend whose sandboxes are sockets: the test plays process 1 and the spawner. */

typedef struct FakeSandbox FakeSandbox;
struct FakeSandbox {
        Sandbox *sandbox; /* owned, until it has ended */
        int init;         /* owned: process 1's end of the control socket, once it is ready */
        bool kill_wanted, frozen;
        unsigned n_thawed;
        FakeSandbox *next;
};

typedef struct FakeBackend {
        Backend backend;
        sd_event *event;        /* borrowed */
        FakeSandbox *sandboxes; /* that have not ended, newest first */
        unsigned n_started, n_alive, n_killed;
        bool automatic_ready; /* in the turn after they were asked for */
        bool automatic_end;   /* in the turn after they were killed */
        int refuse;           /* what start() returns instead */
        int fail;             /* with this they end instead of becoming ready, when automatic */
        BackendUsage usage;
        bool has_usage;
        sd_event_source *turn;
} FakeBackend;

FakeBackend *fake_backend_new(sd_event *event);
FakeBackend *fake_backend_free(FakeBackend *b);

/* The one that was asked for last (0), before that (1), ... or NULL. */
FakeSandbox *fake_sandbox(FakeBackend *b, unsigned index);
FakeSandbox *fake_sandbox_of(FakeBackend *b, const Sandbox *s);

/* Process 1 says that it is ready. */
void fake_ready(FakeBackend *b, FakeSandbox *f);
/* The backend says that it has ended; @error: why it could not be made, or 0. */
void fake_end(FakeBackend *b, FakeSandbox *f, int error);
/* Process 1 is gone, which nobody has been told. */
void fake_die(FakeSandbox *f);

/* Process 1 tells something. */
void fake_tell(FakeSandbox *f, const InitEvent *e);
/* What process 1 was asked for: returns its length, 0 when there is nothing. Descriptors that came are closed but for
 * @ret_fds (three, when not NULL). */
size_t fake_asked(FakeSandbox *f, InitRequest *ret, char *strings, size_t size, int ret_fds[3]);

/* Lets the event loop do all that is ready now. */
void run_ready(sd_event *event);

/* Lets it run until @condition holds, which may come about beside it too; fails after 10 s. */
#define RUN_UNTIL(event, condition)                                                                                    \
        do {                                                                                                           \
                usec_t _end = clock_monotonic() + 10 * USEC_PER_SEC;                                                   \
                while (!(condition)) {                                                                                 \
                        assert_true(clock_monotonic() < _end);                                                         \
                        assert_true(sd_event_run((event), 10 * USEC_PER_MSEC) >= 0);                                         \
                }                                                                                                      \
        } while (0)
