/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/exec.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "runtime/backend.h"

/* A killed command is answered after this time even when its end has not been told; after the second its sandbox,
 * which seems to be beyond control, is ended: not before a machine that is merely slow would have told. */
#define KILL_ANSWER_USEC (150 * USEC_PER_MSEC)
#define KILL_PATIENCE_USEC (10 * USEC_PER_SEC)
#define COMMAND_SHOWN_MAX 256U
#define LOG_MIN (64 * KIB)

Exec *exec_ref(Exec *e) {
        e->n_ref++;
        return e;
}

Exec *exec_unref(Exec *e) {
        if (!e || --e->n_ref > 0)
                return NULL;

        assert(LIST_EMPTY(&e->readers));
        if (e->sandbox && e->job.number != 0) {
                (void) sandbox_signal(e->sandbox, &e->job, SIGKILL, INIT_SCOPE_EVERYTHING);
                sandbox_forget(e->sandbox, &e->job);
        }
        exec_streams_close(e);
        e->timer = sd_event_source_disable_unref(e->timer);
        (void) sandbox_unref(e->sandbox);
        (void) sandbox_unref(e->place);
        capture_clear(&e->capture[0]);
        capture_clear(&e->capture[1]);
        output_clear(&e->log);
        error_clear(&e->error);
        free(e->command);
        free(e->request_id);
        free(e->caller);
        free_counted(e);
        return NULL;
}

static void finish(Exec *e, ExecReason reason) {
        if (e->is_done)
                return;
        e->is_done = true;
        e->reason = reason;
        e->ended = clock_monotonic();
        if (e->keeps_log) {
                OutputResult result = {
                        .reason = reason,
                        .exit_code = e->exit_code,
                        .signal = e->signal,
                        .cpu_usec = e->cpu_usec,
                        .max_rss = e->max_rss,
                        .ended = e->ended,
                };
                output_set_result(&e->log, &result);
        }
        (void) exec_ref(e);
        e->marked = e->signalled = NULL;
        exec_wake_readers(e);
        if (e->stdin_written) {
                void (*written)(Exec *, void *) = take_ptr(e->stdin_written);
                written(e, e->stdin_userdata);
        }
        if (e->done)
                e->done(e, e->userdata);
        if (e->session_done)
                e->session_done(e, e->session_userdata);
        (void) exec_unref(e);
}

/* The sandbox has no more to say about it: the reference that it held goes. */
static void release(Exec *e) {
        e->exited = true;
        e->timer = sd_event_source_disable_unref(e->timer);
        exec_streams_close(e);
        exec_keep(e); /* what is left: its output */
        e->sandbox = sandbox_unref(e->sandbox);
}

/* --- its end --- */

/* Did the kernel's limits hit since the command began? Asked for commands only that ended badly. */
static ExecReason limit_reason(const Exec *e, ExecReason otherwise) {
        BackendUsage u;

        if (e->sandbox->backend->ops->usage(e->sandbox->backend, e->sandbox, &u) < 0)
                return otherwise;
        bool oom = u.oom_kills > e->sandbox->seen_oom_kills, pids = u.pids_refused > e->sandbox->seen_pids_refused;
        e->sandbox->seen_oom_kills = u.oom_kills;
        e->sandbox->seen_pids_refused = u.pids_refused;
        return oom ? EXEC_OOM : pids ? EXEC_PIDS : otherwise;
}

static void on_started(SandboxJob *j, const InitEvent *event, int *fd) {
        Exec *e = CONTAINER_OF(j, Exec, job);

        e->pid = event->pid;
        output_meta(&e->log)->pid = e->pid;
        if (e->terminal && (*fd < 0 || exec_streams_attach_terminal(e, *fd) < 0))
                exec_kill(e, EXEC_LOST);
        else if (e->terminal)
                exec_keep(e);
        exec_wake_readers(e);
}

static void on_signalled(SandboxJob *j) {
        Exec *e = CONTAINER_OF(j, Exec, job);
        void (*sent)(Exec *, void *) = take_ptr(e->signalled);

        if (sent)
                sent(e, e->signalled_userdata);
}

static void on_exited(SandboxJob *j, const InitEvent *event) {
        _cleanup_(exec_unrefp) Exec *e = CONTAINER_OF(j, Exec, job); /* the command's own reference */
        ExecReason reason;

        if (e->is_done) { /* answered before its end was told */
                release(e);
                return;
        }
        /* nothing of it runs any more, so that what is in the pipes is all there will be */
        exec_streams_drain(e);
        e->cpu_usec = event->cpu_usec;
        e->max_rss = event->max_rss;
        if (WIFEXITED(event->status)) {
                e->exit_code = WEXITSTATUS(event->status);
                reason = EXEC_EXITED;
        } else {
                e->signal = WTERMSIG(event->status);
                e->exit_code = 128 + e->signal;
                reason = EXEC_SIGNALED;
        }
        if (e->killed)
                reason = e->killed_as;
        else if (e->exit_code != 0)
                reason = limit_reason(e, reason);
        release(e);
        finish(e, reason);
}

/* As a shell has it: 127 not found, 126 found but not executable. */
static void cannot_run(Exec *e, int error) {
        char text[128];
        int n = snprintf(text, sizeof text, "sandboxd: cannot run the command: %s\n", strerror(error));

        if (e->keeps_log)
                (void) output_add(&e->log, OUTPUT_STDERR, text, (size_t) n);
        else
                (void) capture_add(&e->capture[1], text, (size_t) n);
        e->exit_code = error == ENOENT || error == ENOTDIR ? 127 : 126;
}

static void on_refused(SandboxJob *j, const InitEvent *event) {
        _cleanup_(exec_unrefp) Exec *e = CONTAINER_OF(j, Exec, job);
        ExecReason reason = EXEC_LOST;

        release(e);
        if (event->stage == INIT_STAGE_CWD)
                (void) error_set_field(&e->error, ERROR_INVALID_VALUE, "cwd", NULL, "The folder to start in: %s.",
                        strerror(event->error));
        else if (event->stage == INIT_STAGE_LIMIT)
                (void) error_set_field(
                        &e->error, ERROR_QUOTA, "execs", "64", "64 commands run in this session already.");
        else if (event->stage == INIT_STAGE_STOPPED)
                (void) error_set(&e->error, ERROR_NO_ANSWER,
                        "The command was not started in time: another one in this session keeps it stopped.");
        else if (event->stage == INIT_STAGE_EXECVE) {
                cannot_run(e, event->error);
                reason = EXEC_EXITED;
        } else if (event->error == EAGAIN)
                reason = EXEC_PIDS;
        else if (event->error == ENOMEM)
                reason = EXEC_OOM;
        else
                (void) error_set(
                        &e->error, ERROR_INTERNAL, "The command could not be started: %s.", strerror(event->error));
        finish(e, reason);
}

static void on_lost(SandboxJob *j) {
        _cleanup_(exec_unrefp) Exec *e = CONTAINER_OF(j, Exec, job);

        if (!e->is_done)
                exec_streams_drain(e);
        release(e);
        finish(e, e->killed ? e->killed_as : EXEC_LOST);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Exec *e = userdata;

        (void) usec;
        if (!e->killed) {
                exec_kill(e, EXEC_TIMEOUT);
                return 0;
        }
        if (!e->is_done) {
                (void) sd_event_source_set_time_relative(source, KILL_PATIENCE_USEC);
                (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
                exec_streams_drain(e);
                finish(e, e->killed_as);
                return 0;
        }
        /* still not ended: process 1 does not do its work */
        backend_kill(e->sandbox->backend, e->sandbox);
        return 0;
}

void exec_kill(Exec *e, ExecReason reason) {
        if (e->killed || e->exited || e->job.number == 0)
                return;
        e->killed = true;
        e->killed_as = reason;
        sandbox_freeze(e->sandbox, false); /* process 1 has to do it */
        (void) sandbox_signal(e->sandbox, &e->job, SIGKILL, INIT_SCOPE_EVERYTHING);
        if (!e->timer) /* one without a time limit */
                (void) sd_event_add_time_relative(
                        e->event, &e->timer, CLOCK_MONOTONIC, KILL_ANSWER_USEC, 1, on_timer, e);
        else {
                (void) sd_event_source_set_time_relative(e->timer, KILL_ANSWER_USEC);
                (void) sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
        }
}

int exec_signal(Exec *e, int signal, Error *error) {
        if (e->exited || e->is_done || e->job.number == 0)
                return error_set(error, ERROR_WRONG_STATE, "The command has ended.");
        return sandbox_signal(e->sandbox, &e->job, signal, INIT_SCOPE_GROUP);
}

int exec_interrupt(Exec *e, void (*sent)(Exec *e, void *userdata), void *userdata) {
        if (e->exited || e->is_done || e->job.number == 0)
                return -ESRCH;
        int r = sandbox_signal_told(e->sandbox, &e->job, SIGINT, INIT_SCOPE_GROUP);
        if (r < 0)
                return r;
        e->signalled = sent;
        e->signalled_userdata = userdata;
        return 0;
}

/* --- its beginning --- */

static void set_meta(Exec *e, const ExecSpec *spec) {
        OutputMeta *m = output_meta(&e->log);

        (void) snprintf(m->id, sizeof m->id, "%s", e->id);
        (void) snprintf(m->command, sizeof m->command, "%s", e->command);
        m->created = e->created;
        m->started = e->started;
        m->deadline = spec->timeout == USEC_INFINITY ? USEC_INFINITY : e->started + spec->timeout;
        m->background = e->background;
        m->base64 = e->base64;
        m->terminal = e->terminal;
}

static int run(Exec *e, const ExecSpec *spec, const json_t *session_env, Error *error) {
        static char strings[INIT_STRINGS_MAX]; /* one thread, used up before this returns */
        int theirs[3] = { -EBADF, -EBADF, -EBADF };
        InitRequest request = { .rows = spec->rows, .columns = spec->columns };

        request.flags = (e->keeps_log ? INIT_FLAG_STARTED : 0) | (spec->pty ? INIT_FLAG_PTY : 0);
        int r = exec_spec_encode(spec, session_env, strings, &request, error);
        if (r == 0)
                r = exec_streams_open(e, spec, theirs);
        if (r == 0)
                r = sandbox_run(e->sandbox, &e->job, &request, strings, theirs, spec->pty ? 0 : 3);
        fds_close(theirs, 3);
        if (r == -EMFILE && e->sandbox->n_jobs >= INIT_EXECS_MAX)
                return error_set_field(error, ERROR_QUOTA, "execs", "64", "64 commands run in this session already.");
        e->number = e->job.number;
        if (r == 0)
                r = exec_streams_begin(e);
        if (r == 0 && e->keeps_log)
                set_meta(e, spec);
        if (r == 0 && spec->timeout != USEC_INFINITY)
                r = sd_event_add_time_relative(e->event, &e->timer, CLOCK_MONOTONIC, spec->timeout, 1, on_timer, e);
        return r;
}

/* What people see of a command in a list. */
static char *command_text(const ExecSpec *spec) {
        bool shell = spec->argc == 3 && strcmp(spec->argv[0], "/bin/sh") == 0 && strcmp(spec->argv[1], "-c") == 0;
        char text[COMMAND_SHOWN_MAX] = "";
        size_t used = 0, length;

        for (size_t i = shell ? 2 : 0; i < spec->argc && used < sizeof text - 1; i++) {
                int n = snprintf(text + used, sizeof text - used, "%s%s", used ? " " : "", spec->argv[i]);
                used = n < 0 ? used : MIN(used + (size_t) n, sizeof text - 1);
        }
        return utf8_replace(text, used, &length);
}

int exec_start(sd_event *event, Sandbox *sandbox, ExecSpec *spec, const json_t *session_env, bool keeps_log,
        ExecDone *done, void *userdata, Exec **ret, Error *error) {
        _cleanup_(exec_unrefp) Exec *e = malloc(sizeof *e);

        if (!e)
                return -ENOMEM;
        *e = (Exec){
                .n_ref = 1,
                .event = event,
                .sandbox = sandbox_ref(sandbox),
                .place = keeps_log ? sandbox_ref(sandbox) : NULL,
                .job = { .started = keeps_log ? on_started : NULL,
                        .signalled = on_signalled,
                        .refused = on_refused,
                        .exited = on_exited,
                        .lost = on_lost },
                .background = spec->background,
                .terminal = spec->pty,
                .keeps_log = keeps_log,
                .base64 = spec->base64,
                .out = { -EBADF, -EBADF },
                .in = -EBADF,
                .terminal_pipe = { -EBADF, -EBADF },
                .stdin_open = spec->stdin_open || spec->channel,
                .channel = spec->channel,
                .stdin_data = take_ptr(spec->stdin_data),
                .stdin_length = spec->stdin_length,
                .capture = { { .max = spec->output_max }, { .max = spec->output_max } },
                .log = OUTPUT_LOG_INIT,
                .created = clock_realtime(),
                .started = clock_monotonic(),
                .exit_code = -1,
        };
        LIST_INIT(&e->readers);
        uuid_make(e->id);
        if (spec->request_id) {
                e->request_id = strdup(spec->request_id);
                if (!e->request_id)
                        return -ENOMEM;
        }
        if (spec->caller) {
                e->caller = strdup(spec->caller);
                if (!e->caller)
                        return -ENOMEM;
        }
        int r = 0;
        if (keeps_log) {
                e->command = spec->label ? strdup(spec->label) : command_text(spec);
                r = e->command ? output_new(&e->log, MAX(spec->output_max, LOG_MIN)) : -ENOMEM;
        }
        if (r < 0)
                return r;
        r = run(e, spec, session_env, error);
        if (r < 0)
                return r;
        e->done = done;
        e->userdata = userdata;
        if (keeps_log && !e->terminal) /* a terminal is not there yet */
                exec_keep(e);
        *ret = exec_ref(e);
        e = NULL;
        return 0;
}

/* --- over a change of the worker --- */

void exec_keep(Exec *e) {
        int fds[KEPT_MAX], log[OUTPUT_FDS];
        uint32_t flags = 0;
        size_t n = 0;

        if (!e->sandbox || !e->keeps_log || !e->sandbox->backend->ops->keep)
                return;
        output_fds(&e->log, log);
        const int all[KEPT_MAX] = {
                [KEPT_STDOUT] = e->out[0],
                [KEPT_STDERR] = e->out[1],
                /* what is written once is not kept: its end has to be seen */
                [KEPT_STDIN] = e->stdin_open && !e->terminal ? e->in : -EBADF,
                [KEPT_PIPE_READ] = e->terminal_pipe[0],
                [KEPT_PIPE_WRITE] = e->terminal_pipe[1],
                [KEPT_LOG_STDOUT] = log[0],
                [KEPT_LOG_STDERR] = log[1],
                [KEPT_LOG_INDEX] = log[2],
        };
        for (unsigned i = 0; i < KEPT_MAX; i++)
                if (all[i] >= 0) {
                        flags |= 1U << i;
                        fds[n++] = all[i];
                }
        e->sandbox->backend->ops->keep(e->sandbox->backend, e->sandbox, e->number, flags, fds, n);
}

void exec_forget(Exec *e) {
        if (e->keeps_log && e->place && e->place->backend->ops->keep)
                e->place->backend->ops->keep(e->place->backend, e->place, e->number, 0, NULL, 0);
}

static int restore(Exec *e, int fds[static KEPT_MAX]) {
        int log[OUTPUT_FDS] = { fds[KEPT_LOG_STDOUT], fds[KEPT_LOG_STDERR], fds[KEPT_LOG_INDEX] };
        OutputResult result;

        int r = output_open(&e->log, log);
        if (r < 0)
                return r;
        fds[KEPT_LOG_STDOUT] = fds[KEPT_LOG_STDERR] = fds[KEPT_LOG_INDEX] = -EBADF;

        const OutputMeta *m = output_meta(&e->log);
        if (!id_is_valid(m->id))
                return -EBADMSG;
        (void) snprintf(e->id, sizeof e->id, "%.*s", (int) sizeof e->id - 1, m->id);
        e->command = strdup(m->command);
        if (!e->command)
                return -ENOMEM;
        e->created = m->created;
        e->started = m->started;
        e->background = true; /* nobody is connected to it any more */
        e->base64 = m->base64;
        e->terminal = m->terminal;
        e->pid = m->pid;

        output_get_result(&e->log, &result);
        if (result.over) {
                e->is_done = e->exited = true;
                e->reason = result.reason < EXEC_REASON_MAX_ ? (ExecReason) result.reason : EXEC_LOST;
                e->exit_code = result.exit_code;
                e->signal = result.signal;
                e->cpu_usec = result.cpu_usec;
                e->max_rss = result.max_rss;
                e->ended = result.ended;
                e->sandbox = sandbox_unref(e->sandbox);
                return 0;
        }
        if (m->deadline != USEC_INFINITY)
                r = sd_event_add_time(e->event, &e->timer, CLOCK_MONOTONIC, m->deadline, 1, on_timer, e);
        if (r >= 0)
                r = exec_streams_restore(e, fds);
        return r < 0 ? r : 0;
}

int exec_restore(sd_event *event, Sandbox *sandbox, uint32_t number, int fds[static KEPT_MAX], Exec **ret) {
        _cleanup_(exec_unrefp) Exec *e = malloc(sizeof *e);

        if (!e)
                return -ENOMEM;
        *e = (Exec){
                .n_ref = 1,
                .event = event,
                .sandbox = sandbox_ref(sandbox),
                .place = sandbox_ref(sandbox),
                .number = number,
                .job = { .started = on_started,
                        .signalled = on_signalled,
                        .refused = on_refused,
                        .exited = on_exited,
                        .lost = on_lost },
                .keeps_log = true,
                .out = { -EBADF, -EBADF },
                .in = -EBADF,
                .terminal_pipe = { -EBADF, -EBADF },
                .log = OUTPUT_LOG_INIT,
                .exit_code = -1,
        };
        LIST_INIT(&e->readers);
        int r = restore(e, fds);
        if (r < 0)
                return r;
        if (!e->is_done) {
                e->job.has_started = e->pid > 0;
                sandbox_expect(sandbox, &e->job, number);
                (void) exec_ref(e); /* a command that runs has a reference of its own */
        }
        *ret = take_ptr(e);
        return 0;
}
