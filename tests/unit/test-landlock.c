/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "child.h"
#include "init/landlock.h"

/* The second wall alone: no namespace, no filter, no read-only mount is in the way of what is tried here. */

static char top[] = "/tmp/test-landlock-XXXXXX";
static char inside[64], writable[64], files[64], outside[64];

/* What a process behind the wall hears: an errno, 0 if it was let through. */
#define BEHIND(...) EXIT_OF_CHILD(enter(); _exit((__VA_ARGS__) ? 0 : errno))

static void enter(void) {
        const LandlockPlace places[] = {
                { inside, LANDLOCK_READS },
                { writable, LANDLOCK_WRITES | LANDLOCK_TREE },
                { files, LANDLOCK_WRITES },
        };

        int rules = landlock_rules(places, ELEMENTSOF(places));
        if (rules < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_enter(rules) < 0)
                _exit(255);
        (void) close(rules);
}

static bool can_open(int folder, const char *name, int flags) {
        return openat(folder, name, flags | O_CLOEXEC, 0600) >= 0;
}

static bool can_reopen(int fd, int flags) {
        char path[64];

        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        return fd >= 0 && can_open(AT_FDCWD, path, flags);
}

static int make(const char *name, char *ret, size_t size) {
        (void) snprintf(ret, size, "%s/%s", top, name);
        return mkdir(ret, 0777);
}

static int make_tree(void **state) {
        (void) state;
        if (landlock_version() == 0) {
                print_message("this kernel has no Landlock\n");
                exit(77);
        }
        if (!mkdtemp(top) || make("in", inside, sizeof inside) < 0 || make("in/w", writable, sizeof writable) < 0 ||
                make("in/f", files, sizeof files) < 0 || make("out", outside, sizeof outside) < 0)
                return -1;
        for (size_t i = 0; i < 4; i++) {
                const char *folders[] = { inside, writable, files, outside };
                _cleanup_fd_ int folder = open(folders[i], O_PATH | O_CLOEXEC);
                _cleanup_fd_ int fd = openat(folder, "there", O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
                if (fd < 0 || mkdirat(folder, "a", 0777) < 0 || mkdirat(folder, "b", 0777) < 0)
                        return -1;
        }
        return 0;
}

static int drop_tree(void **state) {
        char command[96];

        (void) state;
        (void) snprintf(command, sizeof command, "rm -rf '%s'", top);
        return system(command);
}

static void a_folder_that_leaked_in_opens_nothing(void **state) {
        _cleanup_fd_ int leaked = open(outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        (void) state;
        assert_true(can_open(leaked, "there", O_RDONLY));
        assert_int_equal(BEHIND(can_open(leaked, "there", O_RDONLY)), EACCES);
        assert_int_equal(BEHIND(can_open(leaked, "there", O_WRONLY)), EACCES);
        assert_int_equal(BEHIND(can_open(leaked, ".", O_RDONLY | O_DIRECTORY)), EACCES);
        assert_int_equal(BEHIND(mkdirat(leaked, "new", 0700) == 0), EACCES);
        assert_int_equal(BEHIND(unlinkat(leaked, "there", 0) == 0), EACCES);
}

static void what_is_writable_by_mistake_is_not_written(void **state) {
        _cleanup_fd_ int folder = open(inside, O_PATH | O_CLOEXEC);

        (void) state;
        assert_int_equal(BEHIND(can_open(folder, "there", O_RDONLY)), 0);
        assert_int_equal(BEHIND(can_open(folder, ".", O_RDONLY | O_DIRECTORY)), 0);
        assert_int_equal(BEHIND(can_open(folder, "there", O_WRONLY)), EACCES);
        assert_int_equal(BEHIND(can_open(folder, "new", O_CREAT | O_RDONLY)), EACCES);
        assert_int_equal(BEHIND(symlinkat("x", folder, "new") == 0), EACCES);
        assert_int_equal(BEHIND(mknodat(folder, "new", S_IFIFO | 0600, 0) == 0), EACCES);
        assert_int_equal(BEHIND(unlinkat(folder, "there", 0) == 0), EACCES);
        assert_int_equal(BEHIND(unlinkat(folder, "a", AT_REMOVEDIR) == 0), EACCES);
}

static void files_of_a_place_are_written_and_none_is_made(void **state) {
        _cleanup_fd_ int folder = open(files, O_PATH | O_CLOEXEC);

        (void) state;
        assert_int_equal(BEHIND(can_open(folder, "there", O_RDWR | O_TRUNC)), 0);
        assert_int_equal(BEHIND(can_open(folder, "new", O_CREAT | O_WRONLY)), EACCES);
        assert_int_equal(BEHIND(unlinkat(folder, "there", 0) == 0), EACCES);
}

static void a_writable_place_is_as_it_was(void **state) {
        _cleanup_fd_ int folder = open(writable, O_PATH | O_CLOEXEC);

        (void) state;
        assert_int_equal(BEHIND(can_open(folder, "a/new", O_CREAT | O_EXCL | O_RDWR) &&
                                 renameat(folder, "a/new", folder, "b/new") == 0 &&
                                 linkat(folder, "b/new", folder, "a/new", 0) == 0 && unlinkat(folder, "a/new", 0) == 0 &&
                                 renameat2(folder, "a", folder, "b", RENAME_EXCHANGE) == 0 &&
                                 can_open(folder, "a/new", O_RDWR | O_TRUNC) && unlinkat(folder, "a/new", 0) == 0),
                0);
        assert_int_equal(BEHIND(symlinkat("x", folder, "l") == 0 && mknodat(folder, "p", S_IFIFO | 0600, 0) == 0 &&
                                 unlinkat(folder, "l", 0) == 0 && unlinkat(folder, "p", 0) == 0),
                0);
        assert_int_equal(BEHIND(can_open(folder, ".", O_TMPFILE | O_RDWR)), 0);
}

static void files_do_not_leave_their_place(void **state) {
        _cleanup_fd_ int from = open(writable, O_PATH | O_CLOEXEC), to = open(outside, O_PATH | O_CLOEXEC);

        (void) state;
        int r = BEHIND(renameat(from, "there", to, "stolen") == 0);
        assert_true(r == EACCES || r == EXDEV);
        r = BEHIND(linkat(to, "there", from, "stolen", 0) == 0);
        assert_true(r == EACCES || r == EXDEV);
}

static void pipes_sockets_and_memory_are_not_files_of_a_place(void **state) {
        int p[2];

        (void) state;
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        /* /proc itself lies beyond this wall, but to go through a folder needs no right */
        assert_int_equal(BEHIND(can_reopen(p[1], O_WRONLY)), 0);
        assert_int_equal(BEHIND(can_reopen(memfd_create("x", MFD_CLOEXEC), O_RDWR)), 0);
        fds_close(p, 2);
}

/* With all capabilities, in a user namespace of its own: no filter is in the way. */
static bool mounts(void) {
        return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && mount("x", "/tmp", "tmpfs", 0, NULL) == 0;
}

static void nothing_can_be_mounted(void **state) {
        (void) state;
        assert_int_equal(BEHIND(mounts()), EPERM);
}

static void it_is_for_good(void **state) {
        _cleanup_fd_ int folder = open(outside, O_PATH | O_CLOEXEC);

        (void) state;
        assert_int_equal(BEHIND((enter(), can_open(folder, "there", O_RDONLY))), EACCES);
}

static void a_place_that_is_not_there_is_an_error(void **state) {
        const LandlockPlace places[] = { { "/does/not/exist", LANDLOCK_READS } };

        (void) state;
        assert_int_equal(landlock_rules(places, 1), -ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_folder_that_leaked_in_opens_nothing),
                cmocka_unit_test(what_is_writable_by_mistake_is_not_written),
                cmocka_unit_test(files_of_a_place_are_written_and_none_is_made),
                cmocka_unit_test(a_writable_place_is_as_it_was),
                cmocka_unit_test(files_do_not_leave_their_place),
                cmocka_unit_test(pipes_sockets_and_memory_are_not_files_of_a_place),
                cmocka_unit_test(nothing_can_be_mounted),
                cmocka_unit_test(it_is_for_good),
                cmocka_unit_test(a_place_that_is_not_there_is_an_error),
        };

        return cmocka_run_group_tests(tests, make_tree, drop_tree);
}
