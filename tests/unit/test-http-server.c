/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http-fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* --- routes --- */

static void test_routes(void **state) {
        Fixture *f = *state;

        assert_string_equal(body_of(get(f, "/open", "")), "open");
        assert_string_equal(body_of(get(f, "/parts/one/x/two", "")), "one|two");
        assert_string_equal(body_of(get(f, "/parts/%41%20b/x/%c3%a9", "")), "A b|\xc3\xa9");
}

static void test_paths_that_are_none(void **state) {
        static const char *const paths[] = { "/", "/ope", "/open/", "/open2", "//open", "/OPEN", "/open/../open",
                "/parts/a/x", "/parts/a/x/", "/parts//x/b", "/parts/a/y/b", "/parts/a/x/b/c", "/parts/a%2fx/x/b", "*",
                "http://a/open", "/open;x" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                assert_problem(get(f, paths[i], ""), 404, "path");
        assert_int_equal(f->routes.n_calls, 0);
}

static void test_escapes_that_are_none(void **state) {
        static const char *const paths[] = { "/open%00", "/open%", "/open%4", "/open%zz", "/arguments?a=%",
                "/arguments?%gg=1" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                assert_problem(get(f, paths[i], ""), 400, "path");
                assert_closes(f, &f->clients[0]);
                (void) fd_close(f->clients[0].fd);
                f->clients[0].fd = http_routes_connect(&f->routes);
                f->clients[0].closed = false;
                f->clients[0].used = 0;
        }
        assert_int_equal(f->routes.n_calls, 0);
}

static void test_arguments(void **state) {
        Fixture *f = *state;

        assert_string_equal(body_of(get(f, "/arguments?a=b&c&d=%41%20+&%65=", "")), "a=b;c=;d=A  ;e=;");
        assert_string_equal(body_of(get(f, "/arguments", "")), "");
}

static int connect_own(const char *name) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        memcpy(a.sun_path + 1, name, strlen(name));
        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (struct sockaddr *) &a,
                                 (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))),
                0);
        return fd;
}

static void test_own_requests_need_no_key_and_say_whose_they_are(void **state) {
        Fixture *f = *state;
        char name[HTTP_OWN_NAME_MAX];

        assert_int_equal(http_server_listen_own(f->routes.server, name), 0);
        (void) fd_close(f->clients[0].fd);
        f->clients[0].fd = connect_own(name);
        assert_string_equal(body_of(get(f, "/owner", "X-Sandboxd-Owner: uid:7\r\n")), "uid:7");
        assert_string_equal(body_of(get(f, "/owner", "")), "");
}

static void test_no_other_process_has_the_own_socket(void **state) {
        Fixture *f = *state;
        char name[HTTP_OWN_NAME_MAX], byte;
        int status;

        assert_int_equal(http_server_listen_own(f->routes.server, name), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) { /* connects, and exits with 0 when it is cut off */
                static const char request[] = "GET /owner HTTP/1.1\r\nHost: a\r\n\r\n";
                int fd = connect_own(name);
                (void) fcntl(fd, F_SETFL, 0);
                (void) send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
                _exit(recv(fd, &byte, 1, 0) > 0 ? 1 : 0);
        }
        while (waitpid(pid, &status, WNOHANG) == 0)
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_int_equal(f->routes.n_calls, 0);
}

static void test_methods(void **state) {
        Fixture *f = *state;

        const char *text = ask(f, "DELETE /echo HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_problem(text, 405, "method");
        assert_has(text, "\r\nAllow: POST, PUT\r\n");
        assert_problem(ask(f, "get /open HTTP/1.1\r\nHost: a\r\n\r\n"), 405, "method");
        assert_problem(ask(f, "OPTIONS /open HTTP/1.1\r\nHost: a\r\n\r\n"), 405, "method");
}

static void test_head_has_no_body(void **state) {
        Fixture *f = *state;
        Client *c = &f->clients[0];

        send_text(c, "HEAD /open HTTP/1.1\r\nHost: a\r\n\r\n");
        RUN_UNTIL(f->event, (take(c), strstr(c->text, "\r\n\r\n")));
        assert_status(c->text, 200);
        assert_has(c->text, "Content-Length: 4\r\n");
        assert_string_equal(body_of(c->text), "");
        c->used = 0;
        assert_string_equal(body_of(get(f, "/open", "")), "open");
}

static void test_a_refusal_keeps_the_connection(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < 3; i++) {
                assert_problem(get(f, "/nowhere", ""), 404, "path");
                assert_problem(get(f, "/owner", ""), 401, NULL);
                assert_string_equal(body_of(get(f, "/open", "")), "open");
        }
}

/* --- answers --- */

static void test_problem(void **state) {
        Fixture *f = *state;
        const char *text = get(f, "/refusal", "");

        assert_status(text, 429);
        assert_has(text, "\r\nRetry-After: 7\r\n");
        _cleanup_json_ json_t *j = problem_of(text);
        assert_string_equal(json_string_value(json_object_get(j, "field")), "a\"b");
        assert_string_equal(json_string_value(json_object_get(j, "limit")), "5 things");
        assert_int_equal(json_integer_value(json_object_get(j, "retry_after")), 7);
        /* text that was cut within a character is still text */
        assert_string_equal(
                json_string_value(json_object_get(j, "detail")), "Too many \xe2\x82\xac: \"a\xef\xbf\xbd\".");
}

static void test_no_header_comes_from_a_value(void **state) {
        Fixture *f = *state;
        const char *text = ask(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");

        assert_status(text, 200);
        assert_has(text, "\r\nX-Echo: yes\r\n");
        assert_null(strcasestr(text, "X-Injected"));
        assert_null(strcasestr(text, "X-Evil"));
}

static void test_request_ids(void **state) {
        static const char *const kept[] = { "a", "A-Z_0.9:/+=" };
        static const char *const made[] = { "a b", "a\"b", "a,b", "\xc3\xa9", "a<b" };
        Fixture *f = *state;
        char header[256];

        for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
                (void) snprintf(header, sizeof header, "X-Request-Id: %s\r\n", kept[i]);
                assert_has(get(f, "/open", header), header);
                assert_has(get(f, "/nowhere", header), header);
        }
        for (size_t i = 0; i < ELEMENTSOF(made); i++) {
                (void) snprintf(header, sizeof header, "X-Request-Id: %s\r\n", made[i]);
                const char *text = get(f, "/open", header);
                assert_null(strstr(text, header));
                assert_has(text, "\r\nX-Request-Id: ");
        }
        (void) snprintf(header, sizeof header, "X-Request-Id: %0129d\r\n", 7);
        assert_null(strstr(get(f, "/open", header), header));
}

/* --- keys --- */

static void test_keys(void **state) {
        static const char *const good[] = { "Authorization: Bearer sesame\r\n", "authorization: bearer sesame\r\n",
                "X-API-Key: sesame\r\n", "Authorization: Basic eDp5\r\nX-API-Key: sesame\r\n" };
        static const char *const bad[] = { "", "Authorization:\r\n", "Authorization: Bearer\r\n",
                "Authorization: Bearer \r\n", "Authorization: sesame\r\n", "Authorization: Basic sesame\r\n",
                "Authorization: Bearer sesam\r\n", "Authorization: Bearer sesamee\r\n",
                "Authorization: Bearer  sesame\r\n", "X-API-Key: SESAME\r\n", "Api-Key: sesame\r\n",
                "Authorization: Bearer wrong\r\nX-API-Key: sesame\r\n" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_string_equal(body_of(get(f, "/owner", good[i])), "ali");
        unsigned before = f->routes.n_calls;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                const char *text = get(f, "/owner", bad[i]);
                assert_problem(text, 401, NULL);
                assert_has(text, "\r\nWWW-Authenticate: Bearer\r\n");
        }
        assert_int_equal(f->routes.n_calls, before);
}

static void test_two_keys(void **state) {
        Fixture *f = *state;

        assert_problem(get(f, "/owner", "Authorization: Bearer sesame\r\nAuthorization: Bearer sesame\r\n"), 400,
                "Authorization");
        assert_closes(f, &f->clients[0]);
        send_text(&f->clients[1], "GET /owner HTTP/1.1\r\nHost: a\r\nX-API-Key: x\r\nX-API-Key: sesame\r\n\r\n");
        assert_problem(next_answer(f, &f->clients[1]), 400, "Authorization");
        assert_int_equal(f->routes.n_calls, 0);
}

static void test_the_key_comes_before_the_body(void **state) {
        Fixture *f = *state;

        /* the body never comes */
        assert_problem(ask(f, "POST /locked HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n"), 401, NULL);
}

/* --- bodies --- */

static void test_bodies(void **state) {
        Fixture *f = *state;
        char text[2048];

        assert_string_equal(
                body_of(ask(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")), "hello");
        assert_string_equal(body_of(ask(f, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                           "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")),
                "hello");
        assert_string_equal(body_of(ask(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")), "");
        assert_string_equal(body_of(ask(f, "POST /echo HTTP/1.1\r\nHost: a\r\n\r\n")), "");
        (void) snprintf(text, sizeof text, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n%01000d", 7);
        assert_int_equal(strlen(body_of(ask(f, text))), 1000);
}

static void test_bodies_in_pieces(void **state) {
        static const char request[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        Fixture *f = *state;

        for (size_t i = 0; i + 1 < sizeof request - 1; i++) {
                send_bytes(&f->clients[0], request + i, 1);
                run_ready(f->event);
        }
        send_bytes(&f->clients[0], request + sizeof request - 2, 1);
        assert_string_equal(body_of(next_answer(f, &f->clients[0])), "hello");
}

static void test_bodies_that_are_too_large(void **state) {
        Fixture *f = *state;
        Client *c = &f->clients[1];

        /* told before it comes */
        assert_problem(ask(f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n"), 413, "body");
        assert_closes(f, &f->clients[0]);
        send_text(c, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n");
        assert_problem(next_answer(f, c), 413, "body");
        /* found out while it comes */
        c = &f->clients[2];
        send_text(c, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n");
        run_ready(f->event);
        send_text(c, "3\r\nabc\r\n0\r\n\r\n");
        assert_problem(next_answer(f, c), 413, "body");
        assert_int_equal(f->routes.n_calls, 0);
}

/* Who sends on sees the answer all the same: the connection is not broken off under it. */
static void test_an_answer_beside_a_body(void **state) {
        char piece[4096];
        Fixture *f = *state;
        Client *c = &f->clients[0];

        memset(piece, 'x', sizeof piece);
        send_text(c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
        for (int i = 0; i < 1000; i++) {
                ssize_t n = send(c->fd, piece, sizeof piece, MSG_DONTWAIT | MSG_NOSIGNAL);
                assert_true(n > 0 || errno == EAGAIN);
                run_ready(f->event);
        }
        assert_problem(next_answer(f, c), 413, "body");
        assert_closes(f, c);
}

static void test_a_body_where_none_belongs(void **state) {
        Fixture *f = *state;

        assert_problem(ask(f, "GET /open HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"), 413, "body");
}

static void test_body_as_it_comes(void **state) {
        Fixture *f = *state;
        Client *c = &f->clients[0];

        f->routes.hold = true;
        send_text(c, "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234567");
        RUN_UNTIL(f->event, f->routes.held);
        assert_int_equal(f->routes.n_body, 4);
        run_ready(f->event);
        assert_int_equal(f->routes.n_body, 4); /* not before it is woken */
        f->routes.hold = false;
        http_body_wake(f->routes.held);
        send_text(c, "89");
        const char *text = next_answer(f, c);
        assert_string_equal(body_of(text), "10");
        assert_int_equal(f->routes.n_cancelled, 0);
}

static void test_leaving_while_the_body_is_held(void **state) {
        Fixture *f = *state;

        f->routes.hold = true;
        send_text(&f->clients[0], "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234567");
        RUN_UNTIL(f->event, f->routes.held);
        f->clients[0].fd = fd_close(f->clients[0].fd);
        RUN_UNTIL(f->event, f->routes.n_cancelled == 1);
        RUN_UNTIL(f->event, http_server_n_busy(f->routes.server) == 0);
}

/* --- answers that come later --- */

static void test_an_answer_that_comes_later(void **state) {
        Fixture *f = *state;
        Client *c = &f->clients[0];

        send_text(c, "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /open HTTP/1.1\r\nHost: a\r\n\r\n");
        RUN_UNTIL(f->event, f->routes.waiting);
        run_ready(f->event);
        take(c);
        assert_int_equal(c->used, 0); /* the one behind it waits too */
        send_text(&f->clients[1], "GET /open HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_status(next_answer(f, &f->clients[1]), 200); /* others do not */
        answer_waiting(f, "later");
        assert_string_equal(body_of(next_answer(f, c)), "later");
        assert_string_equal(body_of(next_answer(f, c)), "open");
        assert_int_equal(f->routes.n_cancelled, 0);
}

static void test_clients_that_leave(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < 3; i++) {
                Client *c = &f->clients[i];
                send_text(c, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
                RUN_UNTIL(f->event, f->routes.waiting);
                if (i == 0)
                        c->fd = fd_close(c->fd);
                else
                        assert_int_equal(shutdown(c->fd, i == 1 ? SHUT_WR : SHUT_RDWR), 0);
                RUN_UNTIL(f->event, f->routes.n_cancelled == i + 1);
                assert_null(f->routes.waiting);
        }
        RUN_UNTIL(f->event, http_server_n_busy(f->routes.server) == 0);
}

static void test_the_server_ends_first(void **state) {
        Fixture *f = *state;

        send_text(&f->clients[0], "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        f->routes.hold = true;
        send_text(&f->clients[1], "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234567");
        RUN_UNTIL(f->event, f->routes.waiting && f->routes.held);
        send_text(&f->clients[2], "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123");
        run_ready(f->event);
        f->routes.server = http_server_free(f->routes.server);
        assert_int_equal(f->routes.n_cancelled, 2);
        assert_closes(f, &f->clients[0]);
        assert_closes(f, &f->clients[1]);
        assert_closes(f, &f->clients[2]);
}

static void test_an_answer_in_pieces(void **state) {
        Fixture *f = *state;

        f->routes.n_flow = 100000;
        const char *text = get(f, "/flow", "");
        assert_status(text, 200);
        size_t n = 0;
        for (const char *p = body_of(text); *p; p++)
                n += *p == 'x';
        assert_int_equal(n, 100000);
        assert_string_equal(body_of(get(f, "/open", "")), "open");
}

static void test_leaving_within_an_answer(void **state) {
        Fixture *f = *state;

        f->routes.n_flow = 100 * MIB;
        send_text(&f->clients[0], "GET /flow HTTP/1.1\r\nHost: a\r\n\r\n");
        RUN_UNTIL(f->event, f->routes.n_flow < 100 * MIB);
        run_ready(f->event);
        assert_true(f->routes.n_flow > 90 * MIB); /* who does not read is not written to for ever */
        f->clients[0].fd = fd_close(f->clients[0].fd);
        RUN_UNTIL(f->event, http_server_n_busy(f->routes.server) == 0);
        assert_int_equal(f->routes.n_cancelled, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_routes),
                TEST(test_paths_that_are_none),
                TEST(test_escapes_that_are_none),
                TEST(test_arguments),
                TEST(test_own_requests_need_no_key_and_say_whose_they_are),
                TEST(test_no_other_process_has_the_own_socket),
                TEST(test_methods),
                TEST(test_head_has_no_body),
                TEST(test_a_refusal_keeps_the_connection),
                TEST(test_problem),
                TEST(test_no_header_comes_from_a_value),
                TEST(test_request_ids),
                TEST(test_keys),
                TEST(test_two_keys),
                TEST(test_the_key_comes_before_the_body),
                TEST(test_bodies),
                TEST(test_bodies_in_pieces),
                TEST(test_bodies_that_are_too_large),
                TEST(test_an_answer_beside_a_body),
                TEST(test_a_body_where_none_belongs),
                TEST(test_body_as_it_comes),
                TEST(test_leaving_while_the_body_is_held),
                TEST(test_an_answer_that_comes_later),
                TEST(test_clients_that_leave),
                TEST(test_the_server_ends_first),
                TEST(test_an_answer_in_pieces),
                TEST(test_leaving_within_an_answer),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
