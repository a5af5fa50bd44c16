/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "bus/streams.h"
#include "unit.h"

static void expect_ok(int fd, unsigned stream) {
        _cleanup_error_ Error error = { 0 };

        assert_true(fd >= 0);
        assert_int_equal(bus_stream_check(fd, stream, &error), 0);
}

static void expect_refused(int fd, unsigned stream, const char *part) {
        _cleanup_error_ Error error = { 0 };

        assert_true(fd >= 0);
        assert_int_equal(bus_stream_check(fd, stream, &error), -EINVAL);
        assert_int_equal(error.kind, ERROR_INVALID_VALUE);
        assert_non_null(strstr(error.detail, part));
}

static void pipes_pass_in_their_direction(void **state) {
        int p[2];

        (void) state;
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        expect_ok(p[0], 0);
        expect_ok(p[1], 1);
        expect_ok(p[1], 2);
        expect_refused(p[0], 1, "stdout is not open for writing");
        expect_refused(p[1], 0, "stdin is not open for reading");
        fds_close(p, 2);
}

static void regular_files_pass(void **state) {
        _cleanup_fd_ int file = memfd_create("test", MFD_CLOEXEC),
                         read_only = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

        (void) state;
        expect_ok(file, 0);
        expect_ok(file, 1);
        expect_ok(read_only, 0);
        expect_refused(read_only, 2, "not open for writing");
}

static void folders_and_paths_do_not(void **state) {
        _cleanup_fd_ int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                         path = open("/etc/passwd", O_PATH | O_CLOEXEC);

        (void) state;
        expect_refused(folder, 0, "is a folder");
        expect_refused(path, 0, "O_PATH");
}

static void devices_do_not_but_null(void **state) {
        _cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

        (void) state;
        expect_ok(null, 0);
        expect_ok(null, 1);
        expect_refused(zero, 0, "is a device");
}

static void terminals_pass_but_not_who_types(void **state) {
        _cleanup_fd_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        char name[64];

        (void) state;
        if (master < 0)
                skip();
        assert_int_equal(unlockpt(master), 0);
        assert_int_equal(ptsname_r(master, name, sizeof name), 0);
        _cleanup_fd_ int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
        expect_ok(slave, 0);
        expect_ok(slave, 1);
        expect_refused(master, 0, "is a device");
        expect_refused(master, 1, "is a device");
}

static void connected_unix_streams_pass_and_no_other_sockets(void **state) {
        struct sockaddr_in loopback = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof loopback;
        int pair[2], datagrams[2];

        (void) state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        expect_ok(pair[0], 0);
        expect_ok(pair[0], 1);
        fds_close(pair, 2);
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagrams), 0);
        expect_refused(datagrams[0], 0, "another kind");
        fds_close(datagrams, 2);

        _cleanup_fd_ int alone = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        expect_refused(alone, 1, "not connected");
        assert_int_equal(bind(alone, (struct sockaddr *) &(struct sockaddr){ .sa_family = AF_UNIX }, 2), 0);
        assert_int_equal(listen(alone, 1), 0);
        expect_refused(alone, 1, "not connected");

        _cleanup_fd_ int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                         client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(server, (struct sockaddr *) &loopback, sizeof loopback), 0);
        assert_int_equal(listen(server, 1), 0);
        assert_int_equal(getsockname(server, (struct sockaddr *) &loopback, &length), 0);
        assert_int_equal(connect(client, (struct sockaddr *) &loopback, length), 0);
        expect_refused(client, 1, "another kind");
}

static void controls_do_not_pass(void **state) {
        _cleanup_fd_ int epoll = epoll_create1(EPOLL_CLOEXEC), pidfd = (int) syscall(SYS_pidfd_open, getpid(), 0);

        (void) state;
        _cleanup_fd_ int namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        expect_refused(epoll, 0, "no stream");
        expect_refused(namespace, 0, "no stream");
        if (pidfd >= 0)
                expect_refused(pidfd, 0, "no stream");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pipes_pass_in_their_direction),
                cmocka_unit_test(regular_files_pass),
                cmocka_unit_test(folders_and_paths_do_not),
                cmocka_unit_test(devices_do_not_but_null),
                cmocka_unit_test(terminals_pass_but_not_who_types),
                cmocka_unit_test(connected_unix_streams_pass_and_no_other_sockets),
                cmocka_unit_test(controls_do_not_pass),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
