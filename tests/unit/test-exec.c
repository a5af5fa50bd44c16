/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/fd.h"

typedef struct Run {
        Exec *exec; /* owned */
        unsigned n_done;
} Run;

static void on_exec(Exec *e, void *userdata) {
        Run *r = userdata;

        (void) e;
        r->n_done++;
}

static void run_clear(Run *r) {
        if (r->exec && r->n_done == 0)
                r->exec->done = NULL;
        r->exec = exec_unref(r->exec);
}
#define _cleanup_run_ _cleanup_(run_clear)

static int run(Session *s, usec_t timeout, Run *r, Error *error) {
        static const char text[] = "{\"argv\":[\"x\"]}";
        _cleanup_exec_spec_ ExecSpec spec = { .output_max = 1000 };

        *r = (Run){ 0 };
        assert_int_equal(exec_spec_read(&spec, text, strlen(text), NULL), 0);
        spec.timeout = timeout;
        return session_exec(s, &spec, false, on_exec, r, &r->exec, error);
}

static FakeSandbox *init_of(Fixture *f, const Session *s) {
        FakeSandbox *i = fake_sandbox_of(f->backend, s->sandbox);

        assert_non_null(i);
        return i;
}

static void test_a_command(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;
        InitRequest q;
        int fds[3];

        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        assert_true(fake_asked(init_of(f, o.session), &q, NULL, 0, fds) > 0);
        assert_int_equal(q.type, INIT_EXEC);
        assert_int_equal(q.exec, 1);
        assert_int_equal(write(fds[1], "out", 3), 3);
        assert_int_equal(write(fds[2], "err", 3), 3);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(close(fds[i]), 0);
        fake_tell(init_of(f, o.session),
                &(InitEvent){ .type = INIT_EXITED, .exec = 1, .status = 3 << 8, .cpu_usec = 7, .max_rss = 8192 });
        RUN_UNTIL(f->event, r.n_done == 1);
        assert_int_equal(r.exec->reason, EXEC_EXITED);
        assert_int_equal(r.exec->exit_code, 3);
        _cleanup_free_ char *text = exec_result_text(r.exec, true);
        _cleanup_json_ json_t *j = json_loads(text, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(j, "stdout")), "out");
        assert_string_equal(json_string_value(json_object_get(j, "stderr")), "err");
        assert_int_equal(json_integer_value(json_object_get(j, "max_rss_kb")), 8);
        assert_string_equal(json_string_value(json_object_get(j, "reason")), "exited");
        RUN_UNTIL(f->event, f->events[SESSION_EVENT_EXEC] == 1);
}

static void test_a_command_ended_by_a_signal(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;

        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 1, .status = 11 });
        RUN_UNTIL(f->event, r.n_done == 1);
        assert_int_equal(r.exec->reason, EXEC_SIGNALED);
        assert_int_equal(r.exec->signal, 11);
        assert_int_equal(r.exec->exit_code, 139);
}

static void test_what_limits_did(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run memory, pids, neither;

        f->backend->has_usage = true;
        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &memory, NULL), 0);
        f->backend->usage.oom_kills = 1;
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 1, .status = 9 });
        RUN_UNTIL(f->event, memory.n_done == 1);
        assert_int_equal(memory.exec->reason, EXEC_OOM);

        assert_int_equal(run(o.session, USEC_PER_SEC, &pids, NULL), 0);
        f->backend->usage.pids_refused = 5;
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 2, .status = 1 << 8 });
        RUN_UNTIL(f->event, pids.n_done == 1);
        assert_int_equal(pids.exec->reason, EXEC_PIDS);

        assert_int_equal(run(o.session, USEC_PER_SEC, &neither, NULL), 0);
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 3, .status = 1 << 8 });
        RUN_UNTIL(f->event, neither.n_done == 1);
        assert_int_equal(neither.exec->reason, EXEC_EXITED); /* what was before does not count again */
}

static void test_a_command_that_takes_too_long(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;
        InitRequest q;

        make(f, &plain, &o);
        assert_int_equal(run(o.session, 10 * USEC_PER_MSEC, &r, NULL), 0);
        (void) fake_asked(init_of(f, o.session), &q, NULL, 0, NULL);
        RUN_UNTIL(f->event, r.exec->killed);
        assert_true(fake_asked(init_of(f, o.session), &q, NULL, 0, NULL) > 0);
        assert_int_equal(q.type, INIT_SIGNAL);
        assert_int_equal(q.exec, 1);
        assert_int_equal(q.signal, SIGKILL);
        assert_int_equal(q.scope, INIT_SCOPE_EVERYTHING);
        /* process 1 does not tell of its end: the client is answered all the same */
        RUN_UNTIL(f->event, r.n_done == 1);
        assert_int_equal(r.exec->reason, EXEC_TIMEOUT);
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 1, .status = 9 });
        run_ready(f->event);
        assert_int_equal(r.n_done, 1);
        assert_false(o.session->ended);
}

static void test_a_command_that_is_cancelled(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;

        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        exec_kill(r.exec, EXEC_CANCELLED);
        exec_kill(r.exec, EXEC_TIMEOUT); /* too late */
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 1, .status = 9 });
        RUN_UNTIL(f->event, r.n_done == 1);
        assert_int_equal(r.exec->reason, EXEC_CANCELLED);
}

static void test_commands_that_cannot_start(void **state) {
        static const struct {
                InitStage stage;
                int error;
                ErrorKind kind;
                ExecReason reason;
                int exit_code;
        } rows[] = {
                { INIT_STAGE_CWD, ENOENT, ERROR_INVALID_VALUE, EXEC_LOST, -1 },
                { INIT_STAGE_LIMIT, EAGAIN, ERROR_QUOTA, EXEC_LOST, -1 },
                { INIT_STAGE_STOPPED, ETIMEDOUT, ERROR_NO_ANSWER, EXEC_LOST, -1 },
                { INIT_STAGE_EXECVE, ENOENT, ERROR_NONE, EXEC_EXITED, 127 },
                { INIT_STAGE_EXECVE, EACCES, ERROR_NONE, EXEC_EXITED, 126 },
                { INIT_STAGE_FORK, EAGAIN, ERROR_NONE, EXEC_PIDS, -1 },
                { INIT_STAGE_FORK, ENOMEM, ERROR_NONE, EXEC_OOM, -1 },
                { INIT_STAGE_FORK, EPERM, ERROR_INTERNAL, EXEC_LOST, -1 },
        };
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;

        make(f, &plain, &o);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_run_ Run r;
                assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
                fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_REFUSED,
                                                         .exec = (uint32_t) i + 1,
                                                         .error = rows[i].error,
                                                         .stage = rows[i].stage });
                RUN_UNTIL(f->event, r.n_done == 1);
                assert_int_equal(r.exec->error.kind, rows[i].kind);
                assert_int_equal(r.exec->reason, rows[i].reason);
                assert_int_equal(r.exec->exit_code, rows[i].exit_code);
        }
}

static void test_so_many_commands_at_once(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_error_ Error error = { 0 };
        Run r[INIT_EXECS_MAX], more;

        make(f, &plain, &o);
        for (unsigned i = 0; i < INIT_EXECS_MAX; i++)
                assert_int_equal(run(o.session, USEC_PER_SEC, &r[i], NULL), 0);
        assert_int_equal(run(o.session, USEC_PER_SEC, &more, &error), -EDQUOT);
        assert_int_equal(error.kind, ERROR_QUOTA);
        session_end(o.session, SESSION_DELETED);
        for (unsigned i = 0; i < INIT_EXECS_MAX; i++) {
                assert_int_equal(r[i].n_done, 1); /* told at once */
                assert_int_equal(r[i].exec->reason, EXEC_LOST);
                run_clear(&r[i]);
        }
}

static void test_a_lost_sandbox(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;
        _cleanup_error_ Error error = { 0 };
        Run late;

        make(f, &(Request){ .owner = "a" }, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        fake_die(init_of(f, o.session));
        RUN_UNTIL(f->event, r.n_done == 1);
        assert_int_equal(r.exec->reason, EXEC_LOST);
        assert_int_equal(session_count(f->manager), 0);
        assert_ended(f, o.session->id, "a", "lost");
        assert_int_equal(run(o.session, USEC_PER_SEC, &late, &error), -EOWNERDEAD);
        assert_string_equal(error.reason, "lost");
        RUN_UNTIL(f->event, f->events[SESSION_EVENT_REMOVED] == 1);
        assert_int_equal(f->last_reason, SESSION_LOST);
        assert_int_equal(session_n_ending(f->manager), 0);
}

static void test_a_sandbox_that_is_gone_at_once(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r;

        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        fake_end(f->backend, init_of(f, o.session), 0); /* never DYING */
        assert_int_equal(r.n_done, 1);
        assert_ended(f, o.session->id, NULL, "lost");
        assert_int_equal(session_n_ending(f->manager), 0);
}

static void test_a_command_after_the_end(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_error_ Error error = { 0 };
        Run r;

        make(f, &plain, &o);
        session_end(o.session, SESSION_DELETED);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, &error), -EOWNERDEAD);
        assert_int_equal(error.kind, ERROR_SESSION_ENDED);
        assert_string_equal(error.reason, "deleted");
}

static void test_dropping_a_command_does_not_end_it(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        InitRequest q;
        Run r;

        make(f, &plain, &o);
        assert_int_equal(run(o.session, USEC_PER_SEC, &r, NULL), 0);
        (void) fake_asked(init_of(f, o.session), &q, NULL, 0, NULL);
        r.exec->done = NULL;
        r.exec = exec_unref(r.exec);
        run_ready(f->event);
        assert_int_equal(fake_asked(init_of(f, o.session), &q, NULL, 0, NULL), 0);
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 1 });
        run_ready(f->event);
        assert_int_equal(o.session->sandbox->n_jobs, 0);
}

static void nothing_new(_unused_ ExecReader *r) {
}

/* Bytes of its output from @from on that are there; they have to begin at @from. */
static size_t bytes_from(const Exec *e, uint64_t from) {
        OutputPiece p;
        size_t n = 0;

        for (; output_next(&e->log, from + n, &p); n += p.length)
                assert_int_equal(p.missing, 0);
        return n;
}

static void test_a_reader_behind_loses_nothing_at_the_end(void **state) {
        static const char text[] = "{\"argv\":[\"x\"]}";
        static char piece[64 * 1024];
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        _cleanup_run_ Run r = { 0 };
        _cleanup_exec_spec_ ExecSpec spec = { .output_max = 64 * KIB };
        ExecReader reader = { .wake = nothing_new };
        InitRequest q;
        int fds[3];

        make(f, &plain, &o);
        assert_int_equal(exec_spec_read(&spec, text, strlen(text), NULL), 0);
        assert_int_equal(session_exec(o.session, &spec, true, on_exec, &r, &r.exec, NULL), 0);
        exec_reader_attach(r.exec, &reader, 0);
        assert_true(fake_asked(init_of(f, o.session), &q, NULL, 0, fds) > 0);
        /* as much as is kept is read, the rest stays in the pipe, which the program has made as large as it can */
        (void) fcntl(fds[1], F_SETPIPE_SZ, 1024 * 1024);
        assert_int_equal(fd_set_nonblock(fds[1], true), 0);
        size_t written = 0;
        for (;;) {
                RUN_UNTIL(f->event, r.exec->held || output_end(&r.exec->log) == written);
                ssize_t n = write(fds[1], piece, sizeof piece);
                if (n < 0)
                        break;
                written += (size_t) n;
        }
        assert_true(r.exec->held);
        exec_reader_advance(r.exec, &reader, 1000); /* in the middle of a part */
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(close(fds[i]), 0);
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 1 });
        RUN_UNTIL(f->event, r.n_done == 1);
        assert_int_equal(bytes_from(r.exec, 1000), written - 1000);
        /* and nobody else has it kept */
        exec_reader_detach(r.exec, &reader);
        assert_true(output_first(&r.exec->log) > 1000);
        assert_in_range(bytes_from(r.exec, output_first(&r.exec->log)), spec.output_max, 5 * spec.output_max);
}

/* Starts one that is followed; returns how much of its output is kept. */
static uint64_t follow(Session *s, uint64_t output_max, Run *r) {
        static const char text[] = "{\"argv\":[\"x\"]}";
        _cleanup_exec_spec_ ExecSpec spec = { .output_max = output_max };

        *r = (Run){ 0 };
        assert_int_equal(exec_spec_read(&spec, text, strlen(text), NULL), 0);
        assert_int_equal(session_exec(s, &spec, true, on_exec, r, &r->exec, NULL), 0);
        return r->exec->log.max;
}

static void test_output_of_all_together_is_limited(void **state) {
        Fixture *f = *state;
        _cleanup_outcome_ Outcome o;
        Run r[8];
        size_t n = 0;

        make(f, &plain, &o);
        for (; n < 4; n++)
                assert_int_equal(follow(o.session, 16 * MIB, &r[n]), 16 * MIB);
        for (; n < 6; n++)
                assert_int_equal(follow(o.session, 16 * MIB, &r[n]), 64 * KIB);
        fake_tell(init_of(f, o.session), &(InitEvent){ .type = INIT_EXITED, .exec = 2 });
        RUN_UNTIL(f->event, r[1].n_done == 1);
        assert_int_equal(follow(o.session, MIB, &r[n++]), MIB);
        while (n > 0)
                run_clear(&r[--n]);
}

/* What kept streams become: as they are, replaced where they are no text, or as base64. */
static void test_the_result_as_text(void **state) {
        Exec e = { .id = "x",
                .exit_code = -1,
                .signal = 9,
                .reason = EXEC_SIGNALED,
                .started = 1000,
                .ended = 3500,
                .cpu_usec = 2000,
                .max_rss = 4096,
                .capture = { { .max = 8 }, { .max = MIB } } };
        static char big[256 * KIB];

        (void) state;
        assert_int_equal(capture_add(&e.capture[0], "a\0\"\xff", 4), 0);
        _cleanup_free_ char *text = exec_result_text(&e, true);
        assert_string_equal(text,
                "{\"exec_id\":\"x\",\"exit_code\":null,\"signal\":\"SIGKILL\",\"reason\":\"signaled\","
                "\"stdout\":\"a\\u0000\\\"\xef\xbf\xbd\",\"stderr\":\"\",\"stdout_truncated\":false,"
                "\"stderr_truncated\":false,\"stdout_bytes\":4,\"stderr_bytes\":0,\"duration_ms\":2.5,\"cpu_ms\":2.0,"
                "\"max_rss_kb\":4}");
        e.base64 = true;
        e.signal = 0;
        e.exit_code = 0;
        e.reason = EXEC_EXITED;
        assert_int_equal(capture_add(&e.capture[0], "123456", 6), 0);
        _cleanup_free_ char *again = exec_result_text(&e, true);
        _cleanup_json_ json_t *j = json_loads(again, 0, NULL);
        assert_int_equal(json_integer_value(json_object_get(j, "exit_code")), 0);
        assert_true(json_is_null(json_object_get(j, "signal")));
        assert_string_equal(json_string_value(json_object_get(j, "stdout")), "YQAi/zM0NTY=");
        assert_true(json_is_true(json_object_get(j, "stdout_truncated")));
        e.base64 = false;
        memset(big, '\n', sizeof big);
        assert_int_equal(capture_add(&e.capture[1], big, sizeof big), 0);
        _cleanup_free_ char *long_one = exec_result_text(&e, true);
        _cleanup_json_ json_t *k = json_loads(long_one, JSON_ALLOW_NUL, NULL);
        assert_int_equal(json_string_length(json_object_get(k, "stderr")), sizeof big);
        _cleanup_json_ json_t *alone = exec_result(&e);
        assert_null(json_object_get(alone, "stdout"));
        assert_string_equal(json_string_value(json_object_get(alone, "reason")), "exited");
        capture_clear(&e.capture[0]);
        capture_clear(&e.capture[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_result_as_text),
                TEST(test_a_command),
                TEST(test_a_command_ended_by_a_signal),
                TEST(test_what_limits_did),
                TEST(test_a_command_that_takes_too_long),
                TEST(test_a_command_that_is_cancelled),
                TEST(test_commands_that_cannot_start),
                TEST(test_so_many_commands_at_once),
                TEST(test_a_lost_sandbox),
                TEST(test_a_sandbox_that_is_gone_at_once),
                TEST(test_a_command_after_the_end),
                TEST(test_dropping_a_command_does_not_end_it),
                TEST(test_a_reader_behind_loses_nothing_at_the_end),
                TEST(test_output_of_all_together_is_limited),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
