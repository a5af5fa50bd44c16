/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/context.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "session/context-internal.h"
#include "session/manager-internal.h"

#define LOG_MAX MIB /* bytes of output for those who come back */
#define START_PATIENCE_USEC (30 * USEC_PER_SEC)
#define INTERRUPT_PATIENCE_USEC (2 * USEC_PER_SEC) /* for code that has to end, before the interpreter is killed */

const char *context_state_text(ContextState state) {
        static const char *const texts[] = {
#define CONTEXT_STATE_TEXT(name, text) [CONTEXT_##name] = text,
                CONTEXT_STATES(CONTEXT_STATE_TEXT)
#undef CONTEXT_STATE_TEXT
        };
        assert(state < CONTEXT_STATE_MAX_);
        return texts[state];
}

Context *context_ref(Context *c) {
        c->n_ref++;
        return c;
}

Context *context_unref(Context *c) {
        if (!c || --c->n_ref > 0)
                return NULL;
        assert(LIST_EMPTY(&c->waiters) && TAILQ_EMPTY(&c->queue) && !c->run);
        context_channel_close(c);
        c->timer = sd_event_source_disable_unref(c->timer);
        (void) exec_unref(c->exec);
        context_spec_clear(&c->spec);
        free_counted(c);
        return NULL;
}

static Context *context_new(sd_event *event, const Language *language) {
        Context *c = malloc(sizeof *c);

        if (!c)
                return NULL;
        *c = (Context){
                .n_ref = 1,
                .event = event,
                .language = language,
                .created = clock_realtime(),
                .channel = -EBADF,
        };
        uuid_make(c->id);
        LIST_INIT(&c->waiters);
        TAILQ_INIT(&c->queue);
        return c;
}

/* --- states --- */

static void leave_session(Context *c) {
        if (!c->session)
                return;
        TAILQ_REMOVE(&c->session->contexts, c, entry);
        c->session->n_contexts--;
        c->session = NULL;
        (void) context_unref(c);
}

static void set_state(Context *c, ContextState state) {
        ContextWaiter *w, *next;

        c->state = state;
        if (state == CONTEXT_STARTING)
                return;
        (void) context_ref(c);
        for (w = LIST_FIRST(&c->waiters); w; w = next) {
                next = LIST_NEXT(w, entry);
                if (w->for_end && state != CONTEXT_ENDED)
                        continue;
                context_waiter_cancel(w);
                w->changed(w);
                next = LIST_FIRST(&c->waiters); /* it may have taken others with it */
        }
        if (state == CONTEXT_ENDED && c->leaving)
                leave_session(c);
        (void) context_unref(c);
}

bool context_wait(Context *c, ContextWaiter *w) {
        if (w->for_end ? c->state == CONTEXT_ENDED && !c->restarting : c->state != CONTEXT_STARTING && !c->restarting)
                return false;
        LIST_INSERT_HEAD(&c->waiters, w, entry);
        return true;
}

void context_waiter_cancel(ContextWaiter *w) {
        if (!w->entry.le_prev)
                return;
        LIST_REMOVE(w, entry);
        w->entry.le_prev = NULL;
}

static void arm(Context *c, usec_t usec, sd_event_time_handler_t handler) {
        c->timer = sd_event_source_disable_unref(c->timer);
        (void) sd_event_add_time_relative(c->event, &c->timer, CLOCK_MONOTONIC, usec, 1, handler, c);
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata) {
        Context *c = userdata;

        (void) source;
        (void) usec;
        exec_kill(c->exec, c->state == CONTEXT_STARTING ? EXEC_TIMEOUT : EXEC_LOST);
        return 0;
}

void context_expect_end(Context *c, usec_t patience) {
        arm(c, patience, on_late);
}

/* It waits for code: the driver has said so, and which process it is is known. */
void context_check_ready(Context *c) {
        if (c->state != CONTEXT_STARTING || !c->ready || c->exec->pid == 0)
                return;
        exec_reader_detach(c->exec, &c->starter);
        c->timer = sd_event_source_disable_unref(c->timer);
        set_state(c, CONTEXT_IDLE);
        context_next_run(c);
}

static void on_started(ExecReader *reader) {
        context_check_ready(CONTAINER_OF(reader, Context, starter));
}

/* --- runs --- */

static void on_interrupt_sent(Exec *e, void *userdata) {
        Context *c = userdata;

        (void) e;
        c->signalling = false;
        context_next_run(c);
}

static void interrupt(Context *c) {
        if (!c->run->begun) {
                c->run->interrupt_wanted = true; /* once it has */
                return;
        }
        if (c->signalling)
                return;
        c->run->interrupt_wanted = false;
        c->run->interrupted = true;
        c->signalling = exec_interrupt(c->exec, on_interrupt_sent, c) >= 0;
}

void context_run_has_begun(Context *c) {
        c->run->begun = true;
        if (c->run->interrupt_wanted)
                interrupt(c);
        if (c->run->follows && c->run->wake)
                c->run->wake(c->run, c->run->userdata);
}

/* Time is over: it is interrupted, which keeps the state; after that the interpreter is killed. */
static int on_run_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Context *c = userdata;

        (void) usec;
        if (c->run->timed_out) {
                exec_kill(c->exec, EXEC_TIMEOUT);
                return 0;
        }
        c->run->timed_out = true;
        (void) sd_event_source_set_time_relative(source, INTERRUPT_PATIENCE_USEC);
        (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        interrupt(c);
        return 0;
}

void context_next_run(Context *c) {
        Run *r = TAILQ_FIRST(&c->queue);

        if (c->run || c->signalling || !r || c->state != CONTEXT_IDLE)
                return;
        TAILQ_REMOVE(&c->queue, r, entry);
        c->n_queue--;
        c->run = r;
        c->state = CONTEXT_RUNNING;
        run_begin(r, ++c->n_runs, c->exec);
        c->owes_taken = false;
        int k = context_channel_send(c, "run", r->code);
        if (k >= 0)
                k = sd_event_add_time_relative(c->event, &r->timer, CLOCK_MONOTONIC, r->timeout, 1, on_run_timer, c);
        free(take_ptr(r->code));
        if (k < 0)
                exec_kill(c->exec, EXEC_LOST);
}

void context_finish_run(Context *c, RunStatus status, int exit_code) {
        _cleanup_(run_unrefp) Run *r = take_ptr(c->run);

        (void) context_ref(c);
        if (c->state == CONTEXT_RUNNING)
                c->state = CONTEXT_IDLE;
        run_finish(r, status, exit_code);
        context_next_run(c);
        (void) context_unref(c);
}

int context_run(Context *c, RunSpec *spec, bool follows, void (*wake)(Run *r, void *userdata), void *userdata,
        Run **ret, Error *error) {
        Run *r;

        if (c->state == CONTEXT_ENDED || c->leaving)
                return error_set(error, ERROR_WRONG_STATE,
                        "The interpreter has ended (%s), and its state with it; \"restart\" starts it anew.",
                        exec_reason_text(c->exec->reason));
        if (c->n_queue >= CONTEXT_QUEUE_MAX)
                return error_set_field(error, ERROR_QUOTA, "runs", "32", "32 runs wait in this context already.");
        int k = run_new(c, spec, follows, wake, userdata, &r);
        if (k < 0)
                return k;
        TAILQ_INSERT_TAIL(&c->queue, r, entry);
        c->n_queue++;
        *ret = run_ref(r);
        context_next_run(c);
        return 0;
}

void context_run_cancel(Run *r) {
        Context *c = r->context;

        r->wake = NULL;
        if (r->over)
                return;
        if (c->run == r) {
                exec_reader_detach(r->exec, &r->reader);
                interrupt(c);
                context_resume(c);
                return;
        }
        TAILQ_REMOVE(&c->queue, r, entry);
        c->n_queue--;
        run_finish(r, RUN_INTERRUPTED, -1);
        (void) run_unref(r);
}

int context_interrupt(Context *c, Error *error) {
        if (!c->run)
                return error_set(error, ERROR_WRONG_STATE, "Nothing runs in this context.");
        interrupt(c);
        return 0;
}

/* --- the interpreter --- */

static int start(Context *c, Sandbox *sandbox, const ImageConfig *config, Error *error);

static void end_runs(Context *c) {
        Run *r;

        if (c->run)
                context_finish_run(c, RUN_ENDED, c->exec->exit_code);
        while ((r = TAILQ_FIRST(&c->queue))) {
                TAILQ_REMOVE(&c->queue, r, entry);
                c->n_queue--;
                run_finish(r, RUN_ENDED, -1);
                (void) run_unref(r);
        }
}

static void on_ended(Exec *e, void *userdata) {
        _cleanup_(context_unrefp) Context *c = userdata; /* the reference of the interpreter */

        c->state = CONTEXT_ENDED;
        c->signalling = false;
        c->timer = sd_event_source_disable_unref(c->timer);
        exec_reader_detach(e, &c->starter);
        context_channel_drain(c);
        context_channel_close(c);
        end_runs(c);
        if (c->restarting && c->session && !c->session->ended) {
                c->restarting = false;
                if (start(c, NULL, NULL, NULL) >= 0)
                        return;
        }
        c->restarting = false;
        set_state(c, CONTEXT_ENDED);
}

/* In its session, or in @sandbox, which is of an image that says @config of commands (or NULL), when it has none yet. */
static int start(Context *c, Sandbox *sandbox, const ImageConfig *config, Error *error) {
        ExecSpec spec = {
                .argv = (char **) c->language->argv,
                .cwd = c->spec.cwd,
                .env = c->spec.env,
                .timeout = USEC_INFINITY,
                .output_max = LOG_MAX,
                .background = true,
                .channel = true,
        };
        Exec *e;
        char label[64];
        int k;

        (void) snprintf(label, sizeof label, "%s (interpreter)", c->language->program);
        spec.label = label;
        while (spec.argv[spec.argc])
                spec.argc++;
        if (c->session)
                k = session_exec(c->session, &spec, true, on_ended, c, &e, error);
        else {
                spec.cwd = config ? config->cwd : NULL;
                k = exec_start(c->event, sandbox, &spec, config ? config->env : NULL, true, on_ended, c, &e, error);
        }
        if (k < 0)
                return k;
        (void) context_ref(c); /* until on_ended() */
        (void) exec_unref(c->exec);
        c->exec = e;
        c->ready = false;
        c->n_runs = 0;
        c->starter.wake = on_started;
        exec_reader_attach(e, &c->starter, UINT64_MAX);
        set_state(c, CONTEXT_STARTING);
        arm(c, START_PATIENCE_USEC, on_late);
        if (context_channel_open(c) < 0)
                exec_kill(e, EXEC_LOST);
        return 0;
}

int context_prepare(Sandbox *sandbox, const Language *language, const ImageConfig *config, Context **ret) {
        _cleanup_(context_unrefp) Context *c =
                context_new(sd_event_source_get_event(sandbox->control_source), language);

        if (!c)
                return -ENOMEM;
        int k = start(c, sandbox, config, NULL);
        if (k < 0)
                return k;
        *ret = take_ptr(c);
        return 0;
}

void context_offer(Session *s, Context *c) {
        if (s->has_own_env && c->state == CONTEXT_IDLE) { /* it has not got that */
                context_end(c);
                (void) context_unref(c);
        } else
                s->prepared = c;
}

/* What waits there in @s, if it is what is asked for. */
static Context *take_prepared(Session *s, const ContextSpec *spec, const Language *language) {
        Context *c = s->prepared;

        if (!c || c->language != language || c->state != CONTEXT_IDLE || json_object_size(spec->env) > 0 ||
                (spec->cwd && strcmp(spec->cwd, s->cwd ? s->cwd : SANDBOX_HOME) != 0))
                return NULL;
        s->prepared = NULL;
        c->created = clock_realtime();
        session_add_exec(s, exec_ref(c->exec));
        return c;
}

int context_start(Session *s, ContextSpec *spec, Context **ret, Error *error) {
        const Language *language = language_find(spec->language);
        _cleanup_(context_unrefp) Context *c = NULL;

        if (!language)
                return error_set_field(error, ERROR_INVALID_VALUE, "language", LANGUAGES_TEXT,
                        "There is no interpreter of this language: \"language\" can be " LANGUAGES_TEXT ".");
        if (s->n_contexts >= CONTEXTS_MAX)
                return error_set_field(
                        error, ERROR_QUOTA, "contexts", "16", "This session has 16 contexts already; delete one.");
        c = s->ended ? NULL : take_prepared(s, spec, language);
        if (!c)
                c = context_new(s->manager->event, language);
        if (!c)
                return -ENOMEM;
        c->session = s;
        if (!c->exec) {
                c->spec = *spec;
                *spec = (ContextSpec){ 0 };
                int k = start(c, NULL, NULL, error);
                if (k < 0)
                        return k;
        }
        TAILQ_INSERT_TAIL(&s->contexts, c, entry);
        s->n_contexts++;
        *ret = take_ptr(c);
        return 0;
}

int context_explain(const Context *c, Error *error) {
        const Exec *e = c->exec;

        if (e->error.kind != ERROR_NONE)
                return error_set_field(error, e->error.kind, e->error.field, e->error.limit[0] ? e->error.limit : NULL,
                        "%s", e->error.detail ? e->error.detail : "");
        if (e->reason == EXEC_EXITED && e->exit_code == 127)
                return error_set_field(error, ERROR_INVALID_VALUE, "language", NULL,
                        "The image of this session has no %s.", c->language->program);
        if (e->reason == EXEC_PIDS || e->reason == EXEC_OOM)
                return error_set(error, ERROR_QUOTA, "%s could not be started: the session's limit of %s is reached.",
                        c->language->program, e->reason == EXEC_PIDS ? "processes" : "memory");
        return error_set(error, ERROR_WRONG_STATE, "%s could not be started: it ended at once (%s).",
                c->language->program, exec_reason_text(e->reason));
}

int context_find(const Session *s, const char *id, Context **ret, Error *error) {
        Context *c;

        TAILQ_FOREACH(c, &s->contexts, entry)
        if (strcmp(c->id, id) == 0) {
                *ret = c;
                return 0;
        }
        return error_set_field(error, ERROR_NOT_FOUND, "context_id", NULL, "There is no context with this id.");
}

json_t *context_describe(const Context *c) {
        char created[TIMESTAMP_MAX];

        return json_pack("{ss ss ss ss so ss sI sI}", "context_id", c->id, "language", c->language->name, "state",
                context_state_text(c->state), "exec_id", c->exec->id, "pid",
                c->exec->pid > 0 ? json_integer(c->exec->pid) : json_null(), "created_at",
                format_timestamp(c->created, created), "runs", (json_int_t) c->n_runs, "queued",
                (json_int_t) c->n_queue);
}

int context_restart(Context *c, Error *error) {
        if (c->leaving)
                return error_set(error, ERROR_WRONG_STATE, "The context is being deleted.");
        if (c->state == CONTEXT_ENDED)
                return start(c, NULL, NULL, error);
        c->restarting = true;
        exec_kill(c->exec, EXEC_CANCELLED);
        return 0;
}

void context_end(Context *c) {
        c->leaving = true;
        c->restarting = false;
        if (c->state == CONTEXT_ENDED)
                leave_session(c);
        else
                exec_kill(c->exec, EXEC_CANCELLED);
}

void context_forget_all(Session *s) {
        Context *c;

        while ((c = TAILQ_FIRST(&s->contexts)))
                leave_session(c);
        s->prepared = context_unref(s->prepared);
}
