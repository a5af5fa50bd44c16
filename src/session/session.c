/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/session.h"

#include <string.h>

#include "runtime/backend.h"
#include "session/attendant.h"
#include "session/context.h"
#include "session/manager-internal.h"
#include "session/port.h"

#define ENDED_EXECS_MAX 32U
#define LOG_BYTES_MAX (16 * MIB)         /* of output that is kept, beyond which commands that ended are forgotten */
#define RUNNING_LOG_BYTES_MAX (64 * MIB) /* that may be kept of commands that run */

const char *session_end_reason_text(SessionEndReason reason) {
        static const char *const texts[] = {
#define SESSION_END_TEXT(name, text) [SESSION_##name] = text,
                SESSION_END_REASONS(SESSION_END_TEXT)
#undef SESSION_END_TEXT
        };
        assert(reason < SESSION_END_REASON_MAX_);
        return texts[reason];
}

Session *session_ref(Session *s) {
        s->n_ref++;
        return s;
}

static void forget_exec(Session *s, Exec *e) {
        TAILQ_REMOVE(&s->execs, e, entry);
        s->n_execs--;
        (void) exec_unref(e);
}

Session *session_unref(Session *s) {
        Exec *e;

        if (!s || --s->n_ref > 0)
                return NULL;

        assert(LIST_EMPTY(&s->end_waiters));
        context_forget_all(s);
        s->attendant = attendant_free(s->attendant);
        while ((e = TAILQ_FIRST(&s->execs)))
                forget_exec(s, e);
        s->deadline_source = sd_event_source_disable_unref(s->deadline_source);
        if (s->sandbox)
                sandbox_set_owner(s->sandbox, NULL, NULL);
        (void) sandbox_unref(s->sandbox);
        free(s->key);
        free(s->key_index);
        free(s->owner);
        free(s->image);
        free(s->base);
        free(s->cwd);
        free(s->request_id);
        free(s->caller);
        json_decref(s->env);
        json_decref(s->metadata);
        free_counted(s);
        return NULL;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        session_end(userdata, SESSION_EXPIRED);
        return 0;
}

int session_set_timeout(Session *s, usec_t timeout) {
        int r;

        s->timeout = timeout;
        s->deadline = clock_monotonic() + timeout;
        if (s->left > 0) { /* its clock is stopped, and so it stays */
                s->left = timeout;
                r = 0;
        } else if (s->deadline_source) {
                r = sd_event_source_set_time(s->deadline_source, s->deadline);
                if (r >= 0)
                        r = sd_event_source_set_enabled(s->deadline_source, SD_EVENT_ONESHOT);
        } else
                r = sd_event_add_time(
                        s->manager->event, &s->deadline_source, CLOCK_MONOTONIC, s->deadline, 0, on_deadline, s);
        if (r >= 0 && s->entry) { /* one that can be found already */
                session_save(s);
                session_announce_change(s);
        }
        return r < 0 ? r : 0;
}

int session_arm_deadline(Session *s) {
        int r = sd_event_add_time(
                s->manager->event, &s->deadline_source, CLOCK_MONOTONIC, s->deadline, 0, on_deadline, s);

        return r < 0 ? r : 0;
}

int session_pause(Session *s, bool stop_clock, Error *error) {
        usec_t now = clock_monotonic();

        if (!s->sandbox->backend->can_freeze)
                return error_set(error, ERROR_WRONG_STATE,
                        "Sessions cannot be paused here: the worker has no control groups (cgroup version 2).");
        if (s->paused)
                return error_set(error, ERROR_WRONG_STATE, "The session is paused already.");
        s->paused = true;
        if (stop_clock) {
                s->left = s->deadline > now ? s->deadline - now : 1;
                (void) sd_event_source_set_enabled(s->deadline_source, SD_EVENT_OFF);
        }
        sandbox_freeze(s->sandbox, true);
        session_save(s);
        session_announce_change(s);
        return 0;
}

int session_resume(Session *s) {
        usec_t left = s->left;
        int r = 0;

        if (!s->paused)
                return 0;
        s->paused = false;
        s->left = 0;
        sandbox_freeze(s->sandbox, false);
        if (left > 0) {
                s->deadline = clock_monotonic() + left;
                r = sd_event_source_set_time(s->deadline_source, s->deadline);
                if (r >= 0)
                        r = sd_event_source_set_enabled(s->deadline_source, SD_EVENT_ONESHOT);
        }
        session_save(s);
        session_announce_change(s);
        return r < 0 ? r : 0;
}

void session_set_metadata(Session *s, json_t *metadata) {
        json_decref(s->metadata);
        s->metadata = json_incref(metadata);
        session_save(s);
        session_announce_change(s);
}

static void on_exec_ended(Exec *e, void *userdata) {
        Session *s = userdata;

        session_announce_exec(s, e);
        (void) session_unref(s);
}

/* The reference is taken. */
void session_add_exec(Session *s, Exec *e) {
        if (!e->is_done && !e->session_done) {
                e->session_done = on_exec_ended;
                e->session_userdata = session_ref(s);
        }
        TAILQ_INSERT_TAIL(&s->execs, e, entry);
        s->n_execs++;
}

/* Only so many of those that ended are kept, and only so much of their output. */
static void forget_old_execs(Session *s) {
        Exec *e, *next;
        uint64_t bytes = 0;
        unsigned n = 0;

        TAILQ_FOREACH(e, &s->execs, entry) {
                bytes += output_end(&e->log) - output_first(&e->log);
                n += e->is_done;
        }
        for (e = TAILQ_FIRST(&s->execs); e && (n > ENDED_EXECS_MAX || bytes > LOG_BYTES_MAX); e = next) {
                next = TAILQ_NEXT(e, entry);
                if (!e->is_done || !LIST_EMPTY(&e->readers))
                        continue;
                bytes -= output_end(&e->log) - output_first(&e->log);
                n--;
                exec_forget(e);
                forget_exec(s, e);
        }
}

/* How much output of one more command may be kept, beside that of those that run. */
static uint64_t log_room(const Session *s) {
        const Exec *e;
        uint64_t used = 0;

        TAILQ_FOREACH(e, &s->execs, entry)
        used += e->is_done ? 0 : e->log.max;
        return used < RUNNING_LOG_BYTES_MAX ? RUNNING_LOG_BYTES_MAX - used : 0;
}

int session_exec(Session *s, ExecSpec *spec, bool follow, ExecDone *done, void *userdata, Exec **ret, Error *error) {
        bool keeps_log = follow || spec->background || spec->pty, anywhere = !spec->cwd;

        (void) session_resume(s);
        if (anywhere)
                spec->cwd = s->cwd; /* borrowed */
        if (keeps_log)
                spec->output_max = MIN(spec->output_max, log_room(s));

        int r = s->ended ? -ENOTCONN
                         : exec_start(
                                   s->manager->event, s->sandbox, spec, s->env, keeps_log, done, userdata, ret, error);
        if (anywhere)
                spec->cwd = NULL;
        if (r >= 0) {
                (*ret)->session_done = on_exec_ended;
                (*ret)->session_userdata = session_ref(s);
        }
        if (r >= 0 && keeps_log) {
                forget_old_execs(s);
                session_add_exec(s, exec_ref(*ret));
        }
        if (r != -ENOTCONN)
                return r;
        r = error_set(error, ERROR_SESSION_ENDED, "The session has ended.");
        if (error)
                (void) strncpy(error->reason, session_end_reason_text(s->ended ? s->end_reason : SESSION_LOST),
                        sizeof error->reason - 1);
        return r;
}

int session_find_exec(const Session *s, const char *id, Exec **ret, Error *error) {
        Exec *e;

        TAILQ_FOREACH(e, &s->execs, entry)
        if (strcmp(e->id, id) == 0) {
                *ret = e;
                return 0;
        }
        return error_set_field(error, ERROR_NOT_FOUND, "exec_id", NULL,
                "There is no command with this id: it was not run in the background or followed, or it ended long "
                "ago.");
}

/* Nothing of it runs any more. */
static void tell_end_waiters(Session *s) {
        SessionEndWaiter *w;

        while ((w = LIST_FIRST(&s->end_waiters))) {
                session_end_waiter_cancel(w);
                w->ended(w);
        }
}

static void on_sandbox(Sandbox *sandbox, void *userdata) {
        Session *s = userdata;

        (void) session_ref(s);
        if (!s->ended)
                session_end(s, SESSION_LOST);
        if (sandbox->state == SANDBOX_EMPTY && !s->is_empty) {
                s->is_empty = true;
                s->manager->n_empty++;
        }
        if (sandbox->state == SANDBOX_ENDED) {
                s->manager->n_ending--;
                s->manager->n_empty -= s->is_empty;
                s->is_empty = false;
                creations_retry(s->manager); /* its place is free now */
                sandbox_set_owner(sandbox, NULL, NULL);
        }
        if (sandbox->state >= SANDBOX_EMPTY) {
                s->deadline_source = sd_event_source_disable_unref(s->deadline_source);
                tell_end_waiters(s);
        }
        if (sandbox->state == SANDBOX_ENDED)
                (void) session_unref(s); /* the reference that session_end() kept */
        (void) session_unref(s);
}

void session_end(Session *s, SessionEndReason reason) {
        if (s->ended)
                return;
        s->ended = true;
        s->end_reason = reason;
        s->deadline_source = sd_event_source_disable_unref(s->deadline_source);
        s->manager->n_ending++;
        (void) session_ref(s); /* until the sandbox has ended */
        session_removed(s);
        port_uses_end(s);
        sandbox_set_owner(s->sandbox, on_sandbox, s);
        backend_kill(s->sandbox->backend, s->sandbox);
        /* commands are told now, their clients need not wait for the last process; the sandbox goes on to its end */
        if (s->sandbox->state < SANDBOX_DYING)
                sandbox_set_state(s->sandbox, SANDBOX_DYING);
        else if (s->sandbox->state >= SANDBOX_EMPTY)
                on_sandbox(s->sandbox, s);
}

static int on_impatient(sd_event_source *source, uint64_t usec, void *userdata) {
        Session *s = userdata;

        (void) source;
        (void) usec;
        (void) session_ref(s);
        s->deadline_source = sd_event_source_disable_unref(s->deadline_source);
        tell_end_waiters(s);
        (void) session_unref(s);
        return 0;
}

bool session_wait_end(Session *s, SessionEndWaiter *w) {
        assert(s->ended);

        if (s->sandbox->state >= SANDBOX_EMPTY)
                return false;
        if (!s->deadline_source) /* without memory for it: for as long as it takes */
                (void) sd_event_add_time_relative(s->manager->event, &s->deadline_source, CLOCK_MONOTONIC,
                        SESSION_END_PATIENCE_USEC, USEC_PER_SEC, on_impatient, s);
        LIST_INSERT_HEAD(&s->end_waiters, w, entry);
        return true;
}

void session_end_waiter_cancel(SessionEndWaiter *w) {
        if (!w->entry.le_prev)
                return;
        LIST_REMOVE(w, entry);
        w->entry.le_prev = NULL;
}

json_t *session_usage(const Session *s) {
        _cleanup_json_ json_t *j = json_object();
        BackendUsage u;
        uint64_t disk;
        int r = 0;

        if (!j || s->ended)
                return NULL;
        if (s->sandbox->backend->ops->usage(s->sandbox->backend, s->sandbox, &u) >= 0) {
                r |= json_object_set_new_nocheck(j, "memory", json_integer((json_int_t) u.memory));
                r |= json_object_set_new_nocheck(j, "cpu_usec", json_integer((json_int_t) u.cpu_usec));
                r |= json_object_set_new_nocheck(j, "pids", json_integer((json_int_t) u.pids));
        }
        if (sandbox_disk_used(s->sandbox, &disk) == 0)
                r |= json_object_set_new_nocheck(j, "disk", json_integer((json_int_t) MIN(disk, (uint64_t) INT64_MAX)));
        return r == 0 && json_object_size(j) > 0 ? take_ptr(j) : NULL;
}
