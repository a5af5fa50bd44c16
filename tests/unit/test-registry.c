/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "session/registry.h"
#include "unit.h"

/* Two files: on the disk, and in memory. */
typedef struct Fixture {
        char folder[32], disk[64], memory[64];
        char id[UUID_TEXT_MAX];
        Registry *registry;
} Fixture;

static void open_it(Fixture *f) {
        f->registry = registry_free(f->registry);
        assert_int_equal(registry_open_memory(f->disk, f->memory, &f->registry), 0);
}

static void save(const Fixture *f) {
        _cleanup_fd_ int fd = open(f->disk, O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(registry_save(f->registry, fd), 0);
}

static unsigned state_of(const Fixture *f) {
        const RegistryEntry *e = registry_find(f->registry, f->id);

        return e ? e->state : 0;
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);

        (void) strcpy(f->folder, "/tmp/registry.XXXXXX");
        if (!mkdtemp(f->folder))
                return -1;
        (void) snprintf(f->disk, sizeof f->disk, "%s/disk", f->folder);
        (void) snprintf(f->memory, sizeof f->memory, "%s/memory", f->folder);
        uuid_make(f->id);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        f->registry = registry_free(f->registry);
        (void) unlink(f->disk);
        (void) unlink(f->memory);
        (void) rmdir(f->folder);
        free(f);
        return 0;
}

static void test_next_worker_finds_it_in_memory(void **state) {
        Fixture *f = *state;

        open_it(f);
        (void) registry_add(f->registry, f->id, "somebody");
        open_it(f); /* nothing was saved */
        assert_int_equal(state_of(f), REGISTRY_ALIVE);
}

static void test_next_machine_finds_what_was_saved(void **state) {
        Fixture *f = *state;

        open_it(f);
        RegistryEntry *e = registry_add(f->registry, f->id, NULL);
        save(f);
        registry_end(e, f->id, 3);
        assert_int_equal(unlink(f->memory), 0);
        open_it(f);
        assert_int_equal(state_of(f), REGISTRY_ALIVE);

        registry_end(registry_find(f->registry, f->id), f->id, 3);
        save(f);
        assert_int_equal(unlink(f->memory), 0);
        open_it(f);
        assert_int_equal(state_of(f), REGISTRY_ENDED + 3);
}

static void test_only_changes_are_written(void **state) {
        Fixture *f = *state;
        static const struct timespec long_ago[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
        struct stat st;

        open_it(f);
        save(f);
        assert_int_equal(utimensat(AT_FDCWD, f->disk, long_ago, 0), 0);
        save(f);
        assert_int_equal(stat(f->disk, &st), 0);
        assert_int_equal(st.st_mtim.tv_sec, 1000);

        (void) registry_add(f->registry, f->id, NULL);
        save(f);
        assert_int_equal(stat(f->disk, &st), 0);
        assert_true(st.st_mtim.tv_sec > 1000);
}

static void test_a_damaged_memory_is_that_of_the_disk(void **state) {
        Fixture *f = *state;

        open_it(f);
        (void) registry_add(f->registry, f->id, NULL);
        save(f);
        f->registry = registry_free(f->registry);
        assert_int_equal(truncate(f->memory, 100), 0);
        open_it(f);
        assert_int_equal(state_of(f), REGISTRY_ALIVE);
        f->registry = registry_free(f->registry);

        int fd = open(f->memory, O_WRONLY | O_CLOEXEC);
        assert_int_equal(write(fd, "garbage", 7), 7);
        fd = fd_close(fd);
        open_it(f);
        assert_int_equal(state_of(f), REGISTRY_ALIVE);
}

static void test_one_at_a_time(void **state) {
        Fixture *f = *state;
        Registry *other = NULL;

        open_it(f);
        assert_int_equal(registry_open_memory(f->disk, f->memory, &other), -EBUSY);
        assert_int_equal(registry_open(f->disk, &other), -EBUSY);
}

static void test_a_full_disk_is_told(void **state) {
        Fixture *f = *state;
        _cleanup_fd_ int full = open("/dev/full", O_RDWR | O_CLOEXEC);

        open_it(f);
        (void) registry_add(f->registry, f->id, NULL);
        assert_true(full >= 0);
        assert_int_equal(registry_save(f->registry, full), -ENOSPC);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_next_worker_finds_it_in_memory, setup, teardown),
                cmocka_unit_test_setup_teardown(test_next_machine_finds_what_was_saved, setup, teardown),
                cmocka_unit_test_setup_teardown(test_only_changes_are_written, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_damaged_memory_is_that_of_the_disk, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_at_a_time, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_full_disk_is_told, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
