/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "error/error.h"

static void every_kind_has_a_full_row(void **state) {
        (void) state;
        for (ErrorKind kind = ERROR_NONE + 1; kind < ERROR_KIND_MAX_; kind++) {
                assert_true(strncmp(error_dbus_name(kind), "org.sandboxd.Error.", 19) == 0);
                assert_true(error_errno(kind) > 0);
                assert_in_range(error_http_status(kind), 400, 599);
                assert_true(strlen(error_title(kind)) > 0);
        }
}

static void no_two_kinds_share_an_errno(void **state) {
        (void) state;
        for (ErrorKind a = ERROR_NONE + 1; a < ERROR_KIND_MAX_; a++)
                for (ErrorKind b = a + 1; b < ERROR_KIND_MAX_; b++)
                        assert_int_not_equal(error_errno(a), error_errno(b));
}

static void setting_formats_and_returns_the_row_s_errno(void **state) {
        _cleanup_error_ Error e = { 0 };

        (void) state;
        assert_int_equal(error_set(&e, ERROR_QUOTA, "%u sessions run already.", 7U), -EDQUOT);
        assert_int_equal(e.kind, ERROR_QUOTA);
        assert_string_equal(e.detail, "7 sessions run already.");
        assert_string_equal(e.field, "");
}

static void first_error_stays(void **state) {
        _cleanup_error_ Error e = { 0 };

        (void) state;
        (void) error_set(&e, ERROR_NOT_FOUND, "first");
        assert_int_equal(error_set(&e, ERROR_TOO_LARGE, "second"), -EFBIG);
        assert_int_equal(e.kind, ERROR_NOT_FOUND);
        assert_string_equal(e.detail, "first");
}

static void long_field_is_cut(void **state) {
        _cleanup_error_ Error e = { 0 };
        char name[200];

        (void) state;
        memset(name, 'n', sizeof name);
        name[sizeof name - 1] = '\0';
        assert_int_equal(error_set_field(&e, ERROR_INVALID_VALUE, name, "max", "no"), -EINVAL);
        assert_int_equal(strlen(e.field), sizeof e.field - 1);
        assert_string_equal(e.limit, "max");
}

static void nobody_need_listen(void **state) {
        (void) state;
        assert_int_equal(error_set(NULL, ERROR_FORBIDDEN, "no"), -EPERM);
        assert_int_equal(error_set_errno(NULL, -EPERM), -EPERM);
}

static void errno_becomes_its_row(void **state) {
        _cleanup_error_ Error e = { 0 };

        (void) state;
        assert_int_equal(error_set_errno(&e, -ENOSPC), -ENOSPC);
        assert_int_equal(e.kind, ERROR_DISK_LIMIT);
}

static void unknown_errno_becomes_a_neutral_text(void **state) {
        _cleanup_error_ Error e = { 0 };

        (void) state;
        assert_int_equal(error_set_errno(&e, ENOTTY), -EIO);
        assert_int_equal(e.kind, ERROR_INTERNAL);
        assert_null(strstr(e.detail, "ioctl"));
}

static void cleared_is_as_new(void **state) {
        static const Error none;
        Error e = { 0 };

        (void) state;
        (void) error_set_field(&e, ERROR_INVALID_VALUE, "timeout", "max", "no");
        error_clear(&e);
        assert_memory_equal(&e, &none, sizeof e);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_kind_has_a_full_row),
                cmocka_unit_test(no_two_kinds_share_an_errno),
                cmocka_unit_test(setting_formats_and_returns_the_row_s_errno),
                cmocka_unit_test(first_error_stays),
                cmocka_unit_test(long_field_is_cut),
                cmocka_unit_test(nobody_need_listen),
                cmocka_unit_test(errno_becomes_its_row),
                cmocka_unit_test(unknown_errno_becomes_a_neutral_text),
                cmocka_unit_test(cleared_is_as_new),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
