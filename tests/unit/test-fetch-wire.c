/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "fetch/fetch-internal.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)
#define BODY_MAX (512U * 1024U)

typedef struct Fixture {
        sd_event *event;
        Fetcher *fetcher;
        FetchServer *server;
        int listener, peer; /* the server's end of the last connection */
        unsigned n_accepted;
} Fixture;

typedef struct Outcome {
        Fetch *fetch;
        bool head, done, refuses;
        int result;
        char *body;
        size_t body_size;
} Outcome;

static void on_head(Fetch *f, void *userdata) {
        Outcome *o = userdata;

        (void) f;
        assert_false(o->head);
        o->head = true;
}

static bool on_data(Fetch *f, const char *data, size_t size, void *userdata) {
        Outcome *o = userdata;

        (void) f;
        assert_true(o->head && !o->done && size > 0);
        if (o->refuses)
                return false;
        assert_true(o->body_size + size <= BODY_MAX);
        o->body = realloc(o->body, o->body_size + size);
        assert_non_null(o->body);
        memcpy(o->body + o->body_size, data, size);
        o->body_size += size;
        return true;
}

static void on_done(Fetch *f, int result, void *userdata) {
        Outcome *o = userdata;

        (void) f;
        assert_false(o->done);
        o->done = true;
        o->result = result;
}

static const FetchOps ops = { .head = on_head, .data = on_data, .done = on_done };

static void listen_again(Fixture *f) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        char url[128];

        (void) snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "test-fetch-wire-%d", (int) getpid());
        (void) snprintf(url, sizeof url, "unix:@%s", a.sun_path + 1);
        f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(f->listener >= 0);
        socklen_t size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a.sun_path + 1));
        assert_int_equal(bind(f->listener, (struct sockaddr *) &a, size), 0);
        assert_int_equal(listen(f->listener, 16), 0);
        if (!f->server)
                assert_int_equal(fetch_server_new(f->fetcher, url, &f->server), 0);
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);

        assert_non_null(f);
        f->peer = -EBADF;
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(fetcher_new(f->event, &f->fetcher), 0);
        listen_again(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        fd_close(f->listener);
        fd_close(f->peer);
        f->server = fetch_server_free(f->server);
        assert_int_equal(f->fetcher->n_wires, 0);
        assert_int_equal(f->fetcher->n_idle, 0);
        f->fetcher = fetcher_free(f->fetcher);
        f->event = sd_event_unref(f->event);
        free(f);
        return 0;
}

static void turn(Fixture *f) {
        assert_true(sd_event_run(f->event, 0) >= 0);
        int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return;
        fd_close(f->peer);
        f->peer = fd;
        f->n_accepted++;
}

static void turns(Fixture *f, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                turn(f);
}

static void begin(Fixture *f, const char *method, const char *body, Outcome *o) {
        FetchRequest q = { .method = method, .target = "/a?b", .body = body, .body_size = body ? strlen(body) : 0 };

        *o = (Outcome){ 0 };
        assert_int_equal(fetch_start(f->server, &q, &ops, o, &o->fetch), 0);
}

static void end(Outcome *o) {
        o->fetch = fetch_free(o->fetch);
        free(o->body);
        o->body = NULL;
}

/* What the server has received, once that is @size bytes. */
static void await_request(Fixture *f, char *buf, size_t size) {
        usec_t until = clock_monotonic() + PATIENCE_USEC;
        size_t used = 0;

        while (used < size) {
                assert_true(clock_monotonic() < until);
                turn(f);
                ssize_t n = f->peer >= 0 ? recv(f->peer, buf + used, size - used, 0) : -1;
                used += n > 0 ? (size_t) n : 0;
        }
        buf[used] = '\0';
}

static const char get_text[] = "GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n";
static const char post_text[] = "POST /a?b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nxyz";

static void await_get(Fixture *f) {
        char buf[512];

        await_request(f, buf, strlen(get_text));
        assert_string_equal(buf, get_text);
}

static void await_post(Fixture *f) {
        char buf[512];

        await_request(f, buf, strlen(post_text));
        assert_string_equal(buf, post_text);
}

static void await_end(Fixture *f, const Outcome *o) {
        for (usec_t until = clock_monotonic() + PATIENCE_USEC; !o->done; turn(f))
                assert_true(clock_monotonic() < until);
}

static void say(Fixture *f, const char *text, size_t size) {
        assert_int_equal(send(f->peer, text, size, MSG_NOSIGNAL), (ssize_t) size);
}

/* --- answers --- */

typedef struct Case {
        const char *method, *answer, *body;
        int result;
        bool ends, kept; /* the server's end is closed; the connection is used again */
} Case;

#define OK "HTTP/1.1 200 OK\r\n"
/* clang-format off */
static const Case cases[] = {
        { "GET", OK "Content-Length: 3\r\n\r\nabc", "abc", 0, false, true },
        { "GET", OK "Content-Length: 0\r\n\r\n", "", 0, false, true },
        { "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", 0, false, true },
        { "GET", "HTTP/1.1 304\r\nContent-Length: 7\r\n\r\n", "", 0, false, true },
        { "HEAD", OK "Content-Length: 7\r\n\r\n", "", 0, false, true },
        { "GET", OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0a;x=y\r\n0123456789\r\n0\r\nLater: 1\r\n\r\n",
                "abc0123456789", 0, false, true },
        { "GET", "HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" OK "Content-Length: 1\r\n\r\nx", "x", 0, false, true },
        { "GET", OK "Connection: keep-alive, Close\r\nContent-Length: 1\r\n\r\nx", "x", 0, false, false },
        { "GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "x", 0, false, false },
        { "GET", OK "\r\nall of it", "all of it", 0, true, false },
        { "GET", OK "Content-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n", "x", 0, false, false },
        { "GET", OK "Content-Length: 9\r\n\r\nabc", "abc", -ECONNRESET, true, false },
        { "GET", OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "abc", -ECONNRESET, true, false },
        { "GET", OK "Content-", "", -ECONNRESET, true, false },
        { "GET", "", "", -ECONNRESET, true, false },
        { "GET", "HTTP/1.", "", -EPROTO, true, false },
        { "GET", "SSH-2.0-x\r\n", "", -EPROTO, false, false },
        { "GET", "HTTP/2.0 200 OK\r\n\r\n", "", -EPROTO, false, false },
        { "GET", "HTTP/1.1 20 OK\r\n\r\n", "", -EPROTO, false, false },
        { "GET", "HTTP/1.1 2000 OK\r\n\r\n", "", -EPROTO, false, false },
        { "GET", "HTTP/1.1 600 OK\r\n\r\n", "", -EPROTO, false, false },
        { "GET", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "", -EPROTO, false, false },
        { "GET", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "", -EPROTO, false, false },
        { "GET", OK " folded: 1\r\n\r\n", "", -EPROTO, false, false },
        { "GET", OK "A: b\r\n c\r\n\r\n", "", -EPROTO, false, false },
        { "GET", OK "A b: c\r\n\r\n", "", -EPROTO, false, false },
        { "GET", OK "A: b\001\r\n\r\n", "", -EPROTO, false, false },
        { "GET", OK ": b\r\n\r\n", "", -EPROTO, false, false },
        { "GET", OK "nothing\r\n\r\n", "", -EPROTO, false, false },
        { "GET", OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "", -EPROTO, false, false },
        { "GET", OK "Content-Length: +1\r\n\r\nx", "", -EPROTO, false, false },
        { "GET", OK "Content-Length: 1, 1\r\n\r\nx", "", -EPROTO, false, false },
        { "GET", OK "Content-Length:\r\n\r\n", "", -EPROTO, false, false },
        { "GET", OK "Content-Length: 18446744073709551616\r\n\r\n", "", -EPROTO, false, false },
        { "GET", OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "", -EPROTO, false, false },
        { "GET", OK "Transfer-Encoding: gzip, chunked\r\n\r\n", "", -EPROTO, false, false },
        { "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", -EPROTO, false, false },
        { "GET", OK "Transfer-Encoding: chunked\r\n\r\nx\r\n", "", -EPROTO, false, false },
        { "GET", OK "Transfer-Encoding: chunked\r\n\r\n-1\r\n", "", -EPROTO, false, false },
        { "GET", OK "Transfer-Encoding: chunked\r\n\r\n1ffffffffffffffff\r\n", "", -EPROTO, false, false },
        { "GET", OK "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "a", -EPROTO, false, false },
};
/* clang-format on */

static void check_case(Fixture *f, const Case *c, size_t piece) {
        size_t size = strlen(c->answer);
        unsigned before = f->fetcher->n_wires;
        char buf[512];
        Outcome o;

        assert_int_equal(before, f->fetcher->n_idle);
        begin(f, c->method, NULL, &o);
        await_request(f, buf, strlen(get_text) + strlen(c->method) - 3);
        for (size_t at = 0; at < size; at += piece) {
                ssize_t n = send(f->peer, c->answer + at, MIN(piece, size - at), MSG_NOSIGNAL);
                assert_true(n > 0 || o.done);
                turns(f, 2);
        }
        if (c->ends)
                f->peer = fd_close(f->peer);
        await_end(f, &o);
        assert_int_equal(o.result, c->result);
        assert_int_equal(o.body_size, strlen(c->body));
        if (o.body_size > 0)
                assert_memory_equal(o.body, c->body, o.body_size);
        turns(f, 2); /* what came behind is noticed */
        assert_int_equal(f->fetcher->n_idle, c->kept);
        assert_int_equal(f->fetcher->n_wires, c->kept);
        end(&o);
        if (!c->kept)
                f->peer = fd_close(f->peer);
}

static void test_answers(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                check_case(*state, cases + i, SIZE_MAX / 2);
                check_case(*state, cases + i, 1);
                check_case(*state, cases + i, 7);
        }
}

/* A head, or what follows a body, that does not end. */
static void check_endless(Fixture *f, const char *start, const char *line) {
        Outcome o;
        size_t sent = 0;

        begin(f, "GET", NULL, &o);
        await_get(f);
        say(f, start, strlen(start));
        while (!o.done) {
                assert_true(sent < 1024UL * 1024UL);
                ssize_t n = send(f->peer, line, strlen(line), MSG_NOSIGNAL);
                sent += n > 0 ? (size_t) n : 0;
                turn(f);
        }
        assert_int_equal(o.result, -EPROTO);
        end(&o);
        f->peer = fd_close(f->peer);
}

static void test_without_end(void **state) {
        check_endless(*state, OK, "A: 0123456789012345678901234567890123456789\r\n");
        check_endless(*state, OK "A: ", "0123456789012345678901234567890123456789");
        check_endless(*state, "", "HTTP/1.1 100 Continue\r\n\r\n");
        check_endless(*state, OK "Transfer-Encoding: chunked\r\n\r\n0\r\n", "A: 01234567890123456789\r\n");
        check_endless(*state, OK "Transfer-Encoding: chunked\r\n\r\n1;", "01234567890123456789");
}

/* --- connections --- */

static const char answer_text[] = OK "Content-Length: 3\r\n\r\nabc";

static void serve(Fixture *f, const char *method, Outcome *o) {
        bool post = strcmp(method, "POST") == 0;

        begin(f, method, post ? "xyz" : NULL, o);
        (post ? await_post : await_get)(f);
        say(f, answer_text, strlen(answer_text));
        await_end(f, o);
        assert_int_equal(o->result, 0);
        end(o);
}

static void test_kept(void **state) {
        Fixture *f = *state;
        Outcome o;

        for (unsigned i = 0; i < 20; i++)
                serve(f, i % 2 ? "POST" : "GET", &o);
        assert_int_equal(f->n_accepted, 1);
}

/* The server has closed it meanwhile, which is heard of at once. */
static void test_kept_one_ends(void **state) {
        Fixture *f = *state;
        Outcome o;

        serve(f, "GET", &o);
        f->peer = fd_close(f->peer);
        turns(f, 2);
        assert_int_equal(f->fetcher->n_idle, 0);
        serve(f, "POST", &o);
        assert_int_equal(f->n_accepted, 2);
}

/* It has closed it, and that was not heard of yet. */
static void test_kept_one_has_ended(void **state) {
        Fixture *f = *state;
        Outcome o;

        for (unsigned i = 0; i < 2; i++) {
                serve(f, "GET", &o);
                f->peer = fd_close(f->peer);
                serve(f, i ? "GET" : "POST", &o);
        }
        assert_int_equal(f->n_accepted, 3);
}

/* What comes without a question is no answer to the next, whatever that is. */
static void test_talks_out_of_turn(void **state) {
        static const char extra[] = OK "Content-Length: 4\r\n\r\nevil";
        Fixture *f = *state;
        Outcome o;

        for (unsigned i = 0; i < 2; i++) {
                serve(f, "GET", &o);
                say(f, extra, strlen(extra)); /* it is there, and was not heard of yet */
                begin(f, i ? "GET" : "POST", i ? NULL : "xyz", &o);
                (i ? await_get : await_post)(f);
                say(f, answer_text, strlen(answer_text));
                await_end(f, &o);
                assert_int_equal(o.result, 0);
                assert_int_equal(o.body_size, 3);
                assert_memory_equal(o.body, "abc", 3);
                end(&o);
        }
        assert_int_equal(f->n_accepted, 3);
}

/* A connection that waits does not keep what a long line took. */
static void test_long_line(void **state) {
        Fixture *f = *state;
        char line[8000];
        Outcome o;

        begin(f, "GET", NULL, &o);
        await_get(f);
        memset(line, 'a', sizeof line);
        say(f, OK "Long: ", strlen(OK "Long: "));
        say(f, line, sizeof line);
        turns(f, 3);
        say(f, "\r\nContent-Length: 0\r\n\r\n", 23);
        await_end(f, &o);
        assert_int_equal(o.result, 0);
        end(&o);
        assert_int_equal(f->fetcher->n_idle, 1);
        assert_int_equal(TAILQ_FIRST(&f->fetcher->idle)->answer.line_size, 0);
        serve(f, "GET", &o);
        assert_int_equal(f->n_accepted, 1);
}

/* It closes it when the request is there: only what changes nothing goes out twice. */
static void test_closed_with_request(void **state) {
        Fixture *f = *state;
        Outcome o;

        serve(f, "GET", &o);
        begin(f, "POST", "xyz", &o);
        await_post(f);
        f->peer = fd_close(f->peer);
        await_end(f, &o);
        assert_int_equal(o.result, -ECONNRESET);
        assert_true(fetch_was_sent(o.fetch));
        end(&o);

        serve(f, "GET", &o);
        begin(f, "GET", NULL, &o);
        await_get(f);
        f->peer = fd_close(f->peer);
        await_get(f);
        f->peer = fd_close(f->peer); /* on a new connection: not again */
        await_end(f, &o);
        assert_int_equal(o.result, -ECONNRESET);
        end(&o);
}

static void test_no_server(void **state) {
        Fixture *f = *state;
        Outcome o;

        f->listener = fd_close(f->listener);
        begin(f, "GET", NULL, &o);
        assert_false(o.done); /* never from within the call */
        await_end(f, &o);
        assert_int_equal(o.result, -ECONNREFUSED);
        assert_false(fetch_was_sent(o.fetch));
        end(&o);
        begin(f, "GET", NULL, &o);
        end(&o); /* before it was told */
        listen_again(f);
        serve(f, "GET", &o);
}

static void test_given_up(void **state) {
        Fixture *f = *state;
        Outcome o;

        begin(f, "GET", NULL, &o);
        await_get(f);
        end(&o);
        char byte;
        assert_int_equal(recv(f->peer, &byte, 1, 0), 0);
        assert_int_equal(f->fetcher->n_wires, 0);
}

static void test_no_answer_in_time(void **state) {
        Fixture *f = *state;
        FetchRequest q = { .method = "GET", .target = "/a?b", .head_patience = 20 * USEC_PER_MSEC };
        Outcome o = { 0 };

        assert_int_equal(fetch_start(f->server, &q, &ops, &o, &o.fetch), 0);
        await_end(f, &o);
        assert_int_equal(o.result, -ETIMEDOUT);
        assert_int_equal(f->fetcher->n_wires, 0);
        end(&o);
}

/* --- bodies --- */

/* What is not taken waits, and nothing is lost; meanwhile the server is held up. */
static void test_held_up(void **state) {
        static const char *const heads[] = { OK "Content-Length: 300000\r\n\r\n", OK "\r\n",
                OK "Transfer-Encoding: chunked\r\n\r\n493e0\r\n" };
        static char body[300000];
        Fixture *f = *state;
        Outcome o;

        for (size_t i = 0; i < sizeof body; i++)
                body[i] = (char) (i * 7 % 251);
        for (size_t k = 0; k < ELEMENTSOF(heads); k++) {
                size_t sent = 0;
                begin(f, "GET", NULL, &o);
                await_get(f);
                say(f, heads[k], strlen(heads[k]));
                usec_t until = clock_monotonic() + PATIENCE_USEC;
                for (unsigned i = 0; sent < sizeof body; i++) {
                        assert_true(clock_monotonic() < until);
                        o.refuses = i % 3 != 0;
                        ssize_t n = send(f->peer, body + sent, MIN(sizeof body - sent, 50000U), MSG_NOSIGNAL);
                        sent += n > 0 ? (size_t) n : 0;
                        turn(f);
                        if (!o.refuses)
                                fetch_wake_data(o.fetch);
                }
                o.refuses = false;
                while (k == 2 && send(f->peer, "\r\n0\r\n\r\n", 7, MSG_NOSIGNAL) < 0) {
                        assert_true(clock_monotonic() < until);
                        turn(f);
                        fetch_wake_data(o.fetch);
                }
                if (k == 1)
                        f->peer = fd_close(f->peer);
                o.refuses = true;
                turns(f, 3);
                o.refuses = false;
                fetch_wake_data(o.fetch);
                assert_false(o.done);
                await_end(f, &o);
                assert_int_equal(o.result, 0);
                assert_int_equal(o.body_size, sizeof body);
                assert_memory_equal(o.body, body, sizeof body);
                end(&o);
                serve(f, "GET", &o);
        }
}

static void test_large_request(void **state) {
        Fixture *f = *state;
        size_t size = BODY_MAX, used = 0;
        char *body = malloc(size + 1), *got = malloc(size + 512);
        usec_t until = clock_monotonic() + PATIENCE_USEC;
        Outcome o;

        assert_true(body && got);
        memset(body, 'b', size);
        body[size] = '\0';
        begin(f, "POST", body, &o);
        while (used < size || !memmem(got, used, "\r\n\r\n", 4)) {
                assert_true(clock_monotonic() < until);
                turn(f);
                ssize_t n = f->peer >= 0 ? recv(f->peer, got + used, MIN((size_t) 30000, size + 512 - used), 0) : -1;
                used += n > 0 ? (size_t) n : 0;
                const char *end_of_head = memmem(got, used, "\r\n\r\n", 4);
                if (end_of_head && used == (size_t) (end_of_head - got) + 4 + size)
                        break;
        }
        say(f, answer_text, strlen(answer_text));
        await_end(f, &o);
        assert_int_equal(o.result, 0);
        end(&o);
        free(body);
        free(got);
        serve(f, "GET", &o);
        assert_int_equal(f->n_accepted, 1);
}

/* Nothing that is given can become another line. */
static void test_lines(void **state) {
        static const char *const bad[][3] = { { "G\r\nET", "/", "x" }, { "GET", "/ HTTP/1.1\r\nA: b", "x" },
                { "GET", "/", "x\r\nA: b" }, { "GET", "/", "x\nA" } };
        Fixture *f = *state;
        Fetch *fetch = NULL;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                FetchHeader h = { "X", bad[i][2] };
                FetchRequest q = { .method = bad[i][0], .target = bad[i][1], .headers = &h, .n_headers = 1 };
                assert_int_equal(fetch_start(f->server, &q, &ops, NULL, &fetch), -EINVAL);
                assert_null(fetch);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
                cmocka_unit_test_setup_teardown(test_without_end, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kept_one_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kept_one_has_ended, setup, teardown),
                cmocka_unit_test_setup_teardown(test_talks_out_of_turn, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
                cmocka_unit_test_setup_teardown(test_closed_with_request, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_server, setup, teardown),
                cmocka_unit_test_setup_teardown(test_given_up, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_answer_in_time, setup, teardown),
                cmocka_unit_test_setup_teardown(test_held_up, setup, teardown),
                cmocka_unit_test_setup_teardown(test_large_request, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
