/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "bus-fixture.h"
#include "unit.h"

static char *open_with_session(BusFixture *f) {
        char id[UUID_TEXT_MAX];

        if (!bus_fixture_open(f, true))
                skip();
        return bus_create(f, id);
}

static sd_bus_message *execute_message(BusFixture *f, const char *path, const char *command) {
        sd_bus_message *m = bus_message(f, path, SESSION, "Execute");

        assert_true(sd_bus_message_append(m, "s", command) >= 0);
        return m;
}

static size_t read_bytes(sd_bus_message *m, char *buf, size_t size) {
        const void *bytes;
        size_t n;

        assert_true(sd_bus_message_read_array(m, 'y', &bytes, &n) >= 0);
        assert_true(n <= size);
        if (n > 0)
                memcpy(buf, bytes, n);
        return n;
}

static unsigned count_descriptors(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        (void) closedir(d);
        return n;
}

/* --- Execute --- */

static void a_command_is_run_and_its_result_told(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);
        sd_bus_message *m, *answer = NULL;
        char strings[256], out[16], err[16];
        const char *reason;
        int fds[3], code;

        (void) state;
        m = execute_message(&f, path, "do it");
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Cwd", "s", "/tmp") >= 0);
        bus_send_only(&f, m, &answer);
        uint32_t number = bus_await_command(&f, path, strings, sizeof strings, fds);
        assert_memory_equal(strings, "/tmp\0/bin/sh\0-c\0do it", sizeof "/tmp\0/bin/sh\0-c\0do it");
        assert_int_equal(write(fds[1], "a\0b", 3), 3);
        assert_int_equal(write(fds[2], "e", 1), 1);
        fds_close(fds, 3);
        bus_end_command(&f, path, number, 7 << 8);
        RUN_UNTIL(f.event, answer);
        assert_true(sd_bus_message_read(answer, "is", &code, &reason) > 0);
        assert_int_equal(code, 7);
        assert_string_equal(reason, "exited");
        assert_int_equal(read_bytes(answer, out, sizeof out), 3);
        assert_memory_equal(out, "a\0b", 3);
        assert_int_equal(read_bytes(answer, err, sizeof err), 1);
        (void) sd_bus_message_unref(answer);
        RUN_UNTIL(f.event, strstr(f.signals, "ExecExited "));
}

static void its_input_may_be_bytes(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);
        sd_bus_message *m, *answer = NULL;
        char in[8];
        int fds[3];

        (void) state;
        m = execute_message(&f, path, "cat");
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Stdin", "ay", 3, 'x', 0, 255) >= 0);
        bus_send_only(&f, m, &answer);
        uint32_t number = bus_await_command(&f, path, NULL, 0, fds);
        assert_int_equal(read(fds[0], in, sizeof in), 3);
        assert_memory_equal(in, "x\0\377", 3);
        assert_int_equal(read(fds[0], in, sizeof in), 0);
        fds_close(fds, 3);
        bus_end_command(&f, path, number, 0);
        RUN_UNTIL(f.event, answer);
        (void) sd_bus_message_unref(answer);
}

static void options_of_a_command_are_checked(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);
        sd_bus_message *m;

        (void) state;
        m = execute_message(&f, path, "true");
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Cwd", "s", "tmp") >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"Cwd\" has to be an absolute path");
        m = execute_message(&f, path, "true");
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "MaxOutput", "s", "9m") >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"MaxOutput\" can be 8 MiB here");
        m = execute_message(&f, path, "true");
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Env", "a{ss}", 1, "1A", "x") >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"Env.1A\"");
        m = execute_message(&f, path, "true");
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Background", "b", 1) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "no option \"Background\"");
        m = execute_message(&f, path, "");
        assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "empty");
        assert_int_equal(bus_sandbox(&f, path)->sandbox->n_jobs, 0);
}

static void a_folder_that_is_not_there_is_an_error(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);
        sd_bus_message *m, *answer = NULL;

        (void) state;
        m = execute_message(&f, path, "true");
        assert_true(sd_bus_message_append(m, "a{sv}", 1, "Cwd", "s", "/no") >= 0);
        bus_send_only(&f, m, &answer);
        InitEvent e = { .type = INIT_REFUSED,
                .exec = bus_await_command(&f, path, NULL, 0, NULL),
                .stage = INIT_STAGE_CWD,
                .error = ENOENT };
        fake_tell(bus_sandbox(&f, path), &e);
        RUN_UNTIL(f.event, answer);
        assert_string_equal(sd_bus_message_get_error(answer)->name, "org.sandboxd.Error.InvalidArgument");
        (void) sd_bus_message_unref(answer);
}

static void a_command_ends_with_its_caller(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);
        sd_bus_message *m, *answer = NULL;
        InitRequest q;

        (void) state;
        m = execute_message(&f, path, "sleep 1000");
        assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        bus_send_only(&f, m, &answer);
        uint32_t number = bus_await_command(&f, path, NULL, 0, NULL);
        sd_bus_close(f.client);
        f.client = sd_bus_unref(f.client);
        RUN_UNTIL(f.event, fake_asked(bus_sandbox(&f, path), &q, NULL, 0, NULL) > 0);
        assert_int_equal(q.type, INIT_SIGNAL);
        assert_int_equal(q.exec, number);
        assert_int_equal(q.signal, SIGKILL);
        assert_int_equal(q.scope, INIT_SCOPE_EVERYTHING);
        bus_end_command(&f, path, number, SIGKILL);
        RUN_UNTIL(f.event, bus_sandbox(&f, path)->sandbox->n_jobs == 0);
        (void) sd_bus_message_unref(answer);
}

static void commands_of_a_session_that_ends_are_answered(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);
        sd_bus_message *m, *answer = NULL;
        const char *reason;
        int code;

        (void) state;
        m = execute_message(&f, path, "sleep 1000");
        assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        bus_send_only(&f, m, &answer);
        (void) bus_await_command(&f, path, NULL, 0, NULL);
        (void) sd_bus_message_unref(bus_expect_answer(&f, bus_message(&f, path, SESSION, "Terminate")));
        RUN_UNTIL(f.event, answer);
        assert_true(sd_bus_message_read(answer, "is", &code, &reason) > 0);
        assert_int_equal(code, -1);
        assert_string_equal(reason, "lost");
        (void) sd_bus_message_unref(answer);
        bus_expect_error(&f, bus_message(&f, path, SESSION, "Terminate"), "NoSuchSession", "has ended");
        RUN_UNTIL(f.event, strstr(f.signals, "InterfacesRemoved /org/sandboxd"));
}

/* --- ExecuteFd --- */

static sd_bus_message *execute_fd_message(BusFixture *f, const char *path, const int fds[static 3]) {
        sd_bus_message *m = bus_message(f, path, SESSION, "ExecuteFd");

        assert_true(sd_bus_message_append(m, "asa{sv}hhh", 2, "prog", "arg", 0, fds[0], fds[1], fds[2]) >= 0);
        return m;
}

static void streams_of_the_caller_are_those_of_the_command(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);
        sd_bus_message *answer = NULL;
        char strings[256], buf[8];
        const char *id;
        int p[2], fds[3];

        (void) state;
        RUN_UNTIL(f.event, pool_n_ready(f.pool) == 2);
        unsigned before = count_descriptors();
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        _cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        bus_send_only(&f, execute_fd_message(&f, path, (int[3]){ null, p[1], p[1] }), &answer);
        p[1] = fd_close(p[1]);
        uint32_t number = bus_await_command(&f, path, strings, sizeof strings, fds);
        assert_memory_equal(strings, "/home/sandboxuser\0prog\0arg", sizeof "/home/sandboxuser\0prog\0arg");
        InitEvent e = { .type = INIT_STARTED, .exec = number, .pid = 5 };
        fake_tell(bus_sandbox(&f, path), &e);
        RUN_UNTIL(f.event, answer);
        assert_true(sd_bus_message_read(answer, "s", &id) > 0);
        assert_int_equal(strlen(id), 36);
        (void) sd_bus_message_unref(answer);
        assert_int_equal(write(fds[1], "out", 3), 3);
        fds_close(fds, 3);
        assert_int_equal(read(p[0], buf, sizeof buf), 3);
        assert_int_equal(read(p[0], buf, sizeof buf), 0); /* no copy of it is left */
        p[0] = fd_close(p[0]);
        bus_end_command(&f, path, number, 0);
        RUN_UNTIL(f.event, strstr(f.signals, "ExecExited "));
        assert_true(count_descriptors() <= before + 1 + OUTPUT_FDS); /* null, and the log of the command */
}

static void descriptors_that_are_no_streams_are_refused(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);
        _cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        _cleanup_fd_ int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        (void) state;
        RUN_UNTIL(f.event, pool_n_ready(f.pool) == 2);
        unsigned before = count_descriptors();
        bus_expect_error(&f, execute_fd_message(&f, path, (int[3]){ folder, null, null }), "InvalidArgument",
                "stdin is a folder");
        bus_expect_error(&f, execute_fd_message(&f, path, (int[3]){ null, null, folder }), "InvalidArgument",
                "stderr is a folder");
        assert_int_equal(count_descriptors(), before);
        assert_int_equal(bus_sandbox(&f, path)->sandbox->n_jobs, 0);
}

static void too_many_arguments_are_refused(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);
        _cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        sd_bus_message *m = bus_message(&f, path, SESSION, "ExecuteFd");

        (void) state;
        assert_true(sd_bus_message_open_container(m, 'a', "s") >= 0);
        for (unsigned i = 0; i < 200000; i++)
                assert_true(sd_bus_message_append(m, "s", "x") >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
        assert_true(sd_bus_message_append(m, "a{sv}hhh", 0, null, null, null) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"argv\" has more than 16384 entries");
}

/* --- the rest --- */

static void a_session_can_be_paused(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);
        const char *text;
        sd_bus_message *m;

        (void) state;
        bus_expect_error(&f, bus_message(&f, path, SESSION, "Pause"), "WrongState", "control groups");
        f.fake->backend.can_freeze = true;
        (void) sd_bus_message_unref(bus_expect_answer(&f, bus_message(&f, path, SESSION, "Pause")));
        bus_expect_error(&f, bus_message(&f, path, SESSION, "Pause"), "WrongState", "paused already");
        m = bus_message(&f, path, "org.freedesktop.DBus.Properties", "Get");
        assert_true(sd_bus_message_append(m, "ss", SESSION, "State") >= 0);
        m = bus_expect_answer(&f, m);
        assert_true(sd_bus_message_read(m, "v", "s", &text) > 0);
        assert_string_equal(text, "paused");
        (void) sd_bus_message_unref(m);
        (void) sd_bus_message_unref(bus_expect_answer(&f, bus_message(&f, path, SESSION, "Resume")));
        (void) sd_bus_message_unref(bus_expect_answer(&f, bus_message(&f, path, SESSION, "Resume")));
}

static void the_time_limit_can_be_changed(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);
        sd_bus_message *m;
        char wanted[256];
        uint64_t expires;

        (void) state;
        m = bus_message(&f, path, SESSION, "SetTimeout");
        assert_true(sd_bus_message_append(m, "t", UINT64_MAX) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"usec\"");
        m = bus_message(&f, path, SESSION, "SetTimeout");
        assert_true(sd_bus_message_append(m, "t", (uint64_t) 0) >= 0);
        bus_expect_error(&f, m, "InvalidArgument", "\"usec\"");
        m = bus_message(&f, path, SESSION, "SetTimeout");
        assert_true(sd_bus_message_append(m, "t", 60 * USEC_PER_SEC) >= 0);
        (void) sd_bus_message_unref(bus_expect_answer(&f, m));
        m = bus_message(&f, path, "org.freedesktop.DBus.Properties", "Get");
        assert_true(sd_bus_message_append(m, "ss", SESSION, "ExpiresAt") >= 0);
        m = bus_expect_answer(&f, m);
        assert_true(sd_bus_message_read(m, "v", "t", &expires) > 0);
        assert_true(expires > clock_realtime() + 50 * USEC_PER_SEC && expires < clock_realtime() + 61 * USEC_PER_SEC);
        (void) sd_bus_message_unref(m);
        (void) snprintf(wanted, sizeof wanted, "PropertiesChanged %s", path);
        RUN_UNTIL(f.event, strstr(f.signals, wanted));
}

static uint64_t property_number(BusFixture *f, const char *path, const char *name) {
        sd_bus_message *m = bus_message(f, path, "org.freedesktop.DBus.Properties", "Get");
        uint64_t value;

        assert_true(sd_bus_message_append(m, "ss", SESSION, name) >= 0);
        m = bus_expect_answer(f, m);
        assert_true(sd_bus_message_read(m, "v", "t", &value) > 0);
        (void) sd_bus_message_unref(m);
        return value;
}

static void use_is_told_where_it_is_counted(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);

        (void) state;
        assert_int_equal(property_number(&f, path, "MemoryCurrent"), UINT64_MAX);
        clock_shift_for_test(USEC_PER_SEC);
        f.fake->has_usage = true;
        f.fake->usage = (BackendUsage){ .memory = 4096, .cpu_usec = 7, .pids = 3 };
        assert_int_equal(property_number(&f, path, "MemoryCurrent"), 4096);
        assert_int_equal(property_number(&f, path, "CPUUsageNSec"), 7000);
        assert_int_equal(property_number(&f, path, "TasksCurrent"), 3);
        assert_int_equal(property_number(&f, path, "DiskCurrent"), UINT64_MAX);
        clock_shift_for_test(0);
}

static bool managed(BusFixture *f, const char *path) {
        sd_bus_message *m = bus_expect_answer(
                f, bus_message(f, "/org/sandboxd", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"));
        const char *p;
        bool found = false;

        assert_true(sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}") > 0);
        while (sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}") > 0) {
                assert_true(sd_bus_message_read(m, "o", &p) > 0);
                found |= strcmp(p, path) == 0;
                assert_true(sd_bus_message_skip(m, "a{sa{sv}}") > 0);
                assert_true(sd_bus_message_exit_container(m) >= 0);
        }
        (void) sd_bus_message_unref(m);
        return found;
}

static void objects_of_others_are_not_there(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *mine = NULL, *theirs = NULL;
        char id[UUID_TEXT_MAX];
        sd_bus_message *m;
        Session *s;

        (void) state;
        if (!bus_fixture_open(&f, false))
                skip();
        mine = bus_create(&f, id);
        s = bus_create_for(&f, "uid:5");
        assert_true(sd_bus_path_encode("/org/sandboxd/session", s->id, &theirs) >= 0);
        assert_true(managed(&f, mine));
        assert_false(managed(&f, theirs));
        m = bus_message(&f, theirs, "org.freedesktop.DBus.Properties", "GetAll");
        assert_true(sd_bus_message_append(m, "s", SESSION) >= 0);
        bus_expect_error(&f, m, "NoSuchSession", "no session");
        f.polkit = POLKIT_NO;
        bus_expect_error(&f, bus_message(&f, theirs, SESSION, "Terminate"), "AccessDenied", "polkit");
        assert_string_equal(f.own, "no");
        assert_false(s->ended);
}

static void an_object_comes_with_its_session(void **state) {
        _cleanup_fixture_ BusFixture f = { 0 };
        _cleanup_free_ char *path = open_with_session(&f);

        (void) state;
        assert_true(managed(&f, path));
        RUN_UNTIL(f.event, strstr(f.signals, "InterfacesAdded /org/sandboxd"));
        assert_non_null(strstr(f.signals, "SessionNew " WORKER_PATH));
        bus_expect_error(
                &f, bus_message(&f, "/org/sandboxd/session/nothing", SESSION, "Terminate"), "NoSuchSession", "");
        bus_expect_error(&f, bus_message(&f, "/org/sandboxd/session", SESSION, "Terminate"), "UnknownMethod", "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_command_is_run_and_its_result_told),
                cmocka_unit_test(its_input_may_be_bytes),
                cmocka_unit_test(options_of_a_command_are_checked),
                cmocka_unit_test(a_folder_that_is_not_there_is_an_error),
                cmocka_unit_test(a_command_ends_with_its_caller),
                cmocka_unit_test(commands_of_a_session_that_ends_are_answered),
                cmocka_unit_test(streams_of_the_caller_are_those_of_the_command),
                cmocka_unit_test(descriptors_that_are_no_streams_are_refused),
                cmocka_unit_test(too_many_arguments_are_refused),
                cmocka_unit_test(a_session_can_be_paused),
                cmocka_unit_test(the_time_limit_can_be_changed),
                cmocka_unit_test(use_is_told_where_it_is_counted),
                cmocka_unit_test(objects_of_others_are_not_there),
                cmocka_unit_test(an_object_comes_with_its_session),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
