/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "http-fixture.h"

#define HEAD                                                                                                           \
        "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"                            \
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
#define ABC "\x81\x83\0\0\0\0abc" /* masked with zeros */
#define PING "\x89\x80\0\0\0\0"
#define PINGS 10000U

static void accept_one(Fixture *f, Client *c) {
        send_text(c, HEAD);
        RUN_UNTIL(f->event, (take(c), strstr(c->text, "\r\n\r\n")));
        assert_status(c->text, 101);
        c->used = 0;
}

static void leave(Fixture *f, Client *c) {
        c->fd = fd_close(c->fd);
        RUN_UNTIL(f->event, f->routes.n_sockets == 0);
}

static void test_a_message_comes_back(void **state) {
        Fixture *f = *state;
        Client *c = &f->clients[0];

        accept_one(f, c);
        send_bytes(c, ABC, sizeof ABC - 1);
        RUN_UNTIL(f->event, (take(c), c->used >= 5));
        assert_memory_equal(c->text, "\x81\x03" "abc", 5);
        assert_int_equal(f->routes.n_sockets, 1);
        leave(f, c);
}

static void test_a_message_that_comes_with_the_head(void **state) {
        Fixture *f = *state;
        Client *c = &f->clients[0];

        send_bytes(c, HEAD ABC ABC, sizeof HEAD - 1 + 2 * (sizeof ABC - 1));
        RUN_UNTIL(f->event, (take(c), memmem(c->text, c->used, "\x81\x03" "abc\x81\x03" "abc", 10)));
        leave(f, c);
}

static void test_one_that_never_opens(void **state) {
        Fixture *f = *state;
        Client *c = &f->clients[0];

        assert_int_equal(shutdown(c->fd, SHUT_RD), 0); /* so that not even the head can be sent */
        send_text(c, HEAD);
        RUN_UNTIL(f->event, f->routes.n_calls == 1 && f->routes.n_sockets == 0);
        RUN_UNTIL(f->event, http_server_n_busy(f->routes.server) == 0);
}

/* Pings are answered without being asked for. */
static void test_who_does_not_read_is_not_read_from(void **state) {
        static char pings[PINGS * (sizeof PING - 1)];
        Fixture *f = *state;
        Client *c = &f->clients[0];
        size_t sent = 0;

        for (size_t i = 0; i < PINGS; i++)
                memcpy(pings + i * (sizeof PING - 1), PING, sizeof PING - 1);
        accept_one(f, c);
        for (unsigned full = 0; full < 3;) {
                ssize_t n = send(c->fd, pings + sent % sizeof pings, sizeof pings - sent % sizeof pings, MSG_NOSIGNAL);
                full = n < 0 ? full + 1 : 0;
                sent += n > 0 ? (size_t) n : 0;
                run_ready(f->event);
                assert_true(sent < 64 * MIB);
        }
        /* others are served, and so is this one once it reads */
        send_text(&f->clients[1], "GET /open HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_status(next_answer(f, &f->clients[1]), 200);
        for (size_t wanted = 2 * (sent / (sizeof PING - 1)), got = 0; got < wanted; got += c->used) {
                c->used = 0;
                RUN_UNTIL(f->event, (take(c), c->used > 0));
        }
        leave(f, c);
}

static void test_who_breaks_the_protocol_is_told_goodbye(void **state) {
        static const struct {
                const char *bytes;
                size_t length;
        } frames[] = {
                { "\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14 }, /* of 2^63 bytes */
                { "\x89\xfe\0\x7e\0\0\0\0", 8 }, /* a long ping */
                { "\x09\x80\0\0\0\0", 6 }, /* a ping in parts */
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(frames); i++) {
                Client *c = &f->clients[i];
                accept_one(f, c);
                send_bytes(c, frames[i].bytes, frames[i].length);
                RUN_UNTIL(f->event, (take(c), c->used >= 2));
                assert_int_equal((unsigned char) c->text[0], 0x88);
                RUN_UNTIL(f->event, f->routes.n_sockets == 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_a_message_comes_back),
                TEST(test_a_message_that_comes_with_the_head),
                TEST(test_one_that_never_opens),
                TEST(test_who_does_not_read_is_not_read_from),
                TEST(test_who_breaks_the_protocol_is_told_goodbye),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
