/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/listen.h"
#include "unit.h"

static void expect_description(int fd, const char *wanted) {
        _cleanup_free_ char *text = listen_describe(fd);

        assert_non_null(text);
        assert_string_equal(text, wanted);
}

static int bound(const struct sockaddr_un *address, size_t length) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (const struct sockaddr *) address, (socklen_t) length), 0);
        return fd;
}

static void tcp_sockets_are_address_and_port(void **state) {
        _cleanup_fd_ int fd = -EBADF, fd6 = -EBADF;
        const char *what;

        (void) state;
        assert_int_equal(listen_tcp("127.0.0.1:54999", &fd, &what), 0);
        expect_description(fd, "127.0.0.1:54999");
        if (listen_tcp("[::1]:54999", &fd6, &what) == 0)
                expect_description(fd6, "[::1]:54999");
}

static void other_ports_are_refused(void **state) {
        static const char *const ports[] = { "", "x", "-1", "+1", " 1", "65536", "99999", "4294967297", "0x10" };
        char address[64];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(ports); i++) {
                const char *what = NULL;
                int fd = -EBADF;
                (void) snprintf(address, sizeof address, "127.0.0.1:%s", ports[i]);
                assert_int_equal(listen_tcp(address, &fd, &what), -EINVAL);
                assert_int_equal(fd, -EBADF);
                assert_string_equal(what, "the port has to be a number up to 65535");
        }
}

static void unix_sockets_are_paths_or_abstract_names(void **state) {
        struct sockaddr_un path = { .sun_family = AF_UNIX }, abstract = { .sun_family = AF_UNIX };
        const size_t head = offsetof(struct sockaddr_un, sun_path);
        char wanted[108];

        (void) state;
        (void) snprintf(path.sun_path, sizeof path.sun_path, "/tmp/test-listen-%d.sock", getpid());
        _cleanup_fd_ int fd = bound(&path, head + strlen(path.sun_path) + 1);
        expect_description(fd, path.sun_path);
        (void) unlink(path.sun_path);

        int n = snprintf(abstract.sun_path + 1, sizeof abstract.sun_path - 1, "test-listen-%d", getpid());
        _cleanup_fd_ int other = bound(&abstract, head + 1 + (size_t) n);
        (void) snprintf(wanted, sizeof wanted, "@test-listen-%d", getpid());
        expect_description(other, wanted);
}

static void a_path_may_fill_the_address(void **state) {
        struct sockaddr_un path = { .sun_family = AF_UNIX };
        char wanted[sizeof path.sun_path + 1] = "";

        (void) state;
        int n = snprintf(wanted, sizeof wanted, "/tmp/test-listen-%d-", getpid());
        memset(wanted + n, 'x', sizeof wanted - 1 - (size_t) n);
        memcpy(path.sun_path, wanted, sizeof path.sun_path);
        _cleanup_fd_ int fd = bound(&path, sizeof path);
        expect_description(fd, wanted);
        (void) unlink(wanted);
}

static void what_has_no_address_is_empty(void **state) {
        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                         null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        (void) state;
        expect_description(fd, "");
        expect_description(null, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tcp_sockets_are_address_and_port),
                cmocka_unit_test(other_ports_are_refused),
                cmocka_unit_test(unix_sockets_are_paths_or_abstract_names),
                cmocka_unit_test(a_path_may_fill_the_address),
                cmocka_unit_test(what_has_no_address_is_empty),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
