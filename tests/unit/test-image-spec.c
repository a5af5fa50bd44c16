/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "spec/image.h"
#include "unit.h"

static void assert_folder(const char *reference, const char *wanted) {
        char folder[IMAGE_FOLDER_MAX], back[IMAGE_REFERENCE_MAX + 1], again[IMAGE_FOLDER_MAX];

        assert_int_equal(image_folder(reference, folder), 0);
        assert_string_equal(folder, wanted);
        /* the way back gives a name of the same folder */
        assert_int_equal(image_reference(folder, back), 0);
        assert_int_equal(image_folder(back, again), 0);
        assert_string_equal(again, wanted);
}

static void test_a_reference_has_one_folder(void **state) {
        (void) state;
        assert_folder("python", "python_3alatest");
        assert_folder("python:latest", "python_3alatest");
        assert_folder("docker.io/library/python", "python_3alatest");
        assert_folder("localhost/python", "python_3alatest");
        assert_folder("docker.io/acme/tools:1.2", "acme_2ftools_3a1.2");
        assert_folder("ghcr.io/acme/tools:1.2-3", "ghcr.io_2facme_2ftools_3a1.2_2d3");
        assert_folder("host:5000/a", "host_3a5000_2fa_3alatest");
        assert_folder("a_b:C", "a_5fb_3a_43");
}

static void test_nothing_that_leads_elsewhere_is_a_reference(void **state) {
        static const char *const bad[] = { "", "/", "a/", "/a", "a//b", "..", "a/../b", ".a", "-a", "a:", "a@", "a b", "a\n",
                "a\x7f", "\xc3\xa4", "a/.hidden", "a:-x" };
        char folder[IMAGE_FOLDER_MAX], longer[IMAGE_REFERENCE_MAX + 2];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(image_folder(bad[i], folder), -EINVAL);
        memset(longer, 'a', sizeof longer - 1);
        longer[sizeof longer - 1] = '\0';
        assert_int_equal(image_folder(longer, folder), -EINVAL);
        longer[IMAGE_REFERENCE_MAX] = '\0';
        assert_int_equal(image_folder(longer, folder), -ENAMETOOLONG);
}

static void test_other_folders_have_no_reference(void **state) {
        static const char *const bad[] = { "", "base", "python_3alatest-1", "_", "_3", "_zz", "a_61_3alatest",
                "localhost_2fa_3alatest", "a_00_3alatest" };
        char reference[IMAGE_REFERENCE_MAX + 1];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(image_reference(bad[i], reference), -EINVAL);
}

static int read_config(const char *text, ImageConfig **ret) {
        _cleanup_error_ Error error = { 0 };

        return image_config_read(text, strlen(text), ret, &error);
}

static void test_config_is_read(void **state) {
        _cleanup_(image_config_unrefp) ImageConfig *c = NULL;

        (void) state;
        assert_int_equal(read_config("{\"env\":{\"PATH\":\"/opt/bin\"},\"cwd\":\"/srv\",\"digest\":\"sha256:1\","
                                     "\"architecture\":\"amd64\",\"created\":\"2026\",\"imported\":\"2026\","
                                     "\"size\":12,\"n_files\":3}",
                                 &c),
                0);
        assert_string_equal(json_string_value(json_object_get(c->env, "PATH")), "/opt/bin");
        assert_string_equal(c->cwd, "/srv");
        assert_int_equal(c->size, 12);
        assert_int_equal(c->n_files, 3);
}

static void test_config_is_checked(void **state) {
        static const char *const bad[] = { "", "[]", "{\"env\":[]}", "{\"env\":{\"A=\":\"\"}}", "{\"cwd\":\"srv\"}",
                "{\"cwd\":1}", "{\"other\":1}", "{\"size\":-1}" };

        (void) state;
        for (size_t i = 1; i < ELEMENTSOF(bad); i++) {
                ImageConfig *c = NULL;
                assert_true(read_config(bad[i], &c) < 0);
                assert_null(c);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_reference_has_one_folder),
                cmocka_unit_test(test_nothing_that_leads_elsewhere_is_a_reference),
                cmocka_unit_test(test_other_folders_have_no_reference),
                cmocka_unit_test(test_config_is_read),
                cmocka_unit_test(test_config_is_checked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
