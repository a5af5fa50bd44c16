/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "http/port-head.h"
#include "session/port.h"
#include "unit.h"

#define PREFIX "/v1/sessions/abc/ports/3000"

static void a_port_is_written_in_one_way(void **state) {
        static const char *const bad[] = { "", "0", "03000", "00", "65536", "100000", "-1", "+1", " 1", "1 ", "1a",
                "0x1", "99999999999999999999999" };
        uint16_t port = 7;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(port_parse(bad[i], &port), -EINVAL);
        assert_int_equal(port, 7);
        assert_int_equal(port_parse("1", &port), 0);
        assert_int_equal(port, 1);
        assert_int_equal(port_parse("65535", &port), 0);
        assert_int_equal(port, 65535);
}

static void a_target_loses_what_the_worker_looks_at(void **state) {
        (void) state;
        assert_string_equal(port_target(PREFIX "/a%2Fb?c", PREFIX), "/a%2Fb?c");
        assert_string_equal(port_target(PREFIX, PREFIX), "");
        assert_string_equal(port_target(PREFIX "?a", PREFIX), "?a");
        assert_null(port_target(PREFIX "0/a", PREFIX));
        assert_null(port_target("/v1/sessions/abc/%70orts/3000/", PREFIX));
}

static void what_counts_for_the_whole_host_is_dropped(void **state) {
        (void) state;
        assert_true(port_answer_has("Content-Type", NULL));
        assert_true(port_answer_has("X-Own", "close"));
        assert_false(port_answer_has("X-Own", "close, x-own"));
        assert_false(port_answer_has("connection", NULL));
        assert_false(port_answer_has("Transfer-Encoding", NULL));
        assert_false(port_answer_has("strict-transport-security", NULL));
        assert_false(port_answer_has("X-Sandboxd-Load", NULL));
        assert_false(port_answer_has("WWW-Authenticate", NULL));
}

static void check_value(const char *name, const char *value, const char *wanted) {
        bool drop;
        _cleanup_free_ char *got = port_answer_value(name, value, PREFIX, 3000, &drop);

        assert_false(drop);
        if (wanted)
                assert_string_equal(got, wanted);
        else
                assert_null(got);
}

static void addresses_stay_below_the_port(void **state) {
        (void) state;
        check_value("Location", "/a?b", PREFIX "/a?b");
        check_value("location", "http://localhost:3000/a", PREFIX "/a");
        check_value("Location", "HTTP://127.0.0.1:3000", PREFIX "/");
        check_value("Location", "http://localhost:30001/a", NULL);
        check_value("Location", "//example.org/", NULL);
        check_value("Location", "https://example.org/", NULL);
        check_value("Location", "b", NULL);
        check_value("Location", "", NULL);
        check_value("X-Location", "/a", NULL);
}

static void cookies_stay_below_the_port(void **state) {
        char many[4000];
        bool drop;

        (void) state;
        check_value("Set-Cookie", "a=b", "a=b; Path=" PREFIX "/");
        check_value("Set-Cookie", "a=b;Path=/x;Domain=y;Secure", "a=b; Secure; Path=" PREFIX "/x");
        check_value("Set-Cookie", "a=b; path=x; DOMAIN", "a=b; Path=" PREFIX "/");
        check_value("Set-Cookie", "a=b; Path=/x; Path=/y", "a=b; Path=" PREFIX "/y");
        assert_null(port_answer_value("Set-Cookie", "", PREFIX, 3000, &drop));
        assert_true(drop);
        assert_null(port_answer_value("Set-Cookie", "Path=/", PREFIX, 3000, &drop));
        assert_true(drop);
        for (size_t i = 0; i < sizeof many - 1; i++) /* grows by what is put between its parts */
                many[i] = i % 2 ? ';' : 'a';
        many[sizeof many - 1] = '\0';
        _cleanup_free_ char *text = port_answer_value("Set-Cookie", many, PREFIX, 3000, &drop);
        assert_false(drop);
        assert_true(strlen(text) > strlen(many));
}

static int listen_on_loopback(uint16_t *ret_port) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof a;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0 && bind(fd, (struct sockaddr *) &a, sizeof a) == 0 && listen(fd, 1) == 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *) &a, &length), 0);
        *ret_port = ntohs(a.sin_port);
        return fd;
}

static void only_the_right_kind_of_socket_is_taken(void **state) {
        uint16_t port;
        _cleanup_fd_ int listener = listen_on_loopback(&port), tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                         udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
                         local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in a = {
                .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
        };
        int p[2];

        (void) state;
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        assert_int_equal(port_check(p[0], 0, 0), -EBADMSG);
        fds_close(p, 2);
        assert_int_equal(port_check(udp, 0, 0), -EBADMSG);
        assert_int_equal(port_check(local, 0, 0), -EBADMSG);
        assert_int_equal(port_check(listener, 0, 0), -EBADMSG);
        assert_int_equal(port_check(listener, 0, port), -EBADMSG);
        assert_int_equal(port_check(tcp, AF_INET, 0), 0);
        assert_int_equal(port_check(tcp, AF_INET6, 0), -EBADMSG);
        assert_int_equal(port_check(tcp, 0, port), -ECONNRESET);
        assert_int_equal(connect(tcp, (struct sockaddr *) &a, sizeof a), 0);
        assert_int_equal(port_check(tcp, 0, port), 0);
        assert_int_equal(port_check(tcp, 0, 1), -EBADMSG);
        assert_int_equal(port_check(tcp, AF_INET, 0), -EBADMSG);

        struct linger l = { .l_onoff = 1, .l_linger = 3600 };
        assert_int_equal(setsockopt(tcp, SOL_SOCKET, SO_LINGER, &l, sizeof l), 0);
        assert_int_equal(port_check(tcp, 0, port), -EBADMSG);
}

/* Its peer reads nothing, so there is always something left to send. */
static void closing_what_lingers_does_not_wait(void **state) {
        uint16_t port;
        _cleanup_fd_ int listener = listen_on_loopback(&port);
        int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 4096;
        struct sockaddr_in a = {
                .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
        };
        struct linger l = { .l_onoff = 1, .l_linger = 3600 };
        char data[65536] = { 0 };

        (void) state;
        assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
        assert_int_equal(connect(tcp, (struct sockaddr *) &a, sizeof a), 0);
        assert_int_equal(setsockopt(tcp, SOL_SOCKET, SO_LINGER, &l, sizeof l), 0);
        while (send(tcp, data, sizeof data, MSG_DONTWAIT) > 0)
                ;
        assert_int_equal(socket_close(tcp), -EBADF); /* or the test runs into its time limit */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_port_is_written_in_one_way),
                cmocka_unit_test(a_target_loses_what_the_worker_looks_at),
                cmocka_unit_test(what_counts_for_the_whole_host_is_dropped),
                cmocka_unit_test(addresses_stay_below_the_port),
                cmocka_unit_test(cookies_stay_below_the_port),
                cmocka_unit_test(only_the_right_kind_of_socket_is_taken),
                cmocka_unit_test(closing_what_lingers_does_not_wait),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
