/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "session/images.h"

typedef struct Fixture {
        sd_event *event;
        Images *images;
        char path[64];
        int fd;
        unsigned n_changes;
} Fixture;

static void on_changed(Images *images, void *userdata) {
        Fixture *f = userdata;

        assert_ptr_equal(images, f->images);
        f->n_changes++;
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);

        (void) strcpy(f->path, "/tmp/test-images-XXXXXX");
        if (!mkdtemp(f->path) || sd_event_new(&f->event) < 0)
                return -1;
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = f;
        return images_new(f->event, f->path, on_changed, f, &f->images);
}

static int teardown(void **state) {
        Fixture *f = *state;
        char command[128];

        f->images = images_free(f->images);
        f->event = sd_event_unref(f->event);
        (void) fd_close(f->fd);
        (void) snprintf(command, sizeof command, "rm -rf %s", f->path);
        int status = system(command);
        free(f);
        return status;
}

/* Makes the image @name, which says @config. */
static void put(Fixture *f, const char *name, unsigned number, const char *config) {
        char folder[64], path[128];

        (void) snprintf(folder, sizeof folder, "%s-%u", name, number);
        assert_int_equal(mkdirat(f->fd, folder, 0755), 0);
        if (config) {
                (void) snprintf(path, sizeof path, "%s/%s", folder, config[0] == '{' ? "config.json" : "manifest");
                int fd = openat(f->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
                assert_true(write(fd, config, strlen(config)) == (ssize_t) strlen(config));
                (void) close(fd);
        }
        assert_int_equal(symlinkat(folder, f->fd, ".link"), 0);
        assert_int_equal(renameat(f->fd, ".link", f->fd, name), 0);
}

static void run(Fixture *f) {
        while (sd_event_run(f->event, 0) > 0)
                ;
}

static const char *resolve(Fixture *f, const char *name, ImageConfig **ret) {
        static char folder[IMAGE_NAME_MAX];
        _cleanup_error_ Error error = { 0 };

        *ret = NULL;
        if (images_resolve(f->images, name, folder, ret, &error) == 0)
                return folder;
        assert_string_equal(error.field, "image");
        return "";
}

static void names_lead_to_the_newest_folder(void **state) {
        Fixture *f = *state;
        ImageConfig *c;

        put(f, "base", 1, NULL);
        put(f, "acme_2ftools_3alatest", 3, "{\"cwd\":\"/srv\"}");
        assert_string_equal(resolve(f, "base", &c), "base-1");
        assert_null(c);
        assert_string_equal(resolve(f, "acme/tools", &c), "acme_2ftools_3alatest-3");
        assert_string_equal(c->cwd, "/srv");
        assert_string_equal(resolve(f, "docker.io/acme/tools:latest", &c), "acme_2ftools_3alatest-3");
}

static void nothing_else_is_found(void **state) {
        static const char *const bad[] = { "", ".", "..", "../x", "/etc", "base/", "none", "a b", ".link", "base:1",
                "away", "up" };
        Fixture *f = *state;
        ImageConfig *c;

        put(f, "base", 1, NULL);
        assert_int_equal(symlinkat("/etc", f->fd, "away"), 0);
        assert_int_equal(symlinkat("..", f->fd, "up"), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_string_equal(resolve(f, bad[i], &c), "");
}

static void a_change_is_told_once_and_holds(void **state) {
        Fixture *f = *state;
        ImageConfig *c;

        put(f, "a_3a1", 1, "{\"cwd\":\"/one\"}");
        assert_string_equal(resolve(f, "a:1", &c), "a_3a1-1");
        run(f);
        assert_int_equal(f->n_changes, 1);
        put(f, "a_3a1", 2, "{\"cwd\":\"/two\"}");
        assert_string_equal(resolve(f, "a:1", &c), "a_3a1-2");
        assert_string_equal(c->cwd, "/two");
        run(f);
        assert_int_equal(f->n_changes, 2);
        /* one in the making is nobody's business */
        assert_int_equal(mkdirat(f->fd, ".import.abcdef", 0700), 0);
        run(f);
        assert_int_equal(f->n_changes, 2);
        assert_int_equal(unlinkat(f->fd, "a_3a1", 0), 0);
        run(f);
        assert_int_equal(f->n_changes, 3);
        assert_string_equal(resolve(f, "a:1", &c), "");
}

/* What was found last is not looked up again while nothing happens there. */
static void asked_again_it_is_found_as_it_is_now(void **state) {
        Fixture *f = *state;
        ImageConfig *c;

        put(f, "a_3a1", 1, "{\"cwd\":\"/one\"}");
        put(f, "b_3a1", 1, NULL);
        run(f);
        for (unsigned number = 1; number <= 3; number++) {
                char folder[16], cwd[16];
                (void) snprintf(folder, sizeof folder, "a_3a1-%u", number);
                (void) snprintf(cwd, sizeof cwd, "/%s", number == 1 ? "one" : "more");
                for (int i = 0; i < 3; i++) {
                        assert_string_equal(resolve(f, "a:1", &c), folder);
                        assert_string_equal(c->cwd, cwd);
                        if (i == 0)
                                run(f);
                }
                assert_string_equal(resolve(f, "b:1", &c), "b_3a1-1");
                assert_null(c);
                assert_string_equal(resolve(f, "a:1", &c), folder);
                if (number < 3)
                        put(f, "a_3a1", number + 1, "{\"cwd\":\"/more\"}");
        }
        assert_int_equal(unlinkat(f->fd, "a_3a1", 0), 0);
        assert_string_equal(resolve(f, "a:1", &c), "");
        run(f);
        assert_string_equal(resolve(f, "a:1", &c), "");
        assert_string_equal(resolve(f, "", &c), "");
}

static void a_folder_that_comes_later_is_found(void **state) {
        Fixture *f = *state;
        char other[80];
        ImageConfig *c;

        put(f, "base", 1, NULL);
        assert_string_equal(resolve(f, "base", &c), "base-1");
        (void) snprintf(other, sizeof other, "%s.away", f->path);
        assert_int_equal(rename(f->path, other), 0);
        assert_int_equal(mkdir(f->path, 0755), 0);
        (void) fd_close(f->fd);
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        put(f, "other", 1, NULL);
        assert_string_equal(resolve(f, "other", &c), "other-1");
        (void) snprintf(other, sizeof other, "rm -rf %s.away", f->path);
        assert_int_equal(system(other), 0);
}

static void a_bad_config_is_none(void **state) {
        Fixture *f = *state;
        ImageConfig *c;

        put(f, "a_3a1", 1, "{\"cwd\":7}");
        assert_string_equal(resolve(f, "a:1", &c), "a_3a1-1");
        assert_null(c);
}

static void the_list_tells_what_is_known(void **state) {
        Fixture *f = *state;

        put(f, "base", 1, "name: base\ncreated: 2026-01-01T00:00:00Z\nfiles: 12\nbytes: 345\n");
        put(f, "a_3a1", 1, "{\"digest\":\"sha256:1\",\"size\":5,\"n_files\":2,\"env\":{\"A\":\"b\"}}");
        put(f, "snapshot_3a1", 1, NULL);
        assert_int_equal(mkdirat(f->fd, "no-link", 0755), 0);
        _cleanup_json_ json_t
                *j = images_describe(f->images),
                *wanted = json_loads(
                        "{\"images\":[{\"name\":\"a:1\",\"digest\":\"sha256:1\",\"size\":5,\"files\":2,\"env\":{\"A\":"
                        "\"b\"}},"
                        "{\"name\":\"base\",\"created\":\"2026-01-01T00:00:00Z\",\"files\":12,\"size\":345}]}",
                        0, NULL);
        assert_true(json_equal(j, wanted));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(names_lead_to_the_newest_folder),
                TEST(nothing_else_is_found),
                TEST(a_change_is_told_once_and_holds),
                TEST(asked_again_it_is_found_as_it_is_now),
                TEST(a_folder_that_comes_later_is_found),
                TEST(a_bad_config_is_none),
                TEST(the_list_tells_what_is_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
