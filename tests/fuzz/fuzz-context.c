/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/fake-backend.h"
#include "base/fd.h"
#include "session/context.h"
#include "session/manager.h"

/*
 * A driver that says anything, at any time. The input is a row of steps: a letter and, for some, a length and bytes.
 *   s LENGTH BYTES   it says them            o BYTE   so many bytes on stdout        e BYTE   on stderr
 *   r, f             code is to be run, for one answer or followed                   n        what came is taken
 *   i                interrupt               c        the client goes                t        the signal has been sent
 *   R                restart                 x        process 1 tells of its end     h        it closes its socket
 * Afterwards the interpreter is gone, all runs are over, and nothing is left.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RUNS_MAX 16U

static struct {
        sd_event *event;
        FakeBackend *fake;
        Pool *pool;
        Registry *registry;
        SessionManager *sessions;
} worker;

static struct {
        Session *session;
        Context *context; /* borrowed */
        int streams[3];
        uint32_t exec;
        Run *runs[RUNS_MAX]; /* owned */
        unsigned n_runs;
} now;

static void must(bool condition) {
        if (!condition)
                abort();
}

static int resolve(const char *name, SandboxSpec *spec, ImageConfig **ret_config, void *userdata,
        Error *error) {
        (void) ret_config;
        (void) name;
        (void) userdata;
        (void) error;
        (void) snprintf(spec->image, sizeof spec->image, "base");
        return 0;
}

static void set_up(void) {
        const Limits limits = { .memory = 64 * MIB, .disk = 64 * MIB, .cpu_quota = 50000, .pids = 64 };
        PoolSettings pool = { .spec = { .image = "base", .limits = limits } };
        SessionSettings settings = {
                .timeout = 3600 * USEC_PER_SEC,
                .timeout_max = 7200 * USEC_PER_SEC,
                .sessions_max = 16,
                .image = "base",
                .limits = limits,
                .output_max = 4096,
        };

        (void) signal(SIGPIPE, SIG_IGN);
        must(sd_event_new(&worker.event) >= 0);
        worker.fake = fake_backend_new(worker.event);
        must(pool_new(worker.event, &worker.fake->backend, &pool, NULL, NULL, &worker.pool) == 0);
        must(registry_open(NULL, &worker.registry) == 0);
        must(session_manager_new(worker.event, &worker.fake->backend, worker.pool, &settings, NULL, resolve,
                     worker.registry, NULL, &worker.sessions) == 0);
}

static void on_created(Creation *c, Session *s, bool attached, Error *error, void *userdata) {
        (void) c;
        (void) attached;
        (void) error;
        *(Session **) userdata = s;
}

static void make_session(void) {
        CreateSpec spec = { .limits = session_manager_settings(worker.sessions)->limits };
        Creation *creation;
        Session *s = NULL;
        bool attached;

        must(session_create(worker.sessions, &spec, NULL, on_created, &s, &s, &attached, &creation, NULL) >= 0);
        for (unsigned i = 0; !s && i < 100; i++)
                run_ready(worker.event);
        must(s);
        now.session = session_ref(s);
}

/* Process 1: takes up an interpreter that was asked for. */
static void serve(void) {
        FakeSandbox *f = fake_sandbox_of(worker.fake, now.session->sandbox);
        InitRequest q;
        int fds[3];

        while (f && fake_asked(f, &q, NULL, 0, fds) > 0) {
                if (q.type != INIT_EXEC)
                        continue;
                fds_close(now.streams, 3);
                memcpy(now.streams, fds, sizeof fds);
                for (unsigned i = 0; i < 3; i++)
                        must(fd_set_nonblock(fds[i], true) >= 0);
                now.exec = q.exec;
                fake_tell(f, &(InitEvent){ .type = INIT_STARTED, .exec = q.exec, .pid = 7 });
        }
        run_ready(worker.event);
}

static void tell(InitEventType type) {
        FakeSandbox *f = fake_sandbox_of(worker.fake, now.session->sandbox);

        if (f && now.session->sandbox->state == SANDBOX_READY)
                fake_tell(f, &(InitEvent){ .type = type, .exec = now.exec, .status = 1 << 8 });
}

static void on_wake(Run *r, void *userdata) {
        (void) r;
        (void) userdata;
}

static void begin_run(bool follows) {
        RunSpec spec = { .code = strdup("x"), .timeout = 3600 * USEC_PER_SEC, .output_max = 64 };

        if (now.n_runs < RUNS_MAX &&
                context_run(now.context, &spec, follows, on_wake, NULL, &now.runs[now.n_runs], NULL) == 0)
                now.n_runs++;
        run_spec_clear(&spec);
}

static void take_news(Run *r) {
        OutputPiece p;
        uint64_t limit;
        json_t *result;
        char buf[64];

        for (RunNews news;
                r->follows && (news = run_next(r, &p, &limit, &result)) != RUN_NOTHING && news != RUN_OVER;) {
                if (news == RUN_OUTPUT) {
                        size_t n = output_gather(&r->exec->log, &p, limit, buf, sizeof buf, true);
                        must(n > 0 && p.offset + n <= limit);
                        run_advance(r, p.offset + n);
                } else if (news == RUN_RESULT) {
                        must(json_is_object(result));
                        json_decref(result);
                }
        }
}

static void put(int stream, const void *bytes, size_t n) {
        if (now.streams[stream] >= 0)
                (void) !write(now.streams[stream], bytes, n);
}

static size_t step(const uint8_t *data, size_t size) {
        size_t n = size > 1 ? data[1] : 0, used = 1;

        switch (data[0]) {
        case 's':
                n = MIN(n, size > 2 ? size - 2 : 0);
                put(0, data + 2, n);
                used = 2 + n;
                break;
        case 'o':
        case 'e':
                put(data[0] == 'o' ? 1 : 2, "0123456789abcdefghijklmnopqrst\xc3\xa4", n % 33);
                used = 2;
                break;
        case 'r':
        case 'f':
                begin_run(data[0] == 'f');
                break;
        case 'n':
                for (unsigned i = 0; i < now.n_runs; i++)
                        take_news(now.runs[i]);
                break;
        case 'i':
                (void) context_interrupt(now.context, NULL);
                break;
        case 'c':
                if (now.n_runs > 0)
                        context_run_cancel(now.runs[now.n_runs - 1]);
                break;
        case 't':
                tell(INIT_SIGNALLED);
                break;
        case 'R':
                (void) context_restart(now.context, NULL);
                break;
        case 'x':
                tell(INIT_EXITED);
                break;
        case 'h':
                now.streams[0] = fd_close(now.streams[0]);
                break;
        }
        return MIN(used, size);
}

static void finish(void) {
        session_end(now.session, SESSION_DELETED);
        for (unsigned i = 0; i < 100 && now.session->sandbox->state != SANDBOX_ENDED; i++)
                run_ready(worker.event);
        for (unsigned i = 0; i < now.n_runs; i++) {
                Run *r = now.runs[i];
                must(r->over);
                take_news(r);
                _cleanup_json_ json_t *j = run_describe(r);
                _cleanup_free_ char *text = json_dumps(j, 0);
                must(j && text);
                (void) run_unref(r);
        }
        now.n_runs = 0;
        now.session = session_unref(now.session);
        fds_close(now.streams, 3);
        run_ready(worker.event);
        must(session_count(worker.sessions) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        ContextSpec spec = { .language = strdup("python") };

        if (!worker.event)
                set_up();
        now.streams[0] = now.streams[1] = now.streams[2] = -EBADF;
        make_session();
        must(context_start(now.session, &spec, &now.context, NULL) == 0);
        context_spec_clear(&spec);
        serve();
        while (size > 0) {
                size_t n = step(data, size);
                data += n;
                size -= n;
                serve();
        }
        finish();
        return 0;
}
