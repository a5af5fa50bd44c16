/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "image/list.h"
#include "image/owner.h"

static int parse(const char *text, PackageList *ret) {
        return package_list_parse("test.packages", strdup(text), ret);
}

static void entries_and_comments(_unused_ void **state) {
        _cleanup_(package_list_done) PackageList l = {};

        assert_int_equal(parse("# all\n\n  bash # shell\r\n?gawk|mawk\n\tg++\n!systemd*\n!perl\npython3.11", &l), 0);
        assert_int_equal(l.wanted.n, 4);
        assert_string_equal(l.wanted.items[0], "bash");
        assert_string_equal(l.wanted.items[1], "?gawk|mawk");
        assert_string_equal(l.wanted.items[2], "g++");
        assert_string_equal(l.wanted.items[3], "python3.11");
        assert_int_equal(l.stops.n, 2);
        assert_true(package_list_stops(&l, "systemd-sysv"));
        assert_true(package_list_stops(&l, "perl"));
        assert_false(package_list_stops(&l, "perl-base"));
}

static void malformed_lines_are_refused(_unused_ void **state) {
        static const char *const bad[] = {
                "bash grep",
                "|bash",
                "bash|",
                "a||b",
                "?",
                "!",
                "!?a/b",
                "../etc",
                "-n --root=/ x",
                "ba$h",
                "??bash",
                "!a|b",
                "caf\xc3\xa9",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                PackageList l;

                assert_int_equal(parse(bad[i], &l), -EINVAL);
        }
}

static void a_list_without_packages_is_refused(_unused_ void **state) {
        PackageList l;

        assert_int_equal(parse("", &l), -EINVAL);
        assert_int_equal(parse("# nothing\n!perl\n", &l), -EINVAL);
}

static void the_shipped_list_is_valid(_unused_ void **state) {
        _cleanup_(package_list_done) PackageList l = {};

        assert_int_equal(package_list_read(SOURCE_ROOT "/src/image/base.packages", &l), 0);
        assert_true(l.wanted.n > 20);
        assert_true(package_list_stops(&l, "dpkg"));
        assert_false(package_list_stops(&l, "libc6"));
}

static void owners(_unused_ void **state) {
        Owner o;

        assert_int_equal(owner_parse("100000:200000", &o), 0);
        assert_int_equal(o.uid, 100000);
        assert_int_equal(o.gid, 200000);
        assert_int_equal(owner_parse("", &o), -EINVAL);
        assert_int_equal(owner_parse("0", &o), -EINVAL);
        assert_int_equal(owner_parse("0:", &o), -EINVAL);
        assert_int_equal(owner_parse("0:0:0", &o), -EINVAL);
        assert_int_equal(owner_parse("-1:0", &o), -EINVAL);
        assert_int_equal(owner_parse("4294967295:0", &o), -ERANGE);
}

static void subordinate_ranges(_unused_ void **state) {
        uint32_t first = 7;

        assert_int_equal(owner_find_range("", "box", &first), -ENOENT);
        assert_int_equal(owner_find_range("boxer:1:65536\n", "box", &first), -ENOENT);
        assert_int_equal(owner_find_range("box:1:65535\n", "box", &first), -ENOENT);
        assert_int_equal(owner_find_range("box:x:65536\nbox:1\nbox", "box", &first), -ENOENT);
        assert_int_equal(first, 7);
        assert_int_equal(
                owner_find_range("me:100000:65536\nbox:5:10\nbox:165536:1114112\nbox:9:65536", "box", &first), 0);
        assert_int_equal(first, 165536);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(entries_and_comments),
                cmocka_unit_test(malformed_lines_are_refused),
                cmocka_unit_test(a_list_without_packages_is_refused),
                cmocka_unit_test(the_shipped_list_is_valid),
                cmocka_unit_test(owners),
                cmocka_unit_test(subordinate_ranges),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
