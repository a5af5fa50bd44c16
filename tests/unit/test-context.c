/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "fake-backend.h"
#include "session/context.h"
#include "session/manager-internal.h"
#include "session/warm.h"

/* Interpreters, with the test as process 1 and as the driver. */

typedef struct Fixture {
        sd_event *event;
        FakeBackend *backend;
        Pool *pool;
        Registry *registry;
        SessionManager *manager;
        Session *session; /* owned */
        int streams[3];   /* owned: those of the interpreter that was started last */
        uint32_t exec;    /* its number */
} Fixture;

static const Limits limits = { .memory = 512 * MIB, .disk = MIB, .cpu_quota = 50000, .pids = 100 };

static int resolve(const char *name, SandboxSpec *spec, ImageConfig **ret_config, void *userdata,
        Error *error) {
        (void) ret_config;
        (void) name;
        (void) userdata;
        (void) error;
        (void) strcpy(spec->image, "base-1");
        return 0;
}

static void on_created(Creation *c, Session *s, bool attached, Error *error, void *userdata) {
        (void) c;
        (void) attached;
        (void) error;
        *(Session **) userdata = s;
}

static void make_session(Fixture *f, const char *env) {
        _cleanup_create_spec_ CreateSpec spec = { .limits = limits };
        Creation *creation;
        Session *s = NULL;
        bool attached;

        spec.env = env ? json_loads(env, 0, NULL) : NULL;
        int r = session_create(f->manager, &spec, NULL, on_created, &s, &s, &attached, &creation, NULL);
        assert_true(r >= 0);
        RUN_UNTIL(f->event, s);
        f->session = session_ref(s);
}

static int setup(void **state) {
        const SessionSettings settings = {
                .timeout = 3600 * USEC_PER_SEC,
                .timeout_max = 86400 * USEC_PER_SEC,
                .sessions_max = 100,
                .image = "base",
                .limits = limits,
                .output_max = MIB,
        };
        const PoolSettings none = { .spec = { .image = "base-1", .limits = limits } };
        Fixture *f = calloc(1, sizeof *f);

        if (!f || sd_event_new(&f->event) < 0)
                return -1;
        f->streams[0] = f->streams[1] = f->streams[2] = -EBADF;
        f->backend = fake_backend_new(f->event);
        if (pool_new(f->event, &f->backend->backend, &none, NULL, NULL, &f->pool) < 0 ||
                registry_open(NULL, &f->registry) < 0 ||
                session_manager_new(f->event, &f->backend->backend, f->pool, &settings, NULL, resolve, f->registry,
                        NULL, &f->manager) < 0)
                return -1;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        run_ready(f->event);
        f->session = session_unref(f->session);
        f->backend = fake_backend_free(f->backend);
        f->pool = pool_free(f->pool);
        f->manager = session_manager_free(f->manager);
        f->registry = registry_free(f->registry);
        fds_close(f->streams, 3);
        f->event = sd_event_unref(f->event);
        free(f);
        return 0;
}

/* --- process 1 --- */

static FakeSandbox *init_of(Fixture *f) {
        FakeSandbox *s = f->session ? fake_sandbox_of(f->backend, f->session->sandbox) : fake_sandbox(f->backend, 0);

        assert_non_null(s);
        return s;
}

/* The interpreter that was asked for runs, as far as process 1 knows. */
static void begin_interpreter(Fixture *f) {
        char strings[INIT_STRINGS_MAX];
        InitRequest q;

        fds_close(f->streams, 3);
        assert_true(fake_asked(init_of(f), &q, strings, sizeof strings, f->streams) > 0);
        assert_int_equal(q.type, INIT_EXEC);
        f->exec = q.exec;
        fake_tell(init_of(f), &(InitEvent){ .type = INIT_STARTED, .exec = f->exec, .pid = 7 });
}

static void end_interpreter(Fixture *f, int status) {
        fds_close(f->streams, 3);
        fake_tell(init_of(f), &(InitEvent){ .type = INIT_EXITED, .exec = f->exec, .status = status });
}

/* The next request; that a signal has been sent is told when that was asked for. */
static InitRequest asked(Fixture *f) {
        InitRequest q = { 0 };

        RUN_UNTIL(f->event, fake_asked(init_of(f), &q, NULL, 0, NULL) > 0);
        return q;
}

static void expect_interrupt(Fixture *f, bool tell) {
        InitRequest q = asked(f);

        assert_int_equal(q.type, INIT_SIGNAL);
        assert_int_equal(q.signal, SIGINT);
        assert_int_equal(q.scope, INIT_SCOPE_GROUP);
        assert_true(q.flags & INIT_FLAG_STARTED);
        if (tell)
                fake_tell(init_of(f), &(InitEvent){ .type = INIT_SIGNALLED, .exec = q.exec });
}

/* --- the driver --- */

static void say_bytes(Fixture *f, const char *bytes, size_t length) {
        assert_int_equal(write(f->streams[0], bytes, length), length);
}

static void say(Fixture *f, const char *frames) {
        say_bytes(f, frames, strlen(frames));
        run_ready(f->event);
}

static void print(Fixture *f, int stream, const char *text) {
        assert_int_equal(write(f->streams[stream], text, strlen(text)), strlen(text));
}

/* What we were told, up to and with @end. */
static void expect_told(Fixture *f, const char *end) {
        static char buf[1 << 18];
        size_t used = 0;

        for (;;) {
                struct pollfd p = { .fd = f->streams[0], .events = POLLIN };
                run_ready(f->event);
                if (poll(&p, 1, 0) == 0)
                        break;
                ssize_t n = read(f->streams[0], buf + used, sizeof buf - 1 - used);
                assert_true(n > 0);
                used += (size_t) n;
        }
        buf[used] = '\0';
        assert_true(used >= strlen(end));
        assert_string_equal(buf + used - strlen(end), end);
}

static Context *start(Fixture *f, const char *language) {
        _cleanup_context_spec_ ContextSpec spec = { .language = strdup(language) };
        Context *c;

        assert_int_equal(context_start(f->session, &spec, &c, NULL), 0);
        assert_int_equal(c->state, CONTEXT_STARTING);
        begin_interpreter(f);
        return c;
}

/* One that waits for code. */
static Context *make(Fixture *f) {
        make_session(f, NULL);
        Context *c = start(f, "python");
        expect_told(f, "hello 0\n");
        say(f, "ready 1\n0");
        assert_int_equal(c->state, CONTEXT_IDLE);
        return c;
}

/* --- runs --- */

typedef struct Watch {
        Run *run; /* owned */
        unsigned n_wakes;
} Watch;

static void watch_clear(Watch *w) {
        if (w->run)
                context_run_cancel(w->run);
        w->run = run_unref(w->run);
}
#define _cleanup_watch_ _cleanup_(watch_clear)

static void on_wake(Run *r, void *userdata) {
        Watch *w = userdata;

        (void) r;
        w->n_wakes++;
}

static int run(Context *c, const char *code, bool follows, Watch *w) {
        _cleanup_run_spec_ RunSpec spec = { .code = strdup(code), .timeout = 60 * USEC_PER_SEC, .output_max = 16 };

        *w = (Watch){ 0 };
        int r = context_run(c, &spec, follows, on_wake, w, &w->run, NULL);
        assert_int_equal(w->n_wakes, 0);
        return r;
}

static void expect_text(json_t *j, const char *member, const char *text) {
        const json_t *value = json_object_get(j, member);

        if (text)
                assert_string_equal(json_string_value(value), text);
        else
                assert_true(json_is_null(value));
}

static void expect_status(const Watch *w, const char *status) {
        _cleanup_json_ json_t *j = run_describe(w->run);

        assert_true(w->run->over);
        expect_text(j, "status", status);
}

static void code_is_run_and_answered(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w;

        assert_int_equal(run(c, "1 + 1", false, &w), 0);
        assert_int_equal(c->state, CONTEXT_RUNNING);
        expect_told(f, "run 5\n1 + 1");
        say(f, "begin 1\n1");
        print(f, 1, "out");
        print(f, 2, "err");
        say(f, "text 1\n2json 1\n2result 4\nmain");
        expect_told(f, "taken 1\n1");
        say(f, "done 4\n1 ok");
        RUN_UNTIL(f->event, w.n_wakes == 1);
        assert_int_equal(c->state, CONTEXT_IDLE);

        _cleanup_json_ json_t *j = run_describe(w.run);
        expect_text(j, "context_id", c->id);
        expect_text(j, "status", "ok");
        expect_text(j, "stdout", "out");
        expect_text(j, "stderr", "err");
        expect_text(j, "error", NULL);
        json_t *results = json_object_get(j, "results"), *result = json_array_get(results, 0);
        assert_int_equal(json_array_size(results), 1);
        expect_text(result, "text", "2");
        assert_int_equal(json_integer_value(json_object_get(result, "json")), 2);
        assert_true(json_is_true(json_object_get(result, "main")));
}

static void errors_are_told(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w;

        assert_int_equal(run(c, "x", false, &w), 0);
        say(f, "begin 1\n1name 3\nBadvalue 2\n\xff!traceback 1\nTdone 7\n1 error");
        RUN_UNTIL(f->event, w.n_wakes == 1);
        _cleanup_json_ json_t *j = run_describe(w.run);
        json_t *error = json_object_get(j, "error");
        expect_text(j, "status", "error");
        expect_text(error, "name", "Bad");
        expect_text(error, "value", "\xef\xbf\xbd!");
        expect_text(error, "traceback", "T");
}

static void a_status_of_a_shell_is_its_exit_code(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w;

        assert_int_equal(run(c, "x", false, &w), 0);
        say(f, "begin 1\n1done 8\n1 exit 3");
        RUN_UNTIL(f->event, w.n_wakes == 1);
        expect_status(&w, "error");
        assert_int_equal(w.run->exit_code, 3);
}

static void output_comes_before_what_follows_it(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w;
        OutputPiece p;
        uint64_t limit;
        json_t *result = NULL;

        assert_int_equal(run(c, "x", true, &w), 0);
        say(f, "begin 1\n1");
        assert_int_equal(run_next(w.run, &p, &limit, &result), RUN_STARTED);
        assert_int_equal(run_next(w.run, &p, &limit, &result), RUN_NOTHING);
        /* all of it is there when the worker looks */
        print(f, 1, "first");
        say_bytes(f, "text 1\n1result 7\ndisplaydone 4\n1 ok", 36);
        RUN_UNTIL(f->event, w.run->over);
        assert_int_equal(run_next(w.run, &p, &limit, &result), RUN_OUTPUT);
        assert_int_equal(p.length, 5);
        run_advance(w.run, p.offset + p.length);
        assert_int_equal(run_next(w.run, &p, &limit, &result), RUN_RESULT);
        expect_text(result, "text", "1");
        json_decref(result);
        assert_int_equal(run_next(w.run, &p, &limit, &result), RUN_OVER);
}

static void output_of_each_run_is_its_own(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w, v;

        print(f, 1, "before");
        run_ready(f->event);
        assert_int_equal(run(c, "x", false, &w), 0);
        say(f, "begin 1\n1");
        print(f, 1, "0123456789abcdefghij");
        say(f, "done 4\n1 ok");
        RUN_UNTIL(f->event, w.run->over);
        print(f, 1, "between");
        run_ready(f->event);
        assert_int_equal(run(c, "y", false, &v), 0);
        say(f, "begin 1\n2");
        print(f, 1, "second");
        say(f, "done 4\n2 ok");
        RUN_UNTIL(f->event, v.run->over);
        _cleanup_json_ json_t *j = run_describe(w.run), *k = run_describe(v.run);
        expect_text(j, "stdout", "01234567cdefghij"); /* 16 bytes, head and tail */
        assert_true(json_is_true(json_object_get(j, "stdout_truncated")));
        expect_text(k, "stdout", "second");
}

static void runs_wait_for_each_other(void **state) {
        Fixture *f = *state;
        make_session(f, NULL);
        Context *c = start(f, "python");
        _cleanup_watch_ Watch a, b, gone, d;
        static Watch more; /* outlives the test: what waits is woken by the end of the sandbox */

        assert_int_equal(run(c, "a", false, &a), 0); /* before it has started */
        assert_int_equal(run(c, "b", false, &b), 0);
        assert_int_equal(run(c, "gone", false, &gone), 0);
        assert_int_equal(run(c, "d", false, &d), 0);
        watch_clear(&gone);
        say(f, "ready 1\n0");
        expect_told(f, "run 1\na");
        say(f, "begin 1\n1done 4\n1 ok");
        RUN_UNTIL(f->event, a.run->over);
        expect_told(f, "run 1\nb");
        say(f, "begin 1\n2done 4\n2 ok");
        RUN_UNTIL(f->event, b.run->over);
        expect_told(f, "run 1\nd");
        assert_int_equal(d.run->number, 3);
        for (unsigned i = 0; i < CONTEXT_QUEUE_MAX; i++) {
                assert_int_equal(run(c, "more", false, &more), 0);
                more.run = run_unref(more.run);
        }
        Watch full;
        assert_int_equal(run(c, "x", false, &full), -EDQUOT);
}

static void who_reads_nothing_can_still_end(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w, next;

        assert_int_equal(run(c, "x", false, &w), 0);
        say(f, "begin 1\n1");
        for (unsigned i = 0; i < 8000; i++)
                say(f, "result 4\nmain");
        assert_true(c->out_length < 1000);
        say(f, "done 13\n1 interrupted");
        RUN_UNTIL(f->event, w.run->over);
        assert_int_equal(c->state, CONTEXT_IDLE);
        /* what was not told any more is no matter of the next run */
        assert_int_equal(run(c, "y", false, &next), 0);
        expect_told(f, "run 1\ny");
        say(f, "begin 1\n2text 1\n2result 4\nmain");
        expect_told(f, "taken 1\n1");
}

static void interrupts_wait_for_the_beginning(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w, next;
        InitRequest q;

        assert_int_equal(context_interrupt(c, NULL), -EBUSY); /* nothing runs */
        assert_int_equal(run(c, "x", false, &w), 0);
        assert_int_equal(context_interrupt(c, NULL), 0);
        run_ready(f->event);
        assert_int_equal(fake_asked(init_of(f), &q, NULL, 0, NULL), 0);
        say(f, "begin 1\n1");
        expect_interrupt(f, false);
        /* and what comes next waits until it is known to have been sent */
        assert_int_equal(run(c, "y", false, &next), 0);
        say(f, "done 13\n1 interrupted");
        RUN_UNTIL(f->event, w.run->over);
        expect_status(&w, "interrupted");
        run_ready(f->event);
        assert_int_equal(next.run->number, 0);
        fake_tell(init_of(f), &(InitEvent){ .type = INIT_SIGNALLED, .exec = f->exec });
        RUN_UNTIL(f->event, next.run->number == 2);
}

static void a_client_that_goes_interrupts(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        Watch w;
        _cleanup_watch_ Watch next;

        assert_int_equal(run(c, "x", false, &w), 0);
        say(f, "begin 1\n1");
        watch_clear(&w);
        expect_interrupt(f, true);
        print(f, 1, "nobody wants it");
        say(f, "text 1\n1result 4\nmaindone 13\n1 interrupted");
        assert_int_equal(c->state, CONTEXT_IDLE);
        assert_int_equal(run(c, "y", false, &next), 0);
        say(f, "begin 1\n2done 4\n2 ok");
        RUN_UNTIL(f->event, next.run->over);
        _cleanup_json_ json_t *j = run_describe(next.run);
        expect_text(j, "stdout", "");
}

static void time_outs_interrupt_and_then_kill(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_run_spec_ RunSpec spec = { .code = strdup("x"), .timeout = USEC_PER_MSEC, .output_max = 16 },
                                   again = { .code = strdup("y"), .timeout = USEC_PER_MSEC, .output_max = 16 };
        _cleanup_watch_ Watch w = { 0 }, v = { 0 };
        InitRequest q;

        assert_int_equal(context_run(c, &spec, false, on_wake, &w, &w.run, NULL), 0);
        say(f, "begin 1\n1");
        expect_interrupt(f, true);
        say(f, "done 4\n1 ok");
        RUN_UNTIL(f->event, w.run->over);
        expect_status(&w, "timeout");
        assert_int_equal(c->state, CONTEXT_IDLE);

        assert_int_equal(context_run(c, &again, false, on_wake, &v, &v.run, NULL), 0);
        say(f, "begin 1\n2");
        expect_interrupt(f, true);
        q = asked(f);
        assert_int_equal(q.signal, SIGKILL);
        assert_int_equal(q.scope, INIT_SCOPE_EVERYTHING);
        end_interpreter(f, SIGKILL);
        RUN_UNTIL(f->event, v.run->over);
        expect_status(&v, "timeout");
        assert_int_equal(c->state, CONTEXT_ENDED);
        Watch none;
        assert_int_equal(run(c, "z", false, &none), -EBUSY);
}

static void an_end_ends_all_runs(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch a, b;

        assert_int_equal(run(c, "a", false, &a), 0);
        assert_int_equal(run(c, "b", false, &b), 0);
        say(f, "begin 1\n1");
        print(f, 1, "last words");
        say_bytes(f, "text 1\n7result 4\nmain", 21);
        end_interpreter(f, 5 << 8);
        RUN_UNTIL(f->event, b.run->over);
        _cleanup_json_ json_t *j = run_describe(a.run);
        expect_text(j, "status", "ended");
        expect_text(j, "reason", "exited");
        expect_text(j, "stdout", "last words");
        expect_text(j, "context_state", "ended");
        assert_int_equal(json_array_size(json_object_get(j, "results")), 1);
        assert_int_equal(a.run->exit_code, 5);
        expect_status(&b, "ended");
}

static void the_end_of_the_session_ends_all(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w;

        assert_int_equal(run(c, "a", false, &w), 0);
        session_end(f->session, SESSION_DELETED);
        RUN_UNTIL(f->event, w.run->over);
        expect_status(&w, "ended");
        f->session = session_unref(f->session);
}

static void restart_starts_anew(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w, v;

        assert_int_equal(run(c, "a", false, &w), 0);
        assert_int_equal(context_restart(c, NULL), 0);
        assert_int_equal(asked(f).signal, SIGKILL);
        end_interpreter(f, SIGKILL);
        RUN_UNTIL(f->event, w.run->over);
        expect_status(&w, "ended");
        assert_int_equal(c->state, CONTEXT_STARTING);
        begin_interpreter(f);
        say(f, "ready 1\n0");
        assert_int_equal(c->state, CONTEXT_IDLE);
        assert_int_equal(run(c, "b", false, &v), 0);
        assert_int_equal(v.run->number, 1);
}

static void ends_that_are_asked_for_are_waited_for(void **state) {
        Fixture *f = *state;
        Context *c = make(f);

        context_end(c);
        assert_int_equal(f->session->n_contexts, 1);
        assert_int_equal(asked(f).signal, SIGKILL);
        end_interpreter(f, SIGKILL);
        RUN_UNTIL(f->event, f->session->n_contexts == 0);
}

static void starts_that_fail_are_explained(void **state) {
        Fixture *f = *state;
        _cleanup_error_ Error none = { 0 }, cwd = { 0 };

        make_session(f, NULL);
        Context *c = start(f, "node");
        end_interpreter(f, 127 << 8);
        RUN_UNTIL(f->event, c->state == CONTEXT_ENDED);
        assert_int_equal(context_explain(c, &none), -EINVAL);
        assert_string_equal(none.detail, "The image of this session has no node.");

        _cleanup_context_spec_ ContextSpec spec = { .language = strdup("bash"), .cwd = strdup("/x") };
        assert_int_equal(context_start(f->session, &spec, &c, NULL), 0);
        f->exec = asked(f).exec;
        fake_tell(init_of(f),
                &(InitEvent){ .type = INIT_REFUSED, .exec = f->exec, .error = ENOENT, .stage = INIT_STAGE_CWD });
        RUN_UNTIL(f->event, c->state == CONTEXT_ENDED);
        assert_int_equal(context_explain(c, &cwd), -EINVAL);
        assert_string_equal(cwd.field, "cwd");
}

/* --- what is not to be trusted --- */

static void lies_end_the_interpreter(void **state) {
        static const char *const lies[] = {
                "x\n",
                "text\n",
                "text -1\n",
                "text 1x\n",
                "text 18446744073709551616\n",
                "other 0\n",
                "begin 1\n2",
                "begin 1\n1begin 1\n9",
                "begin 1\n1result 3\nall",
                "begin 1\n1done 4\n2 ok",
                "begin 1\n1done 1\n1",
                "begin 1\n1done 6\n1 okay",
                "begin 1\n1done 10\n1 exit 256",
                "ready 1\nx",
                "a line that is longer than any line is\n",
        };
        Fixture *f = *state;

        make_session(f, NULL);
        for (size_t i = 0; i < ELEMENTSOF(lies); i++) {
                _cleanup_watch_ Watch w;
                Context *c = start(f, "python");
                say(f, "ready 1\n0");
                assert_int_equal(run(c, "x", false, &w), 0);
                say(f, lies[i]);
                if (asked(f).signal != SIGKILL)
                        fail_msg("%s", lies[i]);
                end_interpreter(f, SIGKILL);
                RUN_UNTIL(f->event, w.run->over);
                expect_status(&w, "ended");
                context_end(c);
        }
}

static void what_is_out_of_place_is_dropped(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w;

        /* nothing runs: nothing is read */
        say(f, "text 5\nstaleresult 4\nmainname 1\nxdone 4\n0 ok");
        assert_int_equal(run(c, "x", false, &w), 0);
        say(f, "text 5\nearlyresult 4\nmainready 1\n0begin 1\n0begin 1\n1done 4\n0 okbegin 1\n1result 7\ndisplay");
        say(f, "json 1\n[result 7\ndisplaydone 4\n1 ok");
        RUN_UNTIL(f->event, w.run->over);
        _cleanup_json_ json_t *j = run_describe(w.run);
        json_t *results = json_object_get(j, "results");
        expect_text(j, "error", NULL);
        assert_int_equal(json_array_size(results), 1); /* one that could not be read */
        assert_null(json_object_get(json_array_get(results, 0), "text"));
        assert_int_equal(json_array_size(json_object_get(json_array_get(results, 0), "cut")), 1);
}

static void too_much_is_cut(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w;
        static char much[64 * 1024];

        memset(much, 'x', sizeof much);
        assert_int_equal(run(c, "x", false, &w), 0);
        say(f, "begin 1\n1");
        for (unsigned k = 0; k < 2; k++) {
                say(f, k ? "html 2097152\n" : "text 2097152\n");
                for (unsigned i = 0; i < 32; i++) {
                        say_bytes(f, much, sizeof much);
                        run_ready(f->event);
                }
        }
        say(f, "result 4\nmaindone 4\n1 ok");
        RUN_UNTIL(f->event, w.run->over);
        _cleanup_json_ json_t *j = run_describe(w.run);
        json_t *result = json_array_get(json_object_get(j, "results"), 0);
        assert_int_equal(json_string_length(json_object_get(result, "text")), MIB);
        assert_null(json_object_get(result, "html"));
        assert_int_equal(json_array_size(json_object_get(result, "cut")), 2);
}

static void a_closed_socket_ends_the_interpreter(void **state) {
        Fixture *f = *state;
        Context *c = make(f);
        _cleanup_watch_ Watch w;

        assert_int_equal(run(c, "x", false, &w), 0);
        say(f, "begin 1\n1text 1\n1result 4\nmain");
        f->streams[0] = fd_close(f->streams[0]);
        assert_int_equal(asked(f).signal, SIGKILL); /* after a while, it may be about to end */
        end_interpreter(f, SIGKILL);
        RUN_UNTIL(f->event, w.run->over);
        _cleanup_json_ json_t *j = run_describe(w.run);
        expect_text(j, "reason", "lost");
        assert_int_equal(json_array_size(json_object_get(j, "results")), 1);
}

/* --- ahead of need --- */

static void use_warm_pool(Fixture *f) {
        static Warmth warmth;
        const PoolSettings p = {
                .size = 1,
                .min = 1,
                .max = 1,
                .spec = { .image = "base-1", .limits = limits },
                .prepare = warm_prepare,
                .with = &warmth,
        };

        warmth.language = language_find("python3");
        pool_configure(f->pool, &p);
        pool_start(f->pool);
        RUN_UNTIL(f->event, fake_sandbox(f->backend, 0) && fake_sandbox(f->backend, 0)->sandbox->companion);
        begin_interpreter(f);
        expect_told(f, "prepare 0\n");
        assert_int_equal(pool_n_ready(f->pool), 0);
}

static void members_are_ready_once_their_interpreter_waits(void **state) {
        Fixture *f = *state;
        _cleanup_context_spec_ ContextSpec spec = { .language = strdup("python") };
        _cleanup_watch_ Watch w;
        Context *c;

        use_warm_pool(f);
        say(f, "ready 1\n0");
        RUN_UNTIL(f->event, pool_n_ready(f->pool) == 1);
        make_session(f, NULL);
        assert_true(f->session->from_pool);
        assert_int_equal(f->session->n_contexts, 0);
        assert_int_equal(context_start(f->session, &spec, &c, NULL), 0);
        assert_int_equal(c->state, CONTEXT_IDLE);
        assert_int_equal(f->session->n_execs, 1);
        assert_int_equal(run(c, "1", false, &w), 0);
        expect_told(f, "run 1\n1");
}

static void another_environment_needs_another_interpreter(void **state) {
        Fixture *f = *state;

        use_warm_pool(f);
        say(f, "ready 1\n0");
        RUN_UNTIL(f->event, pool_n_ready(f->pool) == 1);
        make_session(f, "{\"A\":\"b\"}");
        assert_int_equal(asked(f).signal, SIGKILL); /* of the one that waited */
        assert_null(f->session->prepared);
}

static void members_without_interpreter_are_ready_too(void **state) {
        Fixture *f = *state;

        use_warm_pool(f);
        end_interpreter(f, 127 << 8);
        RUN_UNTIL(f->event, pool_n_ready(f->pool) == 1);
        make_session(f, NULL);
        Context *c = start(f, "python");
        say(f, "ready 1\n0");
        assert_int_equal(c->state, CONTEXT_IDLE);
}

static void members_may_die_while_they_are_prepared(void **state) {
        Fixture *f = *state;

        use_warm_pool(f);
        fake_end(f->backend, fake_sandbox(f->backend, 0), 0);
        RUN_UNTIL(f->event, pool_is_failing(f->pool));
        assert_int_equal(pool_n_ready(f->pool), 0);
        pool_stop(f->pool);
}

static void pools_may_stop_while_members_are_prepared(void **state) {
        Fixture *f = *state;

        use_warm_pool(f);
        pool_stop(f->pool);
        say(f, "ready 1\n0");
        assert_int_equal(pool_n_ready(f->pool), 0);
}

static void languages_have_the_names_that_are_known(void **state) {
        (void) state;
        for (size_t i = 0; language_at(i); i++)
                assert_ptr_equal(language_find(language_at(i)->program), language_at(i));
        assert_string_equal(language_find("python3")->name, "python");
        assert_string_equal(language_find("javascript")->name, "node");
        assert_null(language_find("perl"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(code_is_run_and_answered),
                TEST(errors_are_told),
                TEST(a_status_of_a_shell_is_its_exit_code),
                TEST(output_comes_before_what_follows_it),
                TEST(output_of_each_run_is_its_own),
                TEST(runs_wait_for_each_other),
                TEST(who_reads_nothing_can_still_end),
                TEST(interrupts_wait_for_the_beginning),
                TEST(a_client_that_goes_interrupts),
                TEST(time_outs_interrupt_and_then_kill),
                TEST(an_end_ends_all_runs),
                TEST(the_end_of_the_session_ends_all),
                TEST(restart_starts_anew),
                TEST(ends_that_are_asked_for_are_waited_for),
                TEST(starts_that_fail_are_explained),
                TEST(lies_end_the_interpreter),
                TEST(what_is_out_of_place_is_dropped),
                TEST(too_much_is_cut),
                TEST(a_closed_socket_ends_the_interpreter),
                TEST(members_are_ready_once_their_interpreter_waits),
                TEST(another_environment_needs_another_interpreter),
                TEST(members_without_interpreter_are_ready_too),
                TEST(members_may_die_while_they_are_prepared),
                TEST(pools_may_stop_while_members_are_prepared),
                cmocka_unit_test(languages_have_the_names_that_are_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
