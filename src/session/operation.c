/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/operation.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/backend.h"
#include "session/manager-internal.h"
#include "session/operation-internal.h"

#define WIDE_PIPE (1024 * 1024)
#define GRACE_USEC (2 * USEC_PER_SEC) /* for what ends by itself once its pipes are closed */
#define FILTER_ARGC_MAX 4U
#define STRINGS_MAX (sizeof SANDBOX_HOME + FILE_STRINGS_MAX)

static void stream_close(Stream *s) {
        s->source = sd_event_source_disable_unref(s->source);
        s->fd = fd_close(s->fd);
}

static bool is_over(const Operation *o) {
        return o->process_over && o->filter.pidfd < 0;
}

static bool stream_waits(const Stream *s) {
        int enabled = SD_EVENT_OFF;

        return s->source && sd_event_source_get_enabled(s->source, &enabled) >= 0 && enabled != SD_EVENT_OFF;
}

static void close_pipes(Operation *o) {
        stream_close(&o->out);
        stream_close(&o->in);
        o->control = fd_close(o->control);
}

Operation *operation_unref(Operation *o) {
        if (--o->n_ref > 0)
                return NULL;
        close_pipes(o);
        o->deadline = sd_event_source_disable_unref(o->deadline);
        o->end = sd_event_source_disable_unref(o->end);
        filter_clear(&o->filter);
        quick_clear(&o->quick);
        (void) sandbox_unref(o->sandbox);
        free_counted(o);
        return NULL;
}

static void kill_processes(Operation *o) {
        filter_kill(&o->filter);
        if (o->job.number != 0)
                (void) sandbox_signal(o->sandbox, &o->job, SIGKILL, INIT_SCOPE_EVERYTHING);
}

/* --- its end --- */

static int on_end(sd_event_source *source, void *userdata) {
        Operation *o = userdata;

        (void) source;
        o->end = sd_event_source_disable_unref(o->end);
        if (o->told || !o->handlers)
                return 0;
        o->told = true;
        close_pipes(o);
        if (o->handlers->ended)
                o->handlers->ended(o, o->userdata);
        return 0;
}

/* From the loop, since the caller may be in the middle of something. */
void operation_tell_end(Operation *o) {
        o->deadline = sd_event_source_disable_unref(o->deadline);
        if (o->told || o->end || !o->handlers)
                return;
        if (sd_event_add_defer(o->event, &o->end, on_end, o) < 0)
                (void) on_end(NULL, o);
}

void operation_fail(Operation *o, OperationResult result) {
        if (o->told || o->end)
                return;
        o->result = result;
        kill_processes(o);
        operation_tell_end(o);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Operation *o = userdata;

        (void) source;
        (void) usec;
        if (o->handlers)
                operation_fail(o, OPERATION_SILENT);
        else
                kill_processes(o);
        return 0;
}

static void set_deadline(Operation *o, usec_t patience) {
        if (patience == USEC_INFINITY)
                return;
        if (!o->deadline) {
                (void) sd_event_add_time_relative(
                        o->event, &o->deadline, CLOCK_MONOTONIC, patience, USEC_PER_SEC / 4, on_deadline, o);
                return;
        }
        (void) sd_event_source_set_time_relative(o->deadline, patience);
        (void) sd_event_source_set_enabled(o->deadline, SD_EVENT_ONESHOT);
}

/* Is it what we wait for? A client may take its time. */
static void watch_deadline(Operation *o) {
        bool waits = stream_waits(&o->in) || (stream_waits(&o->out) && !(o->feeds && o->in.fd >= 0)) ||
                     (o->out.fd < 0 && !is_over(o));

        if (waits)
                set_deadline(o, o->patience);
        else if (o->deadline)
                (void) sd_event_source_set_enabled(o->deadline, SD_EVENT_OFF);
}

static void check_end(Operation *o) {
        if (is_over(o) && o->out.fd < 0)
                operation_tell_end(o);
        else
                watch_deadline(o);
}

/* --- what process 1, and the filter, tell --- */

/* The filter's refusal is why its other side failed too. */
static void weigh_filter(Operation *o) {
        if (o->filter.status == FILTER_REFUSED) {
                o->result = OPERATION_FAILED;
                o->error = EBADMSG;
        } else if (o->filter.status > 0 && o->process_over && o->result == OPERATION_DONE)
                o->result = OPERATION_KILLED;
}

static void on_filter_over(Filter *f, void *userdata) {
        Operation *o = userdata;

        (void) f;
        if (o->result == OPERATION_DONE || o->result == OPERATION_FAILED)
                weigh_filter(o);
        if (o->handlers)
                check_end(o);
}

static void process_over(Operation *o) {
        o->process_over = true;
        stream_close(&o->in); /* nobody reads it */
        o->control = fd_close(o->control);
        if (!filter_is_over(&o->filter) && o->result != OPERATION_DONE)
                filter_kill(&o->filter); /* it did not end before, so it is not the reason */
        weigh_filter(o);
        if (o->handlers) {
                /* a failure is told at once; whoever does not read will not either */
                if (o->result != OPERATION_DONE)
                        stream_close(&o->out);
                check_end(o);
        }
        o->sandbox = sandbox_unref(o->sandbox);
        (void) operation_unref(o);
}

static bool memory_ran_out(Operation *o) {
        BackendUsage u;

        if (o->sandbox->backend->ops->usage(o->sandbox->backend, o->sandbox, &u) < 0)
                return false;
        bool oom = u.oom_kills > o->sandbox->seen_oom_kills;
        o->sandbox->seen_oom_kills = u.oom_kills;
        return oom;
}

static void on_exited(SandboxJob *j, const InitEvent *e) {
        Operation *o = CONTAINER_OF(j, Operation, job);

        if (o->result == OPERATION_DONE && WIFEXITED(e->status)) {
                o->error = WEXITSTATUS(e->status);
                o->result = o->error ? OPERATION_FAILED : OPERATION_DONE;
        } else if (o->result == OPERATION_DONE)
                o->result = memory_ran_out(o) ? OPERATION_NO_MEMORY : OPERATION_KILLED;
        process_over(o);
}

static void on_refused(SandboxJob *j, const InitEvent *e) {
        Operation *o = CONTAINER_OF(j, Operation, job);

        o->error = e->error;
        o->result = e->stage != INIT_STAGE_FORK ? OPERATION_FAILED
                    : e->error == EAGAIN        ? OPERATION_NO_TASK
                    : e->error == ENOMEM        ? OPERATION_NO_MEMORY
                                                : OPERATION_FAILED;
        process_over(o);
}

static void on_lost(SandboxJob *j) {
        Operation *o = CONTAINER_OF(j, Operation, job);

        if (o->result == OPERATION_DONE)
                o->result = OPERATION_LOST;
        process_over(o);
}

/* --- its pipes --- */

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Operation *o = userdata;

        (void) source;
        (void) fd;
        (void) revents;
        watch_deadline(o);
        if (o->handlers && o->handlers->readable && !o->told)
                o->handlers->readable(o, o->userdata);
        return 0;
}

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Operation *o = userdata;

        (void) source;
        (void) fd;
        (void) revents;
        watch_deadline(o);
        if (o->handlers && o->handlers->writable && !o->told)
                o->handlers->writable(o, o->userdata);
        return 0;
}

static void wait_for(Operation *o, Stream *s, uint32_t events, sd_event_io_handler_t handler) {
        int r;

        if (s->source)
                r = sd_event_source_set_enabled(s->source, SD_EVENT_ONESHOT);
        else {
                r = sd_event_add_io(o->event, &s->source, s->fd, events, handler, o);
                if (r >= 0)
                        r = sd_event_source_set_enabled(s->source, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                operation_fail(o, OPERATION_KILLED);
        else
                watch_deadline(o);
}

void operation_await(Operation *o) {
        wait_for(o, &o->out, EPOLLIN, on_readable);
}

ssize_t operation_read(Operation *o, void *buf, size_t size) {
        if (o->quick.on)
                return quick_read(o, buf, size);
        if (o->out.fd < 0)
                return OPERATION_END;

        ssize_t n = read(o->out.fd, buf, size);
        if (n > 0)
                return n;
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                wait_for(o, &o->out, EPOLLIN, on_readable);
                return 0;
        }
        stream_close(&o->out);
        check_end(o);
        return OPERATION_END;
}

size_t operation_write(Operation *o, const void *data, size_t size) {
        if (o->quick.on)
                return quick_write(o, data, size);
        if (o->in.fd < 0)
                return size; /* it has ended, ended() tells why */

        ssize_t n = write(o->in.fd, data, size);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
                stream_close(&o->in);
                watch_deadline(o);
                return size;
        }
        size_t taken = n > 0 ? (size_t) n : 0;
        o->written += taken;
        if (taken < size)
                wait_for(o, &o->in, EPOLLOUT, on_writable);
        return taken;
}

void operation_finish(Operation *o, bool commit) {
        FileCommit c = { .length = o->written };

        if (o->quick.on) {
                if (commit)
                        quick_ask(o);
                return;
        }
        if (commit && o->control >= 0 && write(o->control, &c, sizeof c) != (ssize_t) sizeof c)
                commit = false; /* it has ended already */
        o->control = fd_close(o->control);
        stream_close(&o->in);
        watch_deadline(o);
}

uint64_t operation_written(const Operation *o) {
        return o->written;
}

void operation_widen(Operation *o) {
        /* refused where the user's share of memory for pipes is used up: slower then */
        if (o->out.fd >= 0)
                (void) fcntl(o->out.fd, F_SETPIPE_SZ, WIDE_PIPE);
        if (o->in.fd >= 0)
                (void) fcntl(o->in.fd, F_SETPIPE_SZ, WIDE_PIPE);
}

void operation_break(Operation *o) {
        operation_fail(o, OPERATION_KILLED);
}

Operation *operation_drop(Operation *o) {
        if (!o)
                return NULL;
        o->handlers = NULL;
        quick_drop(o);
        close_pipes(o);
        o->end = sd_event_source_disable_unref(o->end);
        if (!o->process_over)
                set_deadline(o, GRACE_USEC);
        return operation_unref(o);
}

OperationResult operation_result(const Operation *o) {
        return o->result;
}

int operation_errno(const Operation *o) {
        return o->result == OPERATION_FAILED ? o->error : 0;
}

int operation_error(const Operation *o, Error *error) {
        switch (o->result) {
        case OPERATION_LOST:
                return error_set(error, ERROR_SESSION_ENDED, "The session has ended.");
        case OPERATION_SILENT:
                return error_set(error, ERROR_NO_ANSWER,
                        "The sandbox did nothing for %llu s: it may be paused, or its processor time used up.",
                        (unsigned long long) (o->patience / USEC_PER_SEC));
        case OPERATION_NO_MEMORY:
                return error_set_field(error, ERROR_DISK_LIMIT, "memory_limit", NULL,
                        "The memory limit of the session is reached; files in its memory count too.");
        case OPERATION_NO_TASK:
                return error_set_field(error, ERROR_QUOTA, "pids_limit", NULL,
                        "The session runs as many processes as it may: there is room for no more.");
        case OPERATION_KILLED:
                return error_set(error, ERROR_INTERNAL,
                        "What worked on this inside the sandbox was killed before it had finished.");
        case OPERATION_FAILED:
                return error_set(error, ERROR_INTERNAL, "The sandbox could not do this: %s.", strerror(o->error));
        default:
                return error_set(error, ERROR_INTERNAL, "The sandbox gave no result.");
        }
}

const char *operation_reason(const Operation *o) {
        return o->filter.reason[0] ? o->filter.reason : NULL;
}

/* --- its beginning --- */

static int make_pipe(int *ret_read, int *ret_write, int *ours) {
        int p[2];

        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        *ret_read = p[0];
        *ret_write = p[1];
        return fd_set_nonblock(*ours, true);
}

/* The program for archives, with a pipe between it and the sandbox. @theirs: what would go inside without it. */
static int start_filter(Operation *o, const OperationSpec *spec, const char *program, int theirs[static 3]) {
        bool input = spec->filter == OPERATION_FILTER_INPUT;
        const char *argv[FILTER_ARGC_MAX + 2] = { program };
        int p[2];

        for (size_t i = 0; i < FILTER_ARGC_MAX && spec->filter_argv[i]; i++)
                argv[i + 1] = spec->filter_argv[i];
        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        (void) fcntl(p[0], F_SETPIPE_SZ, WIDE_PIPE);
        int r = filter_start(
                &o->filter, o->event, argv, input ? theirs[0] : p[0], input ? p[1] : theirs[1], on_filter_over, o);
        (void) fd_close(theirs[input ? 0 : 1]);
        theirs[input ? 0 : 1] = p[input ? 0 : 1];
        (void) fd_close(p[input ? 1 : 0]);
        return r;
}

/* @theirs: what goes inside. */
static int open_pipes(Operation *o, const OperationSpec *spec, const char *program, int theirs[static 3]) {
        int file = spec->filter_fd <= 0 ? -1 : spec->filter == OPERATION_FILTER_INPUT ? 0 : 1, r = 0;

        if (file >= 0) {
                theirs[file] = fcntl(spec->filter_fd, F_DUPFD_CLOEXEC, 3);
                r = theirs[file] < 0 ? -errno : 0;
        }
        if (r == 0 && spec->input)
                r = make_pipe(&theirs[0], &o->in.fd, &o->in.fd);
        if (r == 0 && file != 1)
                r = make_pipe(&o->out.fd, &theirs[1], &o->out.fd);
        if (r == 0 && spec->control)
                r = make_pipe(&theirs[2], &o->control, &o->control);
        for (int i = 0; r == 0 && i < 3; i++)
                if (theirs[i] < 0) {
                        theirs[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
                        r = theirs[i] < 0 ? -errno : 0;
                }
        if (r == 0 && spec->filter != OPERATION_UNFILTERED)
                r = start_filter(o, spec, program, theirs);
        return r;
}

static int encode(const char *const *argv, char buf[static STRINGS_MAX], InitRequest *ret) {
        size_t used = sizeof SANDBOX_HOME;

        memcpy(buf, SANDBOX_HOME, used);
        for (; argv[ret->argc]; ret->argc++) {
                size_t n = strlen(argv[ret->argc]) + 1;
                if (used + n > STRINGS_MAX)
                        return -ENAMETOOLONG;
                memcpy(buf + used, argv[ret->argc], n);
                used += n;
        }
        ret->length = (uint32_t) used;
        return 0;
}

int operation_run(Operation *o, const OperationSpec *spec, const char *program) {
        int theirs[3] = { -EBADF, -EBADF, -EBADF };
        InitRequest request = { .flags = INIT_FLAG_BUILTIN };
        char strings[STRINGS_MAX];

        int r = encode(spec->argv, strings, &request);
        if (r == 0)
                r = open_pipes(o, spec, program, theirs);
        if (r == 0) {
                int fds[4] = { theirs[0], theirs[1], theirs[2], spec->passed_fd };
                r = sandbox_run(o->sandbox, &o->job, &request, strings, fds, spec->passed_fd > 0 ? 4 : 3);
        }
        fds_close(theirs, 3);
        if (r == 0)
                o->n_ref++; /* the job's */
        if (r == 0 && o->out.fd < 0)
                watch_deadline(o); /* there is nothing to read but its end */
        return r;
}

static int gone(const Session *s, Error *error) {
        SessionEndReason reason = s->ended ? s->end_reason : SESSION_LOST;

        int r = error_set(error, ERROR_SESSION_ENDED, "The session has ended.");
        if (error)
                (void) snprintf(error->reason, sizeof error->reason, "%s", session_end_reason_text(reason));
        return r;
}

int operation_start(Session *s, const OperationSpec *spec, Operation **ret, Error *error) {
        if (s->ended)
                return gone(s, error);
        (void) session_resume(s);

        Operation *o = malloc(sizeof *o);
        if (!o)
                return -ENOMEM;
        *o = (Operation){
                .n_ref = 1,
                .event = s->manager->event,
                .sandbox = sandbox_ref(s->sandbox),
                .job = { .refused = on_refused, .exited = on_exited, .lost = on_lost },
                .handlers = spec->handlers,
                .userdata = spec->userdata,
                .out.fd = -EBADF,
                .in.fd = -EBADF,
                .control = -EBADF,
                .filter = FILTER_EMPTY,
                .feeds = spec->control || spec->filter == OPERATION_FILTER_INPUT,
                .patience = spec->patience,
        };
        int r = spec->quick ? quick_start(o, s, spec) : operation_run(o, spec, s->manager->settings.archiver);
        if (r < 0) {
                bool full = r == -EMFILE && s->sandbox->n_jobs >= INIT_EXECS_MAX;
                (void) operation_unref(o);
                if (full)
                        return error_set_field(
                                error, ERROR_QUOTA, "execs", "64", "64 commands run in this session already.");
                return r == -ENOTCONN || r == -EOWNERDEAD ? gone(s, error) : r;
        }
        *ret = o;
        return 0;
}
