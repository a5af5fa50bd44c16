/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "session/filter.h"
#include "unit.h"

static const char *const idle[] = { "/bin/sleep", "1000", NULL };

static void on_ended(Filter *f, void *userdata) {
        (void) f;
        ++*(unsigned *) userdata;
}

static pid_t pid_of(const Filter *f) {
        char path[64], text[1024];

        (void) snprintf(path, sizeof path, "/proc/self/fdinfo/%d", f->pidfd);
        assert_true(file_read(AT_FDCWD, path, text, sizeof text) > 0);
        const char *line = strstr(text, "Pid:");
        assert_non_null(line);
        return (pid_t) strtol(line + 4, NULL, 10);
}

static bool is_reaped(pid_t pid) {
        siginfo_t info;

        return waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

static void reap_by_loop(sd_event *event, pid_t pid) {
        usec_t end = clock_monotonic() + 30 * USEC_PER_SEC;

        while (!is_reaped(pid)) {
                assert_true(clock_monotonic() < end);
                assert_true(sd_event_run(event, 10 * USEC_PER_MSEC) >= 0);
        }
}

static void its_end_is_told(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        const char *const argv[] = { "/bin/sh", "-c", "echo no >&2; exit 2", NULL };
        Filter f = FILTER_EMPTY;
        unsigned n_ended = 0;

        (void) state;
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(filter_start(&f, event, argv, STDIN_FILENO, STDOUT_FILENO, on_ended, &n_ended), 0);
        while (n_ended == 0)
                assert_true(sd_event_run(event, UINT64_MAX) >= 0);
        assert_int_equal(f.status, FILTER_REFUSED);
        assert_string_equal(f.reason, "no\n");
        filter_clear(&f);
}

static void one_that_is_given_up_is_reaped(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        Filter f = FILTER_EMPTY;
        unsigned n_ended = 0;

        (void) state;
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(filter_start(&f, event, idle, STDIN_FILENO, STDOUT_FILENO, on_ended, &n_ended), 0);
        pid_t pid = pid_of(&f);
        filter_clear(&f);
        assert_true(f.pidfd < 0 && f.text < 0 && !f.source);
        reap_by_loop(event, pid);
        assert_int_equal(n_ended, 0);
}

/* Keeps @traced from being gone, as a slow disk would, until it ends itself. */
static pid_t hold(pid_t traced) {
        int p[2];
        char byte = 0;

        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                byte = ptrace(PTRACE_SEIZE, traced, NULL, NULL) == 0 ? 'y' : 'n';
                (void) !write(p[1], &byte, 1);
                (void) pause();
                _exit(0);
        }
        assert_int_equal(read(p[0], &byte, 1), 1);
        fds_close(p, 2);
        if (byte == 'y')
                return pid;
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
        return -1;
}

static void one_that_does_not_end_is_not_waited_for(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        Filter f = FILTER_EMPTY;
        unsigned n_ended = 0;

        (void) state;
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(filter_start(&f, event, idle, STDIN_FILENO, STDOUT_FILENO, on_ended, &n_ended), 0);
        pid_t pid = pid_of(&f), holder = hold(pid);
        if (holder < 0) {
                filter_clear(&f);
                reap_by_loop(event, pid);
                skip(); /* nobody may trace here */
        }
        (void) alarm(20);
        filter_clear(&f);
        (void) alarm(0);
        assert_false(is_reaped(pid));
        assert_int_equal(kill(holder, SIGKILL), 0);
        assert_int_equal(waitpid(holder, NULL, 0), holder);
        reap_by_loop(event, pid);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(its_end_is_told),
                cmocka_unit_test(one_that_is_given_up_is_reaped),
                cmocka_unit_test(one_that_does_not_end_is_not_waited_for),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
