/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spawner/idmap.h"
#include "spec/wire.h"

static char folder[] = "/tmp/test-spawner-idmap.XXXXXX";
static char file[64];

static int make_folder(void **state) {
        (void) state;
        if (!mkdtemp(folder))
                return -1;
        (void) snprintf(file, sizeof file, "%s/file", folder);
        return 0;
}

static int drop_folder(void **state) {
        (void) state;
        (void) unlink(file);
        return rmdir(folder);
}

static int drop_file(void **state) {
        (void) state;
        (void) unlink(file);
        return 0;
}

static void write_file(const char *text) {
        FILE *f = fopen(file, "we");

        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static int read_range(const char *text, IdRange *ret) {
        write_file(text);
        *ret = (IdRange){ 7, 7 };
        return idmap_range_read(file, "box", 991, ret);
}

static void assert_range(const char *text, uint32_t start, uint32_t count) {
        IdRange range;

        assert_int_equal(read_range(text, &range), 0);
        assert_int_equal(range.start, start);
        assert_int_equal(range.count, count);
}

static void assert_no_range(const char *text) {
        IdRange range;

        assert_int_equal(read_range(text, &range), -ENOENT);
        assert_int_equal(range.start, 7); /* untouched */
}

static void test_range_of_a_name(void **state) {
        (void) state;
        assert_range("box:100000:65536\n", 100000, 65536);
        assert_range("other:1:65536\nbox:200000:65536\nbox:300000:65536\n", 200000, 65536);
        assert_range("box:200000:65536", 200000, 65536); /* no line end */
}

static void test_range_of_an_id(void **state) {
        (void) state;
        assert_range("991:100000:65536\n", 100000, 65536);
        assert_no_range("9910:100000:65536\n99:100000:65536\n");
}

static void test_lines_that_are_none(void **state) {
        (void) state;
        assert_no_range("");
        assert_no_range("\n\n");
        assert_no_range("box\nbox:\nbox::\nbox:1\nbox:x:y\nbox:100000\n:100000:65536\n");
        assert_no_range("boxes:100000:65536\nbo:100000:65536\n box:100000:65536\n#box:100000:65536\n");
        assert_range("box:x:65536\nbox:100000:65536\n", 100000, 65536);
}

static void test_small_ranges_are_passed_over(void **state) {
        (void) state;
        assert_no_range("box:100000:4096\n");
        assert_range("box:100000:4097\n", 100000, 4097);
        assert_range("box:100000:1\nbox:200000:65536\n", 200000, 65536);
}

static void test_ranges_beyond_all_ids(void **state) {
        (void) state;
        assert_no_range("box:4294967295:65536\n");
        assert_no_range("box:4294901761:65536\n");
        assert_range("box:4294901759:65536\n", 4294901759U, 65536);
}

static void test_no_file(void **state) {
        IdRange range;

        (void) state;
        assert_int_equal(idmap_range_read("/nonexistent/subuid", "box", 991, &range), -ENOENT);
}

/* --- division --- */

static void test_full_range(void **state) {
        IdRange range = { .start = 1000000, .count = ID_RANGE_FULL };
        IdLayout layout, next;

        (void) state;
        assert_int_equal(idmap_slices(&range), 64);
        assert_int_equal(idmap_layout(&range, 0, 991, &layout), 0);
        assert_int_equal(layout.image, 1000000);
        assert_int_equal(layout.own, 991);
        assert_int_equal(layout.sandbox, 1000000 + NAMESPACE_SANDBOX_ID);
        assert_int_equal(layout.count, 16384);
        assert_int_equal(idmap_layout(&range, 63, 991, &layout), 0);
        assert_int_equal((uint64_t) layout.sandbox + layout.count, (uint64_t) range.start + range.count);
        assert_int_equal(idmap_layout(&range, 64, 991, &layout), -ERANGE);
        assert_int_equal(idmap_layout(&range, UINT32_MAX, 991, &layout), -ERANGE);

        /* slices of different workers do not meet, nor the image's id */
        for (uint32_t i = 0; i + 1 < 64; i++) {
                assert_int_equal(idmap_layout(&range, i, 991, &layout), 0);
                assert_int_equal(idmap_layout(&range, i + 1, 991, &next), 0);
                assert_true(layout.sandbox > layout.image);
                assert_int_equal(layout.sandbox + layout.count, next.sandbox);
                assert_int_equal(layout.image, next.image);
        }
}

static void test_every_size_stays_within_its_range(void **state) {
        static const uint32_t sizes[] = { 1, 4096, 4097, 8192, 8193, 65536, 81919, 81920, 98304, 200000,
                ID_RANGE_FULL };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                IdRange range = { .start = 500000, .count = sizes[i] };
                uint32_t n = idmap_slices(&range);
                IdLayout layout;
                assert_true(sizes[i] >= ID_RANGE_MIN ? n > 0 : n == 0);
                for (uint32_t k = 0; k < n; k++) {
                        assert_int_equal(idmap_layout(&range, k, 1, &layout), 0);
                        assert_int_equal(layout.image, 500000);
                        assert_true(layout.sandbox > layout.image);
                        assert_true((uint64_t) layout.sandbox + layout.count <= (uint64_t) range.start + range.count);
                }
                assert_int_equal(idmap_layout(&range, n, 1, &layout), -ERANGE);
        }
}

static void test_map_text(void **state) {
        IdLayout layout = { .image = 100000, .own = 991, .sandbox = 165536, .count = 16384 };
        char buf[ID_MAP_TEXT_MAX];

        (void) state;
        assert_string_equal(idmap_text(&layout, buf), "0 100000 1\n1 991 1\n65536 165536 16384\n");
        layout = (IdLayout){ UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX };
        assert_true(strlen(idmap_text(&layout, buf)) < ID_MAP_TEXT_MAX);
}

/* --- slices of workers --- */

static uint32_t assign(const char *name, uint32_t n) {
        uint32_t slice = 99;

        assert_int_equal(idmap_slice_assign(file, name, n, &slice), 0);
        return slice;
}

static void test_each_worker_has_its_slice(void **state) {
        (void) state;
        assert_int_equal(assign("worker1", 3), 0);
        assert_int_equal(assign("worker2", 3), 1);
        assert_int_equal(assign("worker1", 3), 0);
        assert_int_equal(assign("worker3", 3), 2);
        assert_int_equal(assign("worker2", 3), 1);
}

static void test_no_slice_left(void **state) {
        uint32_t slice = 99;

        (void) state;
        (void) assign("worker1", 2);
        (void) assign("worker2", 2);
        assert_int_equal(idmap_slice_assign(file, "worker3", 2, &slice), -EUSERS);
        assert_int_equal(slice, 99);
        assert_int_equal(assign("worker1", 2), 0);
        assert_int_equal(idmap_slice_assign(file, "worker4", 0, &slice), -EUSERS);
}

static void test_names_that_begin_alike(void **state) {
        (void) state;
        assert_int_equal(assign("w", 4), 0);
        assert_int_equal(assign("w1", 4), 1);
        assert_int_equal(assign("w12", 4), 2);
        assert_int_equal(assign("w1", 4), 1);
}

static void test_lines_of_others_are_respected(void **state) {
        (void) state;
        write_file("old 0\nnonsense\nfar 70\nother 2\n\n");
        assert_int_equal(assign("new", 4), 1);
        assert_int_equal(assign("other", 4), 2);
        assert_int_equal(assign("newer", 4), 3);
}

static void test_longest_name(void **state) {
        static const char name[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

        (void) state;
        assert_int_equal(strlen(name), 64);
        assert_int_equal(assign(name, 4), 0);
        assert_int_equal(assign(name, 4), 0);
        assert_int_equal(assign("b", 4), 1);
}

static void test_a_link_is_not_followed(void **state) {
        uint32_t slice;

        (void) state;
        assert_int_equal(symlink("/etc/hostname", file), 0);
        assert_int_equal(idmap_slice_assign(file, "worker1", 4, &slice), -ELOOP);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(test_range_of_a_name, drop_file),
                cmocka_unit_test_teardown(test_range_of_an_id, drop_file),
                cmocka_unit_test_teardown(test_lines_that_are_none, drop_file),
                cmocka_unit_test_teardown(test_small_ranges_are_passed_over, drop_file),
                cmocka_unit_test_teardown(test_ranges_beyond_all_ids, drop_file),
                cmocka_unit_test(test_no_file),
                cmocka_unit_test(test_full_range),
                cmocka_unit_test(test_every_size_stays_within_its_range),
                cmocka_unit_test(test_map_text),
                cmocka_unit_test_teardown(test_each_worker_has_its_slice, drop_file),
                cmocka_unit_test_teardown(test_no_slice_left, drop_file),
                cmocka_unit_test_teardown(test_names_that_begin_alike, drop_file),
                cmocka_unit_test_teardown(test_lines_of_others_are_respected, drop_file),
                cmocka_unit_test_teardown(test_longest_name, drop_file),
                cmocka_unit_test_teardown(test_a_link_is_not_followed, drop_file),
        };
        return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
