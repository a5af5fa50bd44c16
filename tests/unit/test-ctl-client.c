/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/client.h"
#include "ctl/interrupt.h"
#include "ctl/terminal.h"

/* A server in a child process that gives each connection one canned answer, whatever was asked. */
typedef enum Behaviour {
        ANSWERS,          /* the text */
        NEVER_ENDS,       /* the text, then bytes without end */
        KEEPS_QUIET,      /* nothing */
        INTERRUPTS,       /* sends its parent SIGINT first, then the text */
        INTERRUPTS_ONCE,  /* sends SIGINT, then nothing */
        INTERRUPTS_TWICE, /* sends SIGINT and SIGTERM, then nothing: two of a kind that are pending at once are one */
} Behaviour;

typedef struct Server {
        char folder[32];
        char path[64];
        pid_t pid;
} Server;

_noreturn_ static void serve(int sock, Behaviour behaviour, const char *text) {
        static char filler[65536];

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
                int fd = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
                char request[4096];

                if (fd < 0 || read(fd, request, sizeof request) <= 0)
                        _exit(1);
                if (behaviour >= INTERRUPTS)
                        (void) kill(getppid(), SIGINT);
                if (behaviour == INTERRUPTS_TWICE)
                        (void) kill(getppid(), SIGTERM);
                if (behaviour == KEEPS_QUIET || behaviour >= INTERRUPTS_ONCE)
                        (void) pause();
                (void) !write(fd, text, strlen(text));
                while (behaviour == NEVER_ENDS && send(fd, filler, sizeof filler, MSG_NOSIGNAL) > 0)
                        ;
                (void) close(fd);
        }
}

static void server_start(Server *s, Behaviour behaviour, const char *text) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_fd_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) strcpy(s->folder, "/tmp/test-ctl-client-XXXXXX");
        assert_non_null(mkdtemp(s->folder));
        (void) snprintf(s->path, sizeof s->path, "%s/s", s->folder);
        (void) strcpy(address.sun_path, s->path);
        assert_int_equal(bind(sock, (const struct sockaddr *) &address, sizeof address), 0);
        assert_int_equal(listen(sock, 5), 0);
        s->pid = fork();
        assert_true(s->pid >= 0);
        if (s->pid == 0)
                serve(sock, behaviour, text);
}

static void server_stop(Server *s) {
        (void) kill(s->pid, SIGKILL);
        (void) waitpid(s->pid, NULL, 0);
        (void) unlink(s->path);
        (void) rmdir(s->folder);
}

static int ask(const char *first, const char *second, bool shielded, usec_t timeout, Answer *ret, char **ret_error) {
        _cleanup_endpoints_ EndpointList endpoints = { 0 };
        _cleanup_(client_freep) Client *c = NULL;
        int r;

        endpoint_list_add(&endpoints, first, NULL);
        if (second)
                endpoint_list_add(&endpoints, second, NULL);
        assert_int_equal(client_new(&endpoints, NULL, &c), 0);
        r = client_call(
                c, &(Call){ .method = "GET", .path = "/health", .timeout = timeout, .shielded = shielded }, ret);
        if (ret_error)
                *ret_error = xstrdup(client_error(c));
        return r;
}

#define HEAD(status, type, length)                                                                                     \
        "HTTP/1.1 " status "\r\nContent-Type: " type "\r\nContent-Length: " length "\r\nConnection: close\r\n"

static void one_call(
        Behaviour behaviour, const char *text, bool shielded, int expected, Answer *ret, char **ret_error) {
        Server s;

        server_start(&s, behaviour, text);
        assert_int_equal(ask(s.path, NULL, shielded, 3 * USEC_PER_SEC, ret, ret_error), expected);
        server_stop(&s);
}

static void takes_a_json_answer(void **state) {
        _cleanup_answer_ Answer a = { 0 };

        (void) state;
        one_call(ANSWERS, HEAD("200 OK", "application/json", "7") "\r\n{\"a\":1}", false, 0, &a, NULL);
        assert_int_equal(a.status, 200);
        assert_int_equal(json_integer_value(json_object_get(a.json, "a")), 1);
}

static void takes_a_refusal_in_any_form(void **state) {
        _cleanup_answer_ Answer a = { 0 };

        (void) state;
        one_call(ANSWERS, HEAD("503 Busy", "text/html", "4") "Retry-After: 9\r\n\r\n<ht>", false, 0, &a, NULL);
        assert_int_equal(a.status, 503);
        assert_int_equal(a.retry_after, 9);
        assert_null(a.json);
}

static void refuses_other_success(void **state) {
        Answer a;

        (void) state;
        one_call(ANSWERS, HEAD("200 OK", "text/html", "4") "\r\n<ht>", false, -EPROTO, &a, NULL);
        one_call(ANSWERS, HEAD("200 OK", "application/json", "14") "\r\n{\"a\":1,\"a\":22}", false, -EPROTO, &a, NULL);
        one_call(ANSWERS, "SSH-2.0-nothttp\r\n", false, -EIO, &a, NULL);
        one_call(ANSWERS, HEAD("200 OK", "application/json", "100") "\r\n{", false, -EIO, &a, NULL);
}

static void follows_no_redirect(void **state) {
        _cleanup_answer_ Answer a = { 0 };

        (void) state;
        one_call(ANSWERS, HEAD("302 Found", "text/plain", "0") "Location: file:///etc/passwd\r\n\r\n", false, 0, &a,
                NULL);
        assert_int_equal(a.status, 302);
}

static void an_answer_is_bounded(void **state) {
        Answer a;
        _cleanup_free_ char *error = NULL;

        (void) state;
        one_call(NEVER_ENDS, "HTTP/1.1 200 OK\r\n\r\n", false, -EFBIG, &a, &error);
        assert_non_null(strstr(error, "64 MiB"));
}

static void waiting_is_bounded(void **state) {
        Server s;
        Answer a;

        (void) state;
        server_start(&s, KEEPS_QUIET, "");
        assert_int_equal(ask(s.path, NULL, false, 100 * USEC_PER_MSEC, &a, NULL), -ETIMEDOUT);
        server_stop(&s);
}

static void the_next_server_is_asked_when_one_is_gone(void **state) {
        _cleanup_answer_ Answer a = { 0 };
        Server s;

        (void) state;
        server_start(&s, ANSWERS, HEAD("200 OK", "application/json", "2") "\r\n{}");
        assert_int_equal(ask("/nonexistent/a", s.path, false, USEC_PER_SEC, &a, NULL), 0);
        server_stop(&s);
}

static void all_that_was_tried_is_told(void **state) {
        _cleanup_free_ char *error = NULL;
        Answer a;

        (void) state;
        assert_int_equal(ask("/nonexistent/a", "/nonexistent/\033b", false, USEC_PER_SEC, &a, &error), -ECONNREFUSED);
        assert_non_null(strstr(error, "/nonexistent/a: No such file"));
        assert_non_null(strstr(error, "/nonexistent/\\x1bb: No such file"));
        assert_non_null(strstr(error, "systemctl start sandboxd@worker1"));
}

/* Signals that were caught stay counted for the rest of the program, so these run in a child. */
static void in_child(void (*f)(void)) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                assert_int_equal(interrupt_catch(), 0);
                f();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void interrupted_plain(void) {
        Answer a;

        one_call(INTERRUPTS_ONCE, "", false, -EINTR, &a, NULL);
        assert_int_equal(interrupt_signal(), SIGINT);
}

static void interrupted_shielded(void) {
        _cleanup_answer_ Answer a = { 0 };

        one_call(INTERRUPTS, HEAD("200 OK", "application/json", "2") "\r\n{}", true, 0, &a, NULL);
        assert_int_equal(interrupt_count(), 1);
}

static void interrupted_twice(void) {
        Answer a;

        one_call(INTERRUPTS_TWICE, "", true, -EINTR, &a, NULL);
        assert_int_equal(interrupt_count(), 2);
}

static void a_signal_ends_a_call(void **state) {
        (void) state;
        in_child(interrupted_plain);
}

static void a_shielded_call_outlives_one_signal(void **state) {
        (void) state;
        in_child(interrupted_shielded);
}

static void a_second_signal_ends_a_shielded_call(void **state) {
        (void) state;
        in_child(interrupted_twice);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(takes_a_json_answer),
                cmocka_unit_test(takes_a_refusal_in_any_form),
                cmocka_unit_test(refuses_other_success),
                cmocka_unit_test(follows_no_redirect),
                cmocka_unit_test(an_answer_is_bounded),
                cmocka_unit_test(waiting_is_bounded),
                cmocka_unit_test(the_next_server_is_asked_when_one_is_gone),
                cmocka_unit_test(all_that_was_tried_is_told),
                cmocka_unit_test(a_signal_ends_a_call),
                cmocka_unit_test(a_shielded_call_outlives_one_signal),
                cmocka_unit_test(a_second_signal_ends_a_shielded_call),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
