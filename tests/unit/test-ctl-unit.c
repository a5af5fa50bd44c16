/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/endpoint.h"
#include "ctl/terminal.h"
#include "ctl/unit.h"

static char root[] = "/tmp/test-ctl-unit-XXXXXX";

/* Makes an empty file below the root, with its folders; text may be NULL. */
static void put(const char *path, const char *text) {
        _cleanup_free_ char *full = xasprintf("%s%s", root, path);
        _cleanup_fd_ int fd = -EBADF;

        for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
                *p = '\0';
                (void) mkdir(full, 0755); /* may be there */
                *p = '/';
        }
        fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        if (text)
                assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static char *at(const char *path) {
        return xasprintf("%s%s", root, path);
}

static void worker_names(void **state) {
        (void) state;
        assert_true(worker_name_is_valid("worker1"));
        assert_true(worker_name_is_valid("a234567890123456789012345678901b"));
        assert_false(worker_name_is_valid("a234567890123456789012345678901bc"));
        assert_false(worker_name_is_valid("Worker"));
        assert_false(worker_name_is_valid("a/b"));
        assert_false(worker_name_is_valid("a.spawner"));
        assert_false(worker_name_is_valid("images"));
        assert_false(worker_name_is_valid("-a"));
        assert_false(worker_name_is_valid(""));
}

static void listen_addresses(void **state) {
        static const char *const bad[] = { "5000", ":5000", "localhost:5000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0",
                "127.0.0.1:65536", "127.0.0.1:05x", "::1:5000", "[::1]", "[]:5000", "1.2.3:5", "127.0.0.1:5000\n",
                "127.0.0.1\nX:5000", "" };
        unsigned port = 0;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(listen_parse(bad[i], &port), -EINVAL);
        assert_int_equal(listen_parse("127.0.0.1:5001", &port), 0);
        assert_int_equal(port, 5001);
        assert_int_equal(listen_parse("[::1]:65535", &port), 0);
        assert_int_equal(port, 65535);
}

static void an_address_in_use_is_noticed(void **state) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof address;
        _cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_free_ char *text = NULL;

        (void) state;
        assert_int_equal(bind(fd, (const struct sockaddr *) &address, size), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &size), 0);
        text = xasprintf("127.0.0.1:%u", ntohs(address.sin_port));
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(listen_probe(text), -EADDRINUSE);
        fd = fd_close(fd);
        assert_int_equal(listen_probe(text), 0);
        assert_int_equal(listen_probe("192.0.2.1:5000"), -EADDRNOTAVAIL);
}

static void drop_in_is_written_read_and_removed(void **state) {
        _cleanup_free_ char *listen = NULL, *folder = at("/etc/systemd/system/sandboxd@w.socket.d");

        (void) state;
        put("/etc/systemd/system/x", NULL);
        assert_int_equal(unit_read_listen(root, "w", &listen), -ENOENT);
        assert_int_equal(unit_remove_listen(root, "w"), 0);
        assert_int_equal(unit_write_listen(root, "w", "127.0.0.1:5009"), 0);
        assert_int_equal(unit_read_listen(root, "w", &listen), 0);
        assert_string_equal(listen, "127.0.0.1:5009");
        assert_int_equal(unit_remove_listen(root, "w"), 1);
        assert_int_equal(access(folder, F_OK), -1);
}

static void a_port_of_another_worker_is_found(void **state) {
        _cleanup_free_ char *name = NULL, *other = NULL;

        (void) state;
        put("/usr/lib/systemd/system/sandboxd@worker1.socket.d/tcp.conf", "[Socket]\nListenStream=127.0.0.1:5000\n");
        put("/etc/systemd/system/sandboxd@w2.socket.d/a.conf",
                "# ListenStream=7000\n[Socket]\n ListenStream = 0.0.0.0:6000 "
                "\nListenStream=/run/x:5001\nListenStream=6001");
        assert_int_equal(unit_find_listen(root, "127.0.0.1:5000", "w9", &name), 1);
        assert_string_equal(name, "worker1");
        assert_int_equal(unit_find_listen(root, "127.0.0.1:6001", "w9", &other), 1); /* it has all addresses */
        assert_string_equal(other, "w2");
        assert_int_equal(unit_find_listen(root, "127.0.0.1:5000", "worker1", &name), 0);
        assert_int_equal(unit_find_listen(root, "127.0.0.1:5001", "w9", &name), 0);
        assert_int_equal(unit_find_listen(root, "127.0.0.1:7000", "w9", &name), 0);
        assert_int_equal(unit_find_listen(root, "10.0.0.1:5000", "w9", &name), 0);
        free(name);
        free(other);
        name = other = NULL;
        assert_int_equal(unit_find_listen(root, "0.0.0.0:5000", "w9", &name), 1);
        assert_int_equal(unit_find_listen(root, "10.0.0.1:6000", "w9", &other), 1);
}

static void programs_give_their_status(void **state) {
        const char *const three[] = { "sh", "-c", "exit 3", NULL }, *const none[] = { "/nonexistent/program", NULL };

        (void) state;
        assert_int_equal(program_run(three), 3);
        assert_int_equal(program_run(none), -ENOENT);
}

static void check_endpoints(const EndpointPlaces *places, const char *const *expected, size_t n) {
        _cleanup_endpoints_ EndpointList list = { 0 };

        endpoints_find(places, &list);
        assert_int_equal(list.n, n + 2); /* and the two of TCP */
        for (size_t i = 0; i < n; i++)
                assert_string_equal(endpoint_name(list.items + i), expected[i]);
        assert_string_equal(list.items[n].url, "http://127.0.0.1:8000");
        assert_string_equal(list.items[n + 1].url, "http://127.0.0.1:5000");
}

static void the_server_is_found_by_its_socket(void **state) {
        _cleanup_free_ char *coordinator = at("/run/sandbox-coord.sock"), *workers = at("/run/sandboxd"),
                            *user = at("/user"), *a = at("/run/sandboxd/a.sock"),
                            *worker1 = at("/run/sandboxd/worker1.sock"), *u = at("/user/u.sock");
        EndpointPlaces places = { .coordinator = coordinator, .workers = workers, .user_folders = { user } };
        _cleanup_worker_sockets_ WorkerSocketList sockets = { 0 };

        (void) state;
        check_endpoints(&places, NULL, 0);
        put("/run/sandboxd/a.sock", NULL);
        put("/run/sandboxd/a.spawner.sock", NULL);
        put("/run/sandboxd/UPPER.sock", NULL);
        put("/run/sandboxd/.sock", NULL);
        check_endpoints(&places, (const char *[]){ a }, 1);
        put("/run/sandboxd/b.sock", NULL);
        check_endpoints(&places, NULL, 0); /* which one is meant is not known */
        put("/run/sandboxd/worker1.sock", NULL);
        check_endpoints(&places, (const char *[]){ worker1 }, 1);
        put("/user/u.sock", NULL);
        put("/run/sandbox-coord.sock", NULL);
        check_endpoints(&places, (const char *[]){ coordinator, worker1, u }, 3);

        worker_sockets_find(&places, &sockets);
        assert_int_equal(sockets.n, 4);
        assert_string_equal(sockets.items[0].name, "a");
        assert_string_equal(sockets.items[3].name, "u");
}

static void a_folder_that_others_can_write_is_not_trusted(void **state) {
        _cleanup_free_ char *nowhere = at("/nowhere"), *user = at("/user"), *link = at("/link"),
                            *u = at("/user/u.sock");
        EndpointPlaces places = { .coordinator = nowhere, .workers = nowhere, .user_folders = { user } };
        EndpointPlaces by_link = { .coordinator = nowhere, .workers = nowhere, .user_folders = { NULL, link } };

        (void) state;
        put("/user/u.sock", NULL);
        check_endpoints(&places, (const char *[]){ u }, 1);
        assert_int_equal(symlink(user, link), 0);
        check_endpoints(&by_link, NULL, 0);
        assert_int_equal(chmod(user, 0777), 0);
        check_endpoints(&places, NULL, 0);
        assert_int_equal(chmod(user, 0755), 0);
        if (geteuid() == 0) {
                assert_int_equal(chown(user, 1, 1), 0);
                check_endpoints(&places, NULL, 0);
        }
}

static int make_root(void **state) {
        (void) state;
        return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state) {
        const char *const rm[] = { "rm", "-rf", "--", root, NULL };

        (void) state;
        return program_run(rm);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(worker_names),
                cmocka_unit_test(listen_addresses),
                cmocka_unit_test(an_address_in_use_is_noticed),
                cmocka_unit_test(drop_in_is_written_read_and_removed),
                cmocka_unit_test(a_port_of_another_worker_is_found),
                cmocka_unit_test(programs_give_their_status),
                cmocka_unit_test(the_server_is_found_by_its_socket),
                cmocka_unit_test(a_folder_that_others_can_write_is_not_trusted),
        };
        return cmocka_run_group_tests(tests, make_root, remove_root);
}
