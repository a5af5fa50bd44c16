/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "fetch/fetch-internal.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)

typedef struct Fixture {
        sd_event *event;
        Fetcher *fetcher;
        FetchServer *server;
        int listener;
        int waiting[8]; /* connections that nobody takes */
        size_t n_waiting;
        bool upgrade; /* what is asked for: libcurl does that */
} Fixture;

typedef struct Outcome {
        bool done;
        int result;
} Outcome;

static void on_done(Fetch *f, int result, void *userdata) {
        Outcome *o = userdata;

        (void) f;
        o->done = true;
        o->result = result;
}

static const FetchOps ops = { .done = on_done };

static struct sockaddr_in address_of(int fd) {
        struct sockaddr_in a;
        socklen_t size = sizeof a;

        assert_int_equal(getsockname(fd, (struct sockaddr *) &a, &size), 0);
        return a;
}

/* A server that takes no connection: once the line of those who wait is full, others are not answered. */
static void fill_line(Fixture *f) {
        struct sockaddr_in a = address_of(f->listener);

        while (f->n_waiting < ELEMENTSOF(f->waiting)) {
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                assert_true(fd >= 0);
                (void) connect(fd, (struct sockaddr *) &a, sizeof a);
                f->waiting[f->n_waiting++] = fd;
        }
}

static void empty_line(Fixture *f) {
        for (size_t i = 0; i < f->n_waiting; i++)
                fd_close(f->waiting[i]);
        f->n_waiting = 0;
        for (int fd; (fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
                fd_close(fd);
}

static int setup(void **state) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        Fixture *f = calloc(1, sizeof *f);
        char url[64];

        assert_non_null(f);
        f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(f->listener >= 0);
        assert_int_equal(bind(f->listener, (struct sockaddr *) &a, sizeof a), 0);
        assert_int_equal(listen(f->listener, 1), 0);
        (void) snprintf(url, sizeof url, "http://127.0.0.1:%u", ntohs(address_of(f->listener).sin_port));
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(fetcher_new(f->event, &f->fetcher), 0);
        assert_int_equal(fetch_server_new(f->fetcher, url, &f->server), 0);
        *state = f;
        return 0;
}

static int setup_upgrade(void **state) {
        int r = setup(state);

        ((Fixture *) *state)->upgrade = true;
        return r;
}

static int teardown(void **state) {
        Fixture *f = *state;

        empty_line(f);
        fd_close(f->listener);
        f->server = fetch_server_free(f->server);
        f->fetcher = fetcher_free(f->fetcher);
        f->event = sd_event_unref(f->event);
        free(f);
        return 0;
}

static void run(Fixture *f, usec_t usec) {
        for (usec_t end = clock_monotonic() + usec; clock_monotonic() < end;)
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
}

static Fetch *start(Fixture *f, usec_t connect_patience, Outcome *o) {
        FetchRequest q = {
                .method = "GET", .target = "/", .connect_patience = connect_patience, .upgrade = f->upgrade
        };
        Fetch *fetch;

        assert_int_equal(fetch_start(f->server, &q, &ops, o, &fetch), 0);
        return fetch;
}

/* Is nothing watched but what is open? */
static void check_watched(const Fixture *f, size_t n) {
        size_t found = f->fetcher->n_wires;

        for (size_t i = 0; i < f->fetcher->n_sockets; i++)
                if (f->fetcher->sockets[i]) {
                        found++;
                        assert_true(fcntl((int) i, F_GETFD) >= 0);
                }
        assert_int_equal(found, n);
}

/* Takes the connection and answers. */
static void serve(Fixture *f, Outcome *o) {
        static const char text[] = "HTTP/1.1 204 No Content\r\n\r\n";
        usec_t end = clock_monotonic() + PATIENCE_USEC;
        _cleanup_fd_ int fd = -EBADF;
        char buf[1024];

        while (!o->done) {
                assert_true(clock_monotonic() < end);
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
                if (fd < 0)
                        fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                else if (recv(fd, buf, sizeof buf, 0) > 0)
                        assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t) strlen(text));
        }
}

static void test_given_up_while_it_connects(void **state) {
        Fixture *f = *state;
        Outcome o = { 0 };

        fill_line(f);
        for (unsigned i = 0; i < 3; i++) {
                Fetch *fetch = start(f, 0, &o);
                run(f, 50 * USEC_PER_MSEC);
                assert_false(o.done);
                check_watched(f, 1);
                assert_null(fetch_free(fetch));
                check_watched(f, 0);
        }
        empty_line(f);
        Fetch *fetch = start(f, 0, &o);
        serve(f, &o);
        assert_int_equal(o.result, 0);
        assert_null(fetch_free(fetch));
}

static void wait_for(Fixture *f, const Outcome *o) {
        for (usec_t end = clock_monotonic() + PATIENCE_USEC; !o->done;) {
                assert_true(clock_monotonic() < end);
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        }
}

static void test_not_connected_in_time(void **state) {
        Fixture *f = *state;
        Outcome o = { 0 };

        fill_line(f);
        Fetch *fetch = start(f, 100 * USEC_PER_MSEC, &o);
        wait_for(f, &o);
        assert_int_equal(o.result, -ETIMEDOUT);
        check_watched(f, 0);
        assert_null(fetch_free(fetch));
        o = (Outcome){ 0 };
        empty_line(f);
        fetch = start(f, PATIENCE_USEC, &o);
        serve(f, &o);
        assert_int_equal(o.result, 0);
        assert_null(fetch_free(fetch));
}

/* libcurl says that there is no memory for it. */
static void test_line_without_end(void **state) {
        Fixture *f = *state;
        Outcome o = { 0 };
        _cleanup_fd_ int fd = -EBADF;
        usec_t end = clock_monotonic() + PATIENCE_USEC;
        char head[16384] = "HTTP/1.1 200 OK\r\n";

        memset(head + strlen(head), 'a', sizeof head - strlen(head));
        Fetch *fetch = start(f, 0, &o);
        while (!o.done) {
                assert_true(clock_monotonic() < end);
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
                if (fd < 0)
                        fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                else if (send(fd, head, sizeof head, MSG_NOSIGNAL) > 0)
                        memset(head, 'a', sizeof head);
        }
        assert_int_equal(o.result, -EPROTO);
        assert_null(fetch_free(fetch));
}

static int on_nothing(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void) source;
        (void) fd;
        (void) revents;
        (void) userdata;
        return 0;
}

/* A socket that cannot be watched is the end of its own request, not of those that go on or come after it. */
static void test_socket_that_cannot_be_watched(void **state) {
        Fixture *f = *state;
        Outcome other = { 0 }, o = { 0 };
        sd_event_source *taken = NULL;
        Fetch *fetch;

        fill_line(f);
        Fetch *waits = start(f, 0, &other);
        int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(sock >= 0);
        assert_true(sd_event_add_io(f->event, &taken, sock, 0, on_nothing, NULL) >= 0);
        FetchRequest q = { .method = "GET", .target = "/", .sock = sock };
        assert_int_equal(fetch_start(f->server, &q, &ops, &o, &fetch), 0);
        wait_for(f, &o);
        assert_int_equal(o.result, -ENOMEM);
        assert_false(other.done);
        taken = sd_event_source_disable_unref(taken);
        assert_null(fetch_free(fetch));

        o = (Outcome){ 0 };
        fetch = start(f, 0, &o);
        run(f, 50 * USEC_PER_MSEC);
        assert_false(o.done || other.done);
        check_watched(f, 2);
        assert_null(fetch_free(fetch));
        assert_null(fetch_free(waits));
        check_watched(f, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_given_up_while_it_connects, setup, teardown),
                cmocka_unit_test_setup_teardown(test_not_connected_in_time, setup, teardown),
                cmocka_unit_test_setup_teardown(test_given_up_while_it_connects, setup_upgrade, teardown),
                cmocka_unit_test_setup_teardown(test_not_connected_in_time, setup_upgrade, teardown),
                cmocka_unit_test_setup_teardown(test_line_without_end, setup, teardown),
                cmocka_unit_test_setup_teardown(test_line_without_end, setup_upgrade, teardown),
                cmocka_unit_test_setup_teardown(test_socket_that_cannot_be_watched, setup_upgrade, teardown),
                cmocka_unit_test_setup_teardown(test_socket_that_cannot_be_watched, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
