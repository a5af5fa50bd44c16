/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "runtime/sandbox.h"
#include "session/capture.h"
#include "spec/exec.h"

/* One command in a session: its streams, its time limit, its end. */

#define EXEC_REASONS(R)                                                                                                \
        R(EXITED, "exited")                                                                                            \
        R(SIGNALED, "signaled") R(TIMEOUT, "timeout") R(OOM, "oom") R(PIDS, "pids") R(CANCELLED, "cancelled")          \
                R(LOST, "lost")

typedef enum ExecReason {
#define EXEC_REASON_ENUM(name, text) EXEC_##name,
        EXEC_REASONS(EXEC_REASON_ENUM)
#undef EXEC_REASON_ENUM
                EXEC_REASON_MAX_,
} ExecReason;

typedef struct Exec Exec;

/* Called once, when all is known: the command has ended, or could not be started (@exec->error is set then).
 * The receiver may unref @exec. */
typedef void ExecDone(Exec *exec, void *userdata);

struct Exec {
        unsigned n_ref;
        char id[UUID_TEXT_MAX];
        sd_event *event;  /* borrowed */
        Sandbox *sandbox; /* owned while it runs */
        SandboxJob job;
        ExecDone *done;
        void *userdata;

        int out[2]; /* owned: read ends of stdout and stderr */
        int in;     /* owned: write end of stdin */
        sd_event_source *out_source[2], *in_source, *timer;
        char *stdin_data; /* owned */
        size_t stdin_length, stdin_sent;
        bool base64;

        Capture capture[2];
        usec_t started, ended; /* monotonic */
        bool killed, is_done;
        ExecReason killed_as;

        /* the result */
        ExecReason reason;
        int exit_code; /* -1: none */
        int signal;    /* 0: none */
        uint64_t cpu_usec, max_rss;
        Error error;
};

/* A command that runs holds a reference to itself: dropping one's own does not end it. */
Exec *exec_ref(Exec *e);
Exec *exec_unref(Exec *e);
DEFINE_CLEANUP(Exec, exec_unref);

/* Starts @spec in @sandbox; stdin is taken out of @spec. @ret: new reference.
 * Returns 0 or -errno with @error set; @done is never called from within. */
int exec_start(sd_event *event, Sandbox *sandbox, ExecSpec *spec, const json_t *session_env, ExecDone *done,
        void *userdata, Exec **ret, Error *error);

/* Kills it, with all that it started, for @reason (EXEC_TIMEOUT, EXEC_CANCELLED). */
void exec_kill(Exec *e, ExecReason reason);

const char *exec_reason_text(ExecReason reason);

/* The answer of the public contract. Returns a new object or NULL when out of memory. */
json_t *exec_result(const Exec *e);
