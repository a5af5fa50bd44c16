/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "http/linger.h"

#define LIMIT 64U

typedef struct Fixture {
        sd_event *event;
        HttpLinger *linger;
        int clients[LIMIT + 1];
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);

        assert_non_null(f);
        for (size_t i = 0; i < ELEMENTSOF(f->clients); i++)
                f->clients[i] = -EBADF;
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(http_linger_new(f->event, &f->linger), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        f->linger = http_linger_free(f->linger);
        for (size_t i = 0; i < ELEMENTSOF(f->clients); i++)
                (void) fd_close(f->clients[i]);
        (void) sd_event_unref(f->event);
        free(f);
        return 0;
}

/* A connection whose server has answered and closes it. Returns the client's end. */
static int end_one(Fixture *f, unsigned i) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        assert_int_equal(send(pair[1], "answer", 6, 0), 6);
        http_linger_add(f->linger, pair[1]);
        (void) fd_close(pair[1]);
        return f->clients[i] = pair[0];
}

static bool can_send(int fd) {
        return send(fd, "more", 4, MSG_NOSIGNAL) == 4;
}

static void run(Fixture *f) {
        while (sd_event_run(f->event, 0) > 0)
                ;
}

static void test_what_is_sent_on_is_dropped(void **state) {
        static const char piece[65536];
        Fixture *f = *state;
        char buf[16];
        int fd = end_one(f, 0);

        for (unsigned i = 0; i < 200; i++) {
                ssize_t n = send(fd, piece, sizeof piece, MSG_NOSIGNAL);
                assert_true(n > 0 || errno == EAGAIN);
                run(f);
        }
        assert_int_equal(recv(fd, buf, sizeof buf, 0), 6);
        assert_memory_equal(buf, "answer", 6);
        assert_int_equal(recv(fd, buf, sizeof buf, 0), 0);
        assert_true(can_send(fd));
}

static void test_there_is_a_limit_and_the_end_makes_room(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < LIMIT; i++)
                assert_true(can_send(end_one(f, i)));
        assert_false(can_send(end_one(f, LIMIT)));
        f->clients[LIMIT] = fd_close(f->clients[LIMIT]);
        f->clients[0] = fd_close(f->clients[0]); /* the client has seen its answer */
        run(f);
        assert_true(can_send(end_one(f, LIMIT)));
        f->clients[0] = fd_close(f->clients[0]);
}

static void test_the_end_of_all_is_theirs(void **state) {
        Fixture *f = *state;
        int fd = end_one(f, 0);

        assert_true(can_send(fd));
        f->linger = http_linger_free(f->linger);
        assert_false(can_send(fd));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_what_is_sent_on_is_dropped, setup, teardown),
                cmocka_unit_test_setup_teardown(test_there_is_a_limit_and_the_end_makes_room, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_end_of_all_is_theirs, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
