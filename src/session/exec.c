/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/exec.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/backend.h"

#define READ_SIZE (64U * 1024U)
#define READS_PER_TURN 8
/* A killed command is answered after this time even when its end has not been told; after the second its sandbox,
 * which seems to be beyond control, is ended. */
#define KILL_ANSWER_USEC (150 * USEC_PER_MSEC)
#define KILL_PATIENCE_USEC (2 * USEC_PER_SEC)

const char *exec_reason_text(ExecReason reason) {
        static const char *const texts[] = {
#define EXEC_REASON_TEXT(name, text) [EXEC_##name] = text,
                EXEC_REASONS(EXEC_REASON_TEXT)
#undef EXEC_REASON_TEXT
        };
        assert(reason < EXEC_REASON_MAX_);
        return texts[reason];
}

Exec *exec_ref(Exec *e) {
        e->n_ref++;
        return e;
}

static void close_stream(Exec *e, int i) {
        e->out_source[i] = sd_event_source_disable_unref(e->out_source[i]);
        e->out[i] = fd_close(e->out[i]);
}

static void close_stdin(Exec *e) {
        e->in_source = sd_event_source_disable_unref(e->in_source);
        e->in = fd_close(e->in);
        free(take_ptr(e->stdin_data));
}

Exec *exec_unref(Exec *e) {
        if (!e || --e->n_ref > 0)
                return NULL;

        if (e->sandbox && e->job.number != 0) {
                (void) sandbox_signal(e->sandbox, &e->job, SIGKILL, INIT_SCOPE_EVERYTHING);
                sandbox_forget(e->sandbox, &e->job);
        }
        close_stream(e, 0);
        close_stream(e, 1);
        close_stdin(e);
        e->timer = sd_event_source_disable_unref(e->timer);
        (void) sandbox_unref(e->sandbox);
        capture_clear(&e->capture[0]);
        capture_clear(&e->capture[1]);
        error_clear(&e->error);
        free(e);
        return NULL;
}

static void finish(Exec *e, ExecReason reason) {
        if (e->is_done)
                return;
        e->is_done = true;
        e->reason = reason;
        e->ended = clock_monotonic();
        (void) exec_ref(e);
        if (e->done)
                e->done(e, e->userdata);
        (void) exec_unref(e);
}

/* Reads what is there. Returns 1 at the end of the stream, 0 when there is no more now. */
static int read_stream(Exec *e, int i, unsigned turns) {
        static char buf[READ_SIZE]; /* one thread, never entered twice */

        while (turns-- > 0 && e->out[i] >= 0) {
                ssize_t n = read(e->out[i], buf, sizeof buf);
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : 1;
                if (n == 0)
                        return 1;
                (void) capture_add(&e->capture[i], buf, (size_t) n); /* no memory: counted as cut off */
        }
        return 0;
}

static int on_output(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Exec *e = userdata;
        int i = source == e->out_source[0] ? 0 : 1;

        (void) fd;
        (void) revents;
        if (read_stream(e, i, READS_PER_TURN) > 0)
                close_stream(e, i);
        return 0;
}

/* Returns true when there is no more to write. */
static bool write_stdin(Exec *e) {
        while (e->stdin_sent < e->stdin_length) {
                ssize_t n = write(e->in, e->stdin_data + e->stdin_sent, e->stdin_length - e->stdin_sent);
                if (n < 0)
                        return errno != EAGAIN && errno != EINTR; /* it does not want the rest: its business */
                e->stdin_sent += (size_t) n;
        }
        return true;
}

static int on_stdin(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Exec *e = userdata;

        (void) source;
        (void) fd;
        if ((revents & (EPOLLERR | EPOLLHUP)) || write_stdin(e))
                close_stdin(e);
        return 0;
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

static void on_exited(SandboxJob *j, const InitEvent *event) {
        _cleanup_(exec_unrefp) Exec *e = CONTAINER_OF(j, Exec, job); /* the command's own reference */
        ExecReason reason;

        e->timer = sd_event_source_disable_unref(e->timer);
        if (e->is_done) /* answered before its end was told */
                return;

        /* nothing of it runs any more, so that what is in the pipes is all there will be */
        for (int i = 0; i < 2; i++) {
                (void) read_stream(e, i, 1024);
                close_stream(e, i);
        }
        close_stdin(e);

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
        finish(e, reason);
}

static void on_refused(SandboxJob *j, const InitEvent *event) {
        _cleanup_(exec_unrefp) Exec *e = CONTAINER_OF(j, Exec, job);

        e->timer = sd_event_source_disable_unref(e->timer);
        if (e->is_done)
                return;
        switch (event->stage) {
        case INIT_STAGE_CWD:
                (void) error_set_field(&e->error, ERROR_INVALID_VALUE, "cwd", NULL, "The folder to start in: %s.",
                        strerror(event->error));
                break;
        case INIT_STAGE_LIMIT:
                (void) error_set_field(
                        &e->error, ERROR_QUOTA, "execs", "64", "64 commands run in this session already.");
                break;
        case INIT_STAGE_EXECVE: {
                /* as a shell has it: 127 not found, 126 found but not executable */
                char text[128];
                int n = snprintf(text, sizeof text, "sandboxd: cannot run the command: %s\n", strerror(event->error));
                (void) capture_add(&e->capture[1], text, (size_t) n);
                e->exit_code = event->error == ENOENT || event->error == ENOTDIR ? 127 : 126;
                finish(e, EXEC_EXITED);
                return;
        }
        default:
                if (event->error == EAGAIN || event->error == ENOMEM) {
                        e->exit_code = -1;
                        finish(e, event->error == EAGAIN ? EXEC_PIDS : EXEC_OOM);
                        return;
                }
                (void) error_set(&e->error, ERROR_INTERNAL, "The command could not be started.");
        }
        finish(e, EXEC_LOST);
}

static void on_lost(SandboxJob *j) {
        _cleanup_(exec_unrefp) Exec *e = CONTAINER_OF(j, Exec, job);

        e->timer = sd_event_source_disable_unref(e->timer);
        if (e->is_done)
                return;
        for (int i = 0; i < 2; i++)
                (void) read_stream(e, i, 1024);
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
                for (int i = 0; i < 2; i++)
                        (void) read_stream(e, i, 1024);
                finish(e, e->killed_as);
                return 0;
        }
        /* still not ended: process 1 does not do its work */
        backend_kill(e->sandbox->backend, e->sandbox);
        return 0;
}

void exec_kill(Exec *e, ExecReason reason) {
        if (e->killed || e->is_done || e->job.number == 0)
                return;
        e->killed = true;
        e->killed_as = reason;
        (void) sandbox_signal(e->sandbox, &e->job, SIGKILL, INIT_SCOPE_EVERYTHING);
        (void) sd_event_source_set_time_relative(e->timer, KILL_ANSWER_USEC);
        (void) sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
}

/* --- its beginning --- */

/* Pipes between us (non-blocking) and the command. @theirs: owned by the caller. */
static int make_streams(Exec *e, int theirs[static 3]) {
        int p[2];

        if (e->stdin_data) {
                if (pipe2(p, O_CLOEXEC) < 0)
                        return -errno;
                theirs[0] = p[0];
                e->in = p[1];
                if (fd_set_nonblock(e->in, true) < 0)
                        return -errno;
        } else {
                theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
                if (theirs[0] < 0)
                        return -errno;
        }
        for (int i = 0; i < 2; i++) {
                if (pipe2(p, O_CLOEXEC) < 0)
                        return -errno;
                e->out[i] = p[0];
                theirs[1 + i] = p[1];
                int r = fd_set_nonblock(e->out[i], true);
                if (r >= 0)
                        r = sd_event_add_io(e->event, &e->out_source[i], e->out[i], EPOLLIN, on_output, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int begin_stdin(Exec *e) {
        if (e->in < 0)
                return 0;
        if (write_stdin(e)) {
                close_stdin(e);
                return 0;
        }
        return sd_event_add_io(e->event, &e->in_source, e->in, EPOLLOUT, on_stdin, e);
}

static int run(Exec *e, const ExecSpec *spec, const json_t *session_env, Error *error) {
        static char strings[INIT_STRINGS_MAX]; /* one thread, used up before this returns */
        int theirs[3] = { -EBADF, -EBADF, -EBADF };
        InitRequest request = { 0 };

        int r = exec_spec_encode(spec, session_env, strings, &request, error);
        if (r == 0)
                r = make_streams(e, theirs);
        if (r == 0)
                r = sandbox_run(e->sandbox, &e->job, &request, strings, theirs);
        fds_close(theirs, 3);
        if (r == -EMFILE && e->sandbox->n_jobs >= INIT_EXECS_MAX)
                return error_set_field(error, ERROR_QUOTA, "execs", "64", "64 commands run in this session already.");
        if (r == 0)
                r = begin_stdin(e);
        if (r == 0)
                r = sd_event_add_time_relative(e->event, &e->timer, CLOCK_MONOTONIC, spec->timeout, 1, on_timer, e);
        return r;
}

int exec_start(sd_event *event, Sandbox *sandbox, ExecSpec *spec, const json_t *session_env, ExecDone *done,
        void *userdata, Exec **ret, Error *error) {
        _cleanup_(exec_unrefp) Exec *e = malloc(sizeof *e);

        if (!e)
                return -ENOMEM;
        *e = (Exec){
                .n_ref = 1,
                .event = event,
                .sandbox = sandbox_ref(sandbox),
                .job = { .refused = on_refused, .exited = on_exited, .lost = on_lost },
                .out = { -EBADF, -EBADF },
                .in = -EBADF,
                .stdin_data = take_ptr(spec->stdin_data),
                .stdin_length = spec->stdin_length,
                .base64 = spec->base64,
                .capture = { { .max = spec->output_max }, { .max = spec->output_max } },
                .started = clock_monotonic(),
                .exit_code = -1,
        };
        uuid_make(e->id);
        int r = run(e, spec, session_env, error);
        if (r < 0)
                return r;
        e->done = done;
        e->userdata = userdata;
        *ret = exec_ref(e);
        e = NULL;
        return 0;
}

/* --- the answer --- */

static json_t *stream_text(const Exec *e, const Capture *c) {
        _cleanup_free_ char *bytes = NULL, *text = NULL;
        size_t length;

        bytes = capture_join(c, &length);
        if (!bytes)
                return NULL;
        if (e->base64) {
                text = base64_encode(bytes, length);
                return text ? json_string_nocheck(text) : NULL;
        }
        if (utf8_is_valid(bytes, length))
                return json_stringn_nocheck(bytes, length);
        text = utf8_replace(bytes, length, &length);
        return text ? json_stringn_nocheck(text, length) : NULL;
}

static const char *signal_name(int signal) {
        const char *name = sigabbrev_np(signal);

        return name ? name : "RT";
}

json_t *exec_result(const Exec *e) {
        _cleanup_json_ json_t *j = json_object();
        int r = 0;

        if (!j)
                return NULL;
        r |= json_object_set_new_nocheck(j, "exec_id", json_string_nocheck(e->id));
        r |= json_object_set_new_nocheck(j, "exit_code", e->exit_code >= 0 ? json_integer(e->exit_code) : json_null());
        r |= json_object_set_new_nocheck(
                j, "signal", e->signal ? json_sprintf("SIG%s", signal_name(e->signal)) : json_null());
        r |= json_object_set_new_nocheck(j, "reason", json_string_nocheck(exec_reason_text(e->reason)));
        r |= json_object_set_new_nocheck(j, "stdout", stream_text(e, &e->capture[0]));
        r |= json_object_set_new_nocheck(j, "stderr", stream_text(e, &e->capture[1]));
        r |= json_object_set_new_nocheck(j, "stdout_truncated", json_boolean(capture_is_truncated(&e->capture[0])));
        r |= json_object_set_new_nocheck(j, "stderr_truncated", json_boolean(capture_is_truncated(&e->capture[1])));
        r |= json_object_set_new_nocheck(j, "stdout_bytes", json_integer((json_int_t) e->capture[0].total));
        r |= json_object_set_new_nocheck(j, "stderr_bytes", json_integer((json_int_t) e->capture[1].total));
        r |= json_object_set_new_nocheck(j, "duration_ms", json_real((double) (e->ended - e->started) / 1000.0));
        r |= json_object_set_new_nocheck(j, "cpu_ms", json_real((double) e->cpu_usec / 1000.0));
        r |= json_object_set_new_nocheck(j, "max_rss_kb", json_integer((json_int_t) (e->max_rss / 1024)));
        return r == 0 ? take_ptr(j) : NULL;
}
