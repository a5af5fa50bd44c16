/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "log/escape.h"
#include "log/log.h"

static struct {
        unsigned n;
        int priority;
        const LogMessage *message;
        char text[8192];
        char first_field[64];
} seen;

static void sink(int priority, const LogMessage *message, const LogField *fields, const char *text) {
        seen.n++;
        seen.priority = priority;
        seen.message = message;
        (void) snprintf(seen.text, sizeof seen.text, "%s", text);
        (void) snprintf(seen.first_field, sizeof seen.first_field, "%s", fields ? fields->name : "");
}

static int sink_set(void **state) {
        (void) state;
        memset(&seen, 0, sizeof seen);
        log_setup(LOG_TARGET_STDERR, LOG_INFO, NULL);
        log_set_sink(sink);
        return 0;
}

static int sink_drop(void **state) {
        (void) state;
        log_set_sink(NULL);
        return 0;
}

static void sink_gets_message_fields_and_text(void **state) {
        (void) state;
        log_event(LOG_NOTICE, &MESSAGE_SESSION_ENDED, LOG_FIELDS({ "SESSION_ID", "s1" }), "Session %s ended", "s1");
        assert_int_equal(seen.n, 1);
        assert_int_equal(seen.priority, LOG_NOTICE);
        assert_ptr_equal(seen.message, &MESSAGE_SESSION_ENDED);
        assert_string_equal(seen.text, "Session s1 ended");
        assert_string_equal(seen.first_field, "SESSION_ID");
}

static void less_important_than_the_level_is_dropped(void **state) {
        (void) state;
        log_debug("quiet");
        assert_int_equal(seen.n, 0);
        log_setup(LOG_TARGET_STDERR, LOG_DEBUG, NULL);
        log_debug("loud");
        assert_int_equal(seen.n, 1);
}

static void errno_is_shown_and_kept(void **state) {
        (void) state;
        errno = ENOENT;
        log_info("%m");
        assert_string_equal(seen.text, strerror(ENOENT));
        assert_int_equal(errno, ENOENT);

        assert_int_equal(log_error_errno(-EACCES, "Failed: %m"), -EACCES);
        assert_string_equal(seen.text, "Failed: Permission denied");
        assert_int_equal(log_warning_errno(EACCES, "Failed: %m"), -EACCES);
        assert_int_equal(errno, ENOENT);
}

static void errno_comes_back_although_nothing_is_shown(void **state) {
        (void) state;
        assert_int_equal(log_errno(LOG_DEBUG, -EIO, NULL, NULL, "hidden"), -EIO);
        assert_int_equal(seen.n, 0);
}

static void control_characters_do_not_reach_the_reader(void **state) {
        (void) state;
        log_info("a\nb\x1b[2J\t\x7f\r%s", "\xC2\x9B");
        assert_string_equal(seen.text, "a\\nb\\x1b[2J\\t\\x7f\\r\\xc2\\x9b");
        log_info("gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80 \xFF\xC3");
        assert_string_equal(seen.text, "gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80 \\xff\\xc3");
}

static void long_message_is_cut_visibly(void **state) {
        static char text[100000];

        (void) state;
        memset(text, 'x', sizeof text - 1);
        log_info("%s", text);
        assert_in_range(strlen(seen.text), 4000, 4096);
        assert_string_equal(seen.text + strlen(seen.text) - 4, "x...");
}

static void escaping_never_overruns_its_room(void **state) {
        static const char *const texts[] = { "", "abc", "\n\n\n\n\n\n\n\n\n\n\n\n", "\x01\x02\x03\x04\x05\x06\x07",
                "\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC",
                "123456789012345678901234567890" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                for (size_t size = 8; size < 24; size++) {
                        char buf[32];
                        memset(buf, '#', sizeof buf);
                        size_t n = escape_text(texts[i], buf, size);
                        assert_true(n < size);
                        assert_int_equal(strlen(buf), n);
                        for (size_t k = size; k < sizeof buf; k++)
                                assert_int_equal(buf[k], '#');
                }
}

static void escaping_cuts_at_a_character(void **state) {
        char buf[10];

        (void) state;
        assert_int_equal(escape_text("1234567890", buf, sizeof buf), 9);
        assert_string_equal(buf, "123456...");
        assert_int_equal(escape_text("123456789", buf, sizeof buf), 9);
        assert_string_equal(buf, "123456789");
        (void) escape_text("12345\xC3\xBC\xC3\xBC\xC3\xBC", buf, sizeof buf);
        assert_string_equal(buf, "12345...");
        (void) escape_text("1234\x01\x02", buf, sizeof buf);
        assert_string_equal(buf, "1234...");
}

/* Runs @body with stderr in a file of its own and returns what it wrote there. */
static const char *stderr_of(void (*body)(void), const char *stream) {
        static char text[16384];
        char path[] = "/tmp/test-log-XXXXXX", name[64];
        _cleanup_fd_ int fd = mkostemp(path, O_CLOEXEC);
        _cleanup_fd_ int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        struct stat st;

        assert_true(fd >= 0 && saved >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        (void) snprintf(name, sizeof name, "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
        (void) setenv("JOURNAL_STREAM", stream ?: name, 1);

        assert_true(dup2(fd, STDERR_FILENO) >= 0);
        body();
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        (void) unsetenv("JOURNAL_STREAM");

        ssize_t n = pread(fd, text, sizeof text - 1, 0);
        assert_true(n >= 0);
        text[n] = '\0';
        assert_int_equal(unlink(path), 0);
        return text;
}

static void write_warning(void) {
        log_setup(LOG_TARGET_STDERR, LOG_INFO, "worker1");
        log_event(LOG_WARNING, NULL,
                LOG_FIELDS({ "SESSION_ID", "s\n1" }, { "REASON", NULL }, { "EXEC_ID", "e" },
                        { "SANDBOXD_IMAGE", "for the journal alone" }, { "SANDBOXD_POOL_SIZE", "5" }),
                "Two\nlines");
}

static void line_for_a_file_has_time_level_and_fields(void **state) {
        const char *text;

        (void) state;
        log_set_sink(NULL);
        text = stderr_of(write_warning, "0:0");
        assert_int_equal(text[10], 'T');
        assert_int_equal(text[23], 'Z');
        text = strstr(text, "]: ");
        assert_non_null(text);
        assert_string_equal(text, "]: warning: Two\\nlines (SESSION_ID=s\\n1 EXEC_ID=e)\n");
}

static void line_for_the_journal_has_its_priority(void **state) {
        (void) state;
        log_set_sink(NULL);
        assert_string_equal(stderr_of(write_warning, NULL), "<4>Two\\nlines (SESSION_ID=s\\n1 EXEC_ID=e)\n");
}

static void write_long_line(void) {
        static char value[5000];
        const LogField field = { "REASON", value };

        memset(value, 'v', sizeof value - 1);
        log_setup(LOG_TARGET_STDERR, LOG_INFO, NULL);
        log_event(LOG_INFO, NULL, LOG_FIELDS(field, field, field, field, field, field), "Long");
}

static void line_and_values_are_bounded(void **state) {
        const char *text;

        (void) state;
        log_set_sink(NULL);
        text = stderr_of(write_long_line, NULL);
        assert_in_range(strlen(text), 1000, 4096);
        assert_int_equal(text[strlen(text) - 1], '\n');
        assert_in_range(strcspn(strstr(text, "REASON="), " "), 1000, 1040);
}

static void write_to_full_pipe(void) {
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        int size = fcntl(fds[1], F_SETPIPE_SZ, 4096);
        assert_true(size > 0);
        _cleanup_free_ char *text = calloc(1, (size_t) size);
        assert_int_equal(write(fds[1], text, (size_t) size), size);
        _cleanup_fd_ int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

        assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
        log_setup(LOG_TARGET_STDERR, LOG_INFO, NULL);
        log_info("lost"); /* would block for ever */
        log_info("lost");
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        fds_close(fds, 2);
        log_info("seen");
        log_info("again");
}

static void reader_who_does_not_read_does_not_stop_us(void **state) {
        const char *text;

        (void) state;
        log_set_sink(NULL);
        text = stderr_of(write_to_full_pipe, "0:0");
        assert_non_null(strstr(text, ": [2 lines lost] seen\n"));
        assert_non_null(strstr(text, "]: again\n"));
}

static void write_auto_and_journal(void) {
        log_setup(LOG_TARGET_AUTO, LOG_INFO, NULL);
        log_info("here");
}

static void without_a_journal_auto_means_stderr(void **state) {
        (void) state;
        log_set_sink(NULL);
        assert_non_null(strstr(stderr_of(write_auto_and_journal, "0:0"), "]: here\n"));
}

static void write_while_it_starts(void) {
        log_setup(LOG_TARGET_AUTO, LOG_INFO, "worker1");
        log_set_starting(true);
        log_info("starting");
        log_event(LOG_ERR, &MESSAGE_SANDBOX_FAILED, NULL, "one to find by its id");
        log_error("why it ends");
        log_set_starting(false);
        log_error("later");
}

static void what_ends_a_start_goes_by_the_stream(void **state) {
        (void) state;
        log_set_sink(NULL);
        /* a datagram is sent even where nobody takes it */
        assert_string_equal(stderr_of(write_while_it_starts, NULL), "<3>why it ends\n");
}

static void message_ids_are_128_bits_and_differ(void **state) {
        static const LogMessage *const messages[] = {
#define ROW(name, id) &MESSAGE_##name,
                LOG_MESSAGES(ROW)
#undef ROW
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(messages); i++) {
                assert_int_equal(strlen(messages[i]->id), 32);
                assert_int_equal(strspn(messages[i]->id, "0123456789abcdef"), 32);
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(messages[i]->id, messages[k]->id);
        }
}

#define WITH_SINK(f) cmocka_unit_test_setup_teardown(f, sink_set, sink_drop)

int main(void) {
        static const struct CMUnitTest tests[] = {
                WITH_SINK(sink_gets_message_fields_and_text),
                WITH_SINK(less_important_than_the_level_is_dropped),
                WITH_SINK(errno_is_shown_and_kept),
                WITH_SINK(errno_comes_back_although_nothing_is_shown),
                WITH_SINK(control_characters_do_not_reach_the_reader),
                WITH_SINK(long_message_is_cut_visibly),
                cmocka_unit_test(escaping_never_overruns_its_room),
                cmocka_unit_test(escaping_cuts_at_a_character),
                WITH_SINK(line_for_a_file_has_time_level_and_fields),
                WITH_SINK(line_for_the_journal_has_its_priority),
                WITH_SINK(line_and_values_are_bounded),
                WITH_SINK(reader_who_does_not_read_does_not_stop_us),
                WITH_SINK(without_a_journal_auto_means_stderr),
                WITH_SINK(what_ends_a_start_goes_by_the_stream),
                cmocka_unit_test(message_ids_are_128_bits_and_differ),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
