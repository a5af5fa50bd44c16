/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/generation.h"
#include "image/manifest.h"
#include "image/tree.h"
#include "image/usage.h"

static char *folder;
static int folder_fd = -EBADF;

static int folder_make(_unused_ void **state) {
        folder = strdup("/tmp/test-generation-XXXXXX");
        if (!mkdtemp(folder))
                return -1;
        folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return folder_fd < 0 ? -1 : 0;
}

static int folder_drop(_unused_ void **state) {
        int r = tree_remove(AT_FDCWD, folder);

        folder_fd = fd_close(folder_fd);
        free(folder);
        return r;
}

static bool is_there(const char *name) {
        struct stat st;

        return fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void make_one(void) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };

        assert_int_equal(generations_open(folder, "base", false, &g), 0);
        assert_int_equal(generations_begin(&g), 0);
        assert_int_equal(mkdirat(g.work_fd, "rootfs", 0755), 0);
        assert_int_equal(generation_write(g.work_fd, MANIFEST_NAME, "name: base\n"), 0);
        assert_int_equal(generations_publish(&g), 0);
}

static void names(_unused_ void **state) {
        static const char *const good[] = { "base", "a", "42", "python-3a", "x86-64b", "base2" };
        static const char *const bad[] = { "", "base-1", "a-b-22", "-a", "Base", "a/b", "..", ".a", "a b",
                "0123456789012345678901234567890123456789012345678901234567890123x" };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_true(generation_name_is_valid(good[i]));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_false(generation_name_is_valid(bad[i]));
}

static void the_link_points_to_the_last_one(_unused_ void **state) {
        char target[32] = "";

        make_one();
        assert_int_equal(readlinkat(folder_fd, "base", target, sizeof target - 1), 6);
        assert_string_equal(target, "base-1");
        make_one();
        assert_int_equal(readlinkat(folder_fd, "base", target, sizeof target - 1), 6);
        assert_string_equal(target, "base-2");
        assert_true(is_there("base/rootfs"));
}

static void the_one_before_is_kept_and_older_ones_go(_unused_ void **state) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };

        make_one();
        make_one();
        make_one();
        assert_true(is_there("base-1")); /* it may be in use until the next run */
        assert_int_equal(mkdirat(folder_fd, "base-x", 0755), 0);
        assert_int_equal(mkdirat(folder_fd, "base-01", 0755), 0);
        assert_int_equal(mkdirat(folder_fd, "other-1", 0755), 0);
        assert_int_equal(generations_open(folder, "base", false, &g), 0);
        assert_int_equal(g.current, 3);
        assert_false(is_there("base-1"));
        assert_true(is_there("base-2"));
        assert_true(is_there("base-3"));
        assert_true(is_there("base-x"));
        assert_true(is_there("base-01"));
        assert_true(is_there("other-1"));
}

static void an_unfinished_one_leaves_nothing(_unused_ void **state) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };

        assert_int_equal(generations_open(folder, "base", false, &g), 0);
        assert_int_equal(generations_begin(&g), 0);
        assert_int_equal(mkdirat(g.work_fd, "rootfs", 0755), 0);
        char work[64];
        (void) snprintf(work, sizeof work, "%s", g.work);
        assert_true(is_there(work));
        generations_done(&g);
        assert_false(is_there(work));
        assert_false(is_there("base"));
}

static void what_a_killed_run_left_is_removed(_unused_ void **state) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };

        assert_int_equal(mkdirat(folder_fd, ".base.Ab3dE9", 0700), 0);
        assert_int_equal(mkdirat(folder_fd, ".base.Ab3dE9/rootfs", 0700), 0);
        assert_int_equal(symlinkat("base-9", folder_fd, ".base.000000"), 0);
        assert_int_equal(mkdirat(folder_fd, ".base.backup", 0700), 0);
        assert_int_equal(mkdirat(folder_fd, ".base.backups", 0700), 0);
        assert_int_equal(generations_open(folder, "base", false, &g), 0);
        assert_false(is_there(".base.Ab3dE9"));
        assert_false(is_there(".base.000000"));
        assert_true(is_there(".base.backups"));
}

static void an_image_of_an_administrator_is_known(_unused_ void **state) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };

        assert_int_equal(mkdirat(folder_fd, "base", 0755), 0);
        assert_int_equal(generations_open(folder, "base", false, &g), 1);
        generations_done(&g);
        assert_int_equal(unlinkat(folder_fd, "base", AT_REMOVEDIR), 0);
        assert_int_equal(symlinkat("my-image", folder_fd, "base"), 0);
        assert_int_equal(generations_open(folder, "base", false, &g), 1);
        generations_done(&g);
        assert_int_equal(generations_open(folder, "other", false, &g), 0);
}

static void a_missing_root_is_no_image(_unused_ void **state) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };
        char *text = NULL;

        assert_int_equal(generations_open(folder, "base", false, &g), 0);
        assert_int_equal(generations_read_manifest(&g, &text), -ENOENT);
        generations_done(&g);

        make_one();
        assert_int_equal(generations_open(folder, "base", false, &g), 0);
        assert_int_equal(generations_read_manifest(&g, &text), 0);
        assert_string_equal(text, "name: base\n");
        free(text);
        assert_int_equal(unlinkat(folder_fd, "base-1/rootfs", AT_REMOVEDIR), 0);
        assert_int_equal(generations_read_manifest(&g, &text), -ENOENT);
}

static void a_lost_target_does_not_reuse_its_number(_unused_ void **state) {
        assert_int_equal(symlinkat("base-7", folder_fd, "base"), 0);
        make_one();
        assert_true(is_there("base-8/rootfs"));
}

static void the_folder_is_locked(_unused_ void **state) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };

        assert_int_equal(generations_open(folder, "base", false, &g), 0);
        assert_int_equal(flock(folder_fd, LOCK_EX | LOCK_NB), -1);
        assert_int_equal(errno, EWOULDBLOCK);
        generations_done(&g);
        assert_int_equal(flock(folder_fd, LOCK_EX | LOCK_NB), 0);
}

#define WITH_FOLDER(f) cmocka_unit_test_setup_teardown(f, folder_make, folder_drop)

static void removal(_unused_ void **state) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };
        bool in_use = true;

        /* a name that no sandbox has: all of this machine are looked at */
        assert_int_equal(mkdirat(folder_fd, "test-of-removal-1", 0700), 0);
        assert_int_equal(mkdirat(folder_fd, "test-of-removal-2", 0700), 0);
        assert_int_equal(symlinkat("test-of-removal-2", folder_fd, "test-of-removal"), 0);
        assert_int_equal(generations_open(folder, "test-of-removal", true, &g), 0);
        assert_int_equal(generations_remove(&g, &in_use), 0);
        assert_false(is_there("test-of-removal"));
        if (!in_use) { /* /proc may be hidden */
                assert_false(is_there(".gone-test-of-removal-1"));
                assert_false(is_there(".gone-test-of-removal-2"));
        }
}

static void numbers_are_not_given_again(_unused_ void **state) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };

        assert_int_equal(mkdirat(folder_fd, ".gone-base-7", 0700), 0);
        assert_int_equal(generations_open(folder, "base", false, &g), 0);
        assert_int_equal(g.newest, 7);
}

static void one_in_the_making_is_left_alone(_unused_ void **state) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };
        _cleanup_(generations_done) Generations h = { .fd = -EBADF, .work_fd = -EBADF };

        assert_int_equal(generations_open(folder, "base", false, &g), 0);
        assert_int_equal(generations_begin(&g), 0);
        generations_unlock(&g);
        assert_int_equal(generations_open(folder, "base", false, &h), 0);
        assert_true(is_there(g.work));
        generations_take_over(&h, &g);
        assert_null(g.work);
        assert_int_equal(mkdirat(h.work_fd, "rootfs", 0755), 0);
        assert_int_equal(generations_publish(&h), 0);
        assert_true(is_there("base-1"));
}

static void use(_unused_ void **state) {
        static const char text[] = "36 35 0:32 / / ro,nosuid shared:1 - overlay root ro,lowerdir=/skeleton:/images/a_3a1-2/rootfs\n"
                                   "37 36 0:5 / /proc rw - proc proc rw\n";

        assert_true(usage_in_text(text, "a_3a1-2"));
        assert_false(usage_in_text(text, "a_3a1-1"));
        assert_false(usage_in_text(text, "a_3a1-22"));
        assert_false(usage_in_text(text, "_3a1-2"));
        assert_false(usage_in_text("", "a_3a1-2"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names),
                WITH_FOLDER(the_link_points_to_the_last_one),
                WITH_FOLDER(the_one_before_is_kept_and_older_ones_go),
                WITH_FOLDER(an_unfinished_one_leaves_nothing),
                WITH_FOLDER(what_a_killed_run_left_is_removed),
                WITH_FOLDER(an_image_of_an_administrator_is_known),
                WITH_FOLDER(a_missing_root_is_no_image),
                WITH_FOLDER(a_lost_target_does_not_reuse_its_number),
                WITH_FOLDER(the_folder_is_locked),
                WITH_FOLDER(removal),
                WITH_FOLDER(numbers_are_not_given_again),
                WITH_FOLDER(one_in_the_making_is_left_alone),
                cmocka_unit_test(use),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
