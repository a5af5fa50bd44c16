/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http-fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

/* --- many, slow and stuck ones --- */

static void test_the_longest_idle_makes_room(void **state) {
        Fixture *f = *state;
        Client more[8];

        (void) get(f, "/open", "");
        send_text(&f->clients[1], "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        RUN_UNTIL(f->event, f->routes.waiting);
        for (unsigned i = 0; i < 8; i++) {
                more[i] = (Client){ .fd = http_routes_connect(&f->routes) };
                send_text(&more[i], "GET /open HTTP/1.1\r\nHost: a\r\n\r\n");
                assert_status(next_answer(f, &more[i]), 200);
        }
        assert_closes(f, &f->clients[0]);
        answer_waiting(f, "x"); /* who is being served stays */
        assert_status(next_answer(f, &f->clients[1]), 200);
        for (unsigned i = 0; i < 8; i++)
                (void) close(more[i].fd);
        RUN_UNTIL(f->event, http_server_counters(f->routes.server)->connections <= 2);
        assert_int_equal(http_server_n_busy(f->routes.server), 0);
}

static void test_no_room_at_all(void **state) {
        Fixture *f = *state;
        Client more;

        http_server_configure(f->routes.server, 1000, 3);
        run_ready(f->event);
        f->routes.hold = true;
        send_text(&f->clients[0], "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        send_text(&f->clients[1], "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234567");
        send_text(&f->clients[2], "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123");
        RUN_UNTIL(f->event, f->routes.waiting && f->routes.held);
        run_ready(f->event);
        more = (Client){ .fd = http_routes_connect(&f->routes) };
        assert_closes(f, &more);
        assert_int_equal(http_server_counters(f->routes.server)->refused, 1);
        (void) close(more.fd);
        answer_waiting(f, "x");
        assert_status(next_answer(f, &f->clients[0]), 200);
}

static bool is_ali(const HttpRequest *r, void *userdata) {
        (*(unsigned *) userdata)++;
        return http_request_owner(r) && strcmp(http_request_owner(r), "ali") == 0;
}

static void test_whose_key_is_revoked(void **state) {
        Fixture *f = *state;
        unsigned n_asked = 0;

        send_text(&f->clients[0], "GET /v1/sessions/x/later HTTP/1.1\r\nHost: a\r\nX-API-Key: sesame\r\n\r\n");
        RUN_UNTIL(f->event, f->routes.waiting);
        f->routes.n_flow = SIZE_MAX / 2;
        send_text(&f->clients[1], "GET /flow HTTP/1.1\r\nHost: a\r\n\r\n");
        RUN_UNTIL(f->event, (take(&f->clients[1]), f->clients[1].used > 0));
        http_server_close(f->routes.server, is_ali, &n_asked);
        assert_int_equal(n_asked, 2);
        assert_closes(f, &f->clients[0]);
        RUN_UNTIL(f->event, f->routes.n_cancelled == 1);
        assert_false(f->clients[1].closed);
}

static void test_heads_that_do_not_come(void **state) {
        Fixture *f = *state;

        send_text(&f->clients[0], "GET /open HTTP/1.1\r\nHost: a\r\nX: ");
        run_ready(f->event);
        clock_shift_for_test(11 * USEC_PER_SEC);
        assert_closes(f, &f->clients[0]);
        assert_closes(f, &f->clients[1]); /* nothing at all */
        assert_int_equal(f->routes.n_calls, 0);
}

static void test_connections_that_are_idle(void **state) {
        Fixture *f = *state;

        (void) get(f, "/open", "");
        clock_shift_for_test(60 * USEC_PER_SEC);
        assert_string_equal(body_of(get(f, "/open", "")), "open");
        clock_shift_for_test((60 + 76) * USEC_PER_SEC);
        assert_closes(f, &f->clients[0]);
}

static void test_bodies_that_do_not_come(void **state) {
        Fixture *f = *state;

        send_text(&f->clients[0],
                "POST /echo HTTP/1.1\r\nHost: a\r\nX-Request-Id: slow\r\nContent-Length: 10\r\n\r\n0123");
        run_ready(f->event);
        clock_shift_for_test(31 * USEC_PER_SEC);
        const char *text = next_answer(f, &f->clients[0]);
        assert_problem(text, 408, NULL);
        assert_has(text, "\r\nX-Request-Id: slow\r\n");
        assert_closes(f, &f->clients[0]);
        RUN_UNTIL(f->event, http_server_n_busy(f->routes.server) == 0);
        assert_int_equal(f->routes.n_calls, 0);
}

static void test_who_is_waited_for_is_not_late(void **state) {
        Fixture *f = *state;

        send_text(&f->clients[0], "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        RUN_UNTIL(f->event, f->routes.waiting);
        clock_shift_for_test(3600 * USEC_PER_SEC);
        assert_closes(f, &f->clients[1]); /* a tick has passed */
        answer_waiting(f, "after an hour");
        assert_string_equal(body_of(next_answer(f, &f->clients[0])), "after an hour");
}

#define CHUNKED_HEAD "POST /echo HTTP/1.1\r\nHost: a\r\nX-Request-Id: long\r\nTransfer-Encoding: chunked\r\n\r\n"

static void assert_line_refused(Fixture *f, Client *c) {
        const char *text = next_answer(f, c);

        assert_problem(text, 400, NULL);
        assert_has(text, "\r\nX-Request-Id: long\r\n");
        assert_closes(f, c);
}

static void assert_served(Fixture *f, Client *c) {
        send_text(c, "GET /open HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_status(next_answer(f, c), 200);
}

/* Some that others are served beside, and one that sends a chunk now and then. */
static void test_a_line_of_a_chunk_without_an_end(void **state) {
        Fixture *f = *state;
        static char line[40000];

        memset(line, 'a', sizeof line);
        send_text(&f->clients[0], CHUNKED_HEAD "2;");
        send_text(&f->clients[2], CHUNKED_HEAD "1\r\nb");
        send_bytes(&f->clients[0], line, sizeof line);
        for (unsigned i = 0; i < 3; i++)
                assert_served(f, &f->clients[1]);
        assert_line_refused(f, &f->clients[0]);
        send_text(&f->clients[2], "\r\n0\r\n\r\n");
        assert_string_equal(body_of(next_answer(f, &f->clients[2])), "b");
        RUN_UNTIL(f->event, http_server_n_busy(f->routes.server) == 0);
        assert_served(f, &f->clients[1]);
}

/* Does the library turn in circles? */
static bool is_circling(Fixture *f) {
        for (unsigned i = 0; i < 50; i++)
                if (sd_event_run(f->event, 0) == 0)
                        return false;
        return true;
}

/* Nothing of it is left unread. */
static void test_a_line_of_a_chunk_that_fills_the_buffer(void **state) {
        Fixture *f = *state;
        static char line[32000];

        memset(line, 'a', sizeof line);
        send_text(&f->clients[0], CHUNKED_HEAD "2;");
        send_bytes(&f->clients[0], line, sizeof line);
        for (unsigned i = 0; !is_circling(f); i++) {
                assert_true(i < 1000);
                send_text(&f->clients[0], "a");
        }
        send_text(&f->clients[2], CHUNKED_HEAD "1\r\nb"); /* is merely slow */
        assert_served(f, &f->clients[1]);
        assert_true(is_circling(f));
        assert_int_equal(http_server_n_busy(f->routes.server), 2);
        clock_shift_for_test(2 * USEC_PER_SEC);
        assert_line_refused(f, &f->clients[0]);
        run_ready(f->event);
        send_text(&f->clients[2], "\r\n0\r\n\r\n");
        assert_string_equal(body_of(next_answer(f, &f->clients[2])), "b");
        RUN_UNTIL(f->event, http_server_n_busy(f->routes.server) == 0);
        assert_served(f, &f->clients[1]);
}

/* --- what may mean several things --- */

static void test_unclear_heads(void **state) {
        static const char *const heads[] = {
                "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                "Transfer-Encoding: chunked, identity\r\n",
                "Transfer-Encoding: identity\r\n",
                "Transfer-Encoding: xchunked\r\n",
                "Transfer-Encoding : chunked\r\nContent-Length: 4\r\n",
                "Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n",
                "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                "X: y\rTransfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                "Content-Length: 4\r\nContent-Length: 4\r\n",
                "Content-Length: 4\r\nContent-Length: 0\r\n",
                "Content-Length:\r\n 4\r\n",
                "X Y: z\r\nContent-Length: 4\r\n",
                "X\x01Y: z\r\nContent-Length: 4\r\n",
                "X: \x7f\r\nContent-Length: 4\r\n",
                "Host: b\r\nContent-Length: 4\r\n",
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(heads); i++) {
                Client *c = &f->clients[0];
                char text[512];
                (void) fd_close(c->fd);
                *c = (Client){ .fd = http_routes_connect(&f->routes) };
                (void) snprintf(text, sizeof text,
                        "POST /echo HTTP/1.1\r\nHost: a\r\n%s\r\n0\r\n\r\nGET /open HTTP/1.1\r\nHost: a\r\n\r\n",
                        heads[i]);
                send_text(c, text);
                assert_closes(f, c);
                if (strstr(c->text, "HTTP/1.1 2") || !strstr(c->text, "HTTP/1.1 400"))
                        fail_msg("%s: %s", heads[i], c->text);
        }
        assert_int_equal(f->routes.n_calls, 0);
}

static void test_chunks_in_http_1_0(void **state) {
        Fixture *f = *state;

        assert_problem(ask(f, "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "0\r\n\r\n"),
                400, "Content-Length");
        assert_closes(f, &f->clients[0]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_the_longest_idle_makes_room),
                TEST(test_no_room_at_all),
                TEST(test_whose_key_is_revoked),
                TEST(test_heads_that_do_not_come),
                TEST(test_connections_that_are_idle),
                TEST(test_bodies_that_do_not_come),
                TEST(test_who_is_waited_for_is_not_late),
                TEST(test_a_line_of_a_chunk_without_an_end),
                TEST(test_a_line_of_a_chunk_that_fills_the_buffer),
                TEST(test_unclear_heads),
                TEST(test_chunks_in_http_1_0),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
