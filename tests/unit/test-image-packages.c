/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "image/manifest.h"
#include "image/packages.h"

static PackageDb parse(const PackageDbOps *ops, const char *text) {
        PackageDb db = { .ops = ops };

        assert_int_equal(package_db_parse(&db, strdup(text)), 0);
        return db;
}

static int choose(PackageDb *db, const char *list) {
        _cleanup_(package_list_done) PackageList l = {};

        assert_int_equal(package_list_parse("test.packages", strdup(list), &l), 0);
        return packages_choose(db, &l);
}

static void assert_chosen(const PackageDb *db, const char *names) {
        char all[1024] = "";

        for (size_t i = 0; i < db->n_packages; i++)
                if (db->packages[i].chosen) {
                        if (*all)
                                (void) strcat(all, " ");
                        (void) strcat(all, db->packages[i].name);
                }
        assert_string_equal(all, names);
}

static void dpkg_needs(_unused_ void **state) {
        _cleanup_(strings_done) Strings needs = {};
        char line[] = "libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0, python3:any (<< 3.12), perl:any|x [amd64], , a";
        char empty[] = "";

        assert_int_equal(dpkg_ops.parse_needs(empty, &needs), 0);
        assert_int_equal(needs.n, 0);
        assert_int_equal(dpkg_ops.parse_needs(line, &needs), 0);
        assert_int_equal(needs.n, 5);
        assert_string_equal(needs.items[0], "libc6");
        assert_string_equal(needs.items[1], "debconf|debconf-2.0");
        assert_string_equal(needs.items[2], "python3");
        assert_string_equal(needs.items[3], "perl|x");
        assert_string_equal(needs.items[4], "a");
}

static void assert_rpm_needs(const char *line, const char *a, const char *b) {
        _cleanup_(strings_done) Strings needs = {};
        _cleanup_free_ char *copy = strdup(line);

        assert_int_equal(rpm_ops.parse_needs(copy, &needs), 0);
        assert_int_equal(needs.n, !!a + !!b);
        if (a)
                assert_string_equal(needs.items[0], a);
        if (b)
                assert_string_equal(needs.items[1], b);
}

static void rpm_needs(_unused_ void **state) {
        char bad[] = "no tab";

        assert_rpm_needs("16384\tlibc.so.6(GLIBC_2.34)(64bit)", "libc.so.6(GLIBC_2.34)(64bit)", NULL);
        assert_rpm_needs("8\t/usr/bin/python3", "/usr/bin/python3", NULL);
        assert_rpm_needs("0\t", NULL, NULL);
        /* rpmlib, config, post script and its interpreter */
        assert_rpm_needs("16777226\trpmlib(CompressedFileNames)", NULL, NULL);
        assert_rpm_needs("268435464\tconfig(bash)", NULL, NULL);
        assert_rpm_needs("1024\tsystemd", NULL, NULL);
        assert_rpm_needs("1280\t/bin/sh", NULL, NULL);
        /* rich ones */
        assert_rpm_needs("0\t(gawk or mawk >= 1.3 or busybox)", "gawk|mawk|busybox", NULL);
        assert_rpm_needs("0\t(liba >= 2 and libb)", "liba", "libb");
        assert_rpm_needs("0\t(python3dist(x) >= 1 with python3dist(x) < 2)", "python3dist(x)", NULL);
        assert_rpm_needs("0\t(langpack if desktop)", NULL, NULL);
        assert_rpm_needs("0\t((a or b) and c)", NULL, NULL);
        assert_rpm_needs("0\t(", NULL, NULL);
        assert_rpm_needs("0\t(x", NULL, NULL);
        assert_int_equal(rpm_ops.parse_needs(bad, &(Strings){}), -EINVAL);
}

static const char dpkg_text[] =
        "Pii \tdpkg\t1.21\tamd64\nD\nDtar\nV\n /usr/bin/dpkg\n"
        "Pii \tbash\t5.2\tamd64\nDlibc6 (>= 2.34), debianutils\nDnot-there\nV\n /.\n /bin\n /bin/bash\n"
        "Pii \tlibc6\t2.36\tamd64\nD\nDlibgcc-s1, libcrypt1\nV\n /lib/libc.so.6\n"
        "Pii \tlibc6\t2.36\ti386\nD\nDonly-i386\nV\n"
        "Pii \tonly-i386\t1\tall\nD\nD\nV\n"
        "Pii \tlibgcc-s1\t12\tamd64\nD\nDlibc6\nV\n"
        "Pii \tmawk\t1.3\tamd64\nDlibc6\nD\nVawk\n"
        "Prc \tgawk\t5.2\tamd64\nDlibc6\nD\nVawk\n"
        "Pii \tgit\t2.39\tamd64\nD\nDperl, awk, default-mta | mail-agent, systemd | tool\nV\n"
        "Pii \tperl\t5.36\tamd64\nD\nDperl-modules\nV\n"
        "Pii \tperl-modules\t5.36\tall\nD\nD\nV\n"
        "Pii \tpostfix\t3\tamd64\nD\nD\nVmail-agent (= 3), mail-reader\n"
        "Pii \tsystemd\t252\tamd64\nD\nD\nV\n"
        "Phi \ttool\t1\tall\nD\nD\nV\n";

static void dependencies_are_followed(_unused_ void **state) {
        _cleanup_(package_db_done) PackageDb db = parse(&dpkg_ops, dpkg_text);

        assert_int_equal(choose(&db, "bash"), 0);
        assert_chosen(&db, "bash libc6 libgcc-s1");
        for (size_t i = 0; i < db.n_packages; i++)
                if (db.packages[i].chosen && strcmp(db.packages[i].name, "libc6") == 0)
                        assert_string_equal(db.packages[i].arch, "amd64");
}

static void stopped_packages_are_not_followed(_unused_ void **state) {
        _cleanup_(package_db_done) PackageDb db = parse(&dpkg_ops, dpkg_text);

        assert_int_equal(choose(&db, "git\n!perl\n!systemd*"), 0);
        assert_chosen(&db, "libc6 libgcc-s1 mawk git postfix tool");
}

static void what_is_named_is_taken_though_stopped(_unused_ void **state) {
        _cleanup_(package_db_done) PackageDb db = parse(&dpkg_ops, dpkg_text);

        assert_int_equal(choose(&db, "perl\n!perl*"), 0);
        assert_chosen(&db, "perl");
}

static void alternatives_take_the_first_installed(_unused_ void **state) {
        _cleanup_(package_db_done) PackageDb db = parse(&dpkg_ops, dpkg_text);

        assert_int_equal(choose(&db, "gawk|mawk\n?missing|also-missing"), 0);
        assert_chosen(&db, "libc6 libgcc-s1 mawk");
}

static void required_packages_must_be_there(_unused_ void **state) {
        _cleanup_(package_db_done) PackageDb db = parse(&dpkg_ops, dpkg_text);

        assert_int_equal(choose(&db, "gawk"), -ENOPKG); /* removed, its configuration is left */
        assert_int_equal(choose(&db, "busybox|toybox"), -ENOPKG);
}

static void rpm_files_satisfy_needs(_unused_ void **state) {
        _cleanup_(package_db_done) PackageDb db =
                parse(&rpm_ops, "Pii\tbash\t5.2-1\tnoarch\nD0\tlibc.so.6()(64bit)\nD8\t/usr/bin/env\nD1280\t/bin/"
                                "false\nVbash\nV/bin/sh\n"
                                " /usr/bin/bash\n"
                                "Pii\tglibc\t2.38-1\tnoarch\nVlibc.so.6()(64bit)\nVglibc\n /lib64/libc.so.6\n"
                                "Pii\tcoreutils\t9-1\tnoarch\nD8\t/bin/sh\n /bin/env\n"
                                "Pii\tother\t9-1\tnoarch\n /usr/bin/false\n"
                                "Pii\tgpg-pubkey\t1-1\t(none)\n\n");

        assert_int_equal(choose(&db, "bash"), 0);
        assert_chosen(&db, "bash glibc coreutils");
}

static void broken_answers_are_refused(_unused_ void **state) {
        static const char *const bad[] = { "Dx\n", "Pii \tname\tversion\n", " /path\n", "garbage" };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(package_db_done) PackageDb db = { .ops = &dpkg_ops };

                assert_int_equal(package_db_parse(&db, strdup(bad[i])), -EINVAL);
        }
}

static void manifest_tells_what_changed(_unused_ void **state) {
        _cleanup_(package_db_done) PackageDb db = parse(&dpkg_ops, dpkg_text);
        _cleanup_(package_list_done) PackageList l = {};
        _cleanup_(manifest_done) Manifest m = {}, other = {};
        _cleanup_free_ char *text = NULL, *stamped = NULL;

        db.folder = strdup("/nowhere");
        assert_int_equal(package_list_parse("x", strdup("bash\n!perl"), &l), 0);
        assert_int_equal(packages_choose(&db, &l), 0);
        assert_int_equal(manifest_set_request(&m, "base", 5, 6, &l), 0);
        assert_int_equal(manifest_set_packages(&m, &db), 0);
        assert_int_equal(manifest_set_stamp(&m, &db), 0);
        text = manifest_text(&m, 1000000, 3, 4567);
        assert_non_null(text);
        assert_non_null(strstr(text, "\npackage: libc6 2.36 amd64\n"));
        assert_non_null(strstr(text, "\ncreated: 1970-01-01T00:00:01Z\nfiles: 3\nbytes: 4567\n"));
        assert_int_equal(manifest_match(&m, text), MANIFEST_SAME);

        /* another state of the database, the same packages */
        free(m.stamp);
        m.stamp = strdup("stamp: later\n");
        assert_int_equal(manifest_match(&m, text), MANIFEST_SAME_PACKAGES);
        stamped = manifest_restamp(&m, text);
        assert_int_equal(manifest_match(&m, stamped), MANIFEST_SAME);
        assert_non_null(strstr(stamped, "\ncreated: "));

        /* one package less, while the rest is equal */
        *strstr(m.packages, "package: libgcc") = '\0';
        assert_int_equal(manifest_match(&m, text), MANIFEST_DIFFERS);

        /* another owner */
        assert_int_equal(manifest_set_request(&other, "base", 7, 6, &l), 0);
        assert_int_equal(manifest_set_packages(&other, &db), 0);
        assert_int_equal(manifest_set_stamp(&other, &db), 0);
        assert_int_equal(manifest_match(&other, text), MANIFEST_DIFFERS);
        assert_int_equal(manifest_match(&other, ""), MANIFEST_DIFFERS);
        assert_int_equal(manifest_match(&other, other.request), MANIFEST_DIFFERS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(dpkg_needs),
                cmocka_unit_test(rpm_needs),
                cmocka_unit_test(dependencies_are_followed),
                cmocka_unit_test(stopped_packages_are_not_followed),
                cmocka_unit_test(what_is_named_is_taken_though_stopped),
                cmocka_unit_test(alternatives_take_the_first_installed),
                cmocka_unit_test(required_packages_must_be_there),
                cmocka_unit_test(rpm_files_satisfy_needs),
                cmocka_unit_test(broken_answers_are_refused),
                cmocka_unit_test(manifest_tells_what_changed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
