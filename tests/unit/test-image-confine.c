/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "child.h"
#include "image/confine.h"

/* What the process that reads images may still ask of the kernel: a child is confined, and says what it heard. */

#define NO_CONFINEMENT 254

static char top[] = "/tmp/test-confine-XXXXXX";
static int top_fd = -EBADF, file = -EBADF;

static void enter(void) {
        const Owner owner = { .uid = 65534, .gid = 65534 };
        const char *what;

        if (confine_reader(&owner, top_fd, &what) < 0)
                syscall(SYS_exit_group, NO_CONFINEMENT);
}

#define ANSWER(...) EXIT_OF_CHILD(enter(); syscall(SYS_exit_group, syscall(__VA_ARGS__) < 0 ? errno : 0))

static int begin(void **state) {
        (void) state;
        if (!mkdtemp(top))
                return -1;
        top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        file = openat(top_fd, "file", O_CREAT | O_RDWR | O_CLOEXEC, 0666);
        if (top_fd < 0 || file < 0 || fchmod(top_fd, 0755) < 0)
                return -1;
        if (ANSWER(SYS_lseek, file, 0L, SEEK_SET) == NO_CONFINEMENT) {
                print_message("nobody can be confined here\n");
                exit(77);
        }
        return 0;
}

static int end(void **state) {
        (void) state;
        (void) unlinkat(top_fd, "file", 0);
        return rmdir(top);
}

static void descriptors_are_copied_and_asked(void **state) {
        (void) state;
        assert_int_equal(ANSWER(SYS_fcntl, file, F_GETFL, 0L), 0);
        assert_int_equal(ANSWER(SYS_fcntl, file, F_SETFL, 0L), 0);
        assert_int_equal(ANSWER(SYS_fcntl, file, F_GETFD, 0L), 0);
        assert_int_equal(ANSWER(SYS_fcntl, file, F_SETFD, (long) FD_CLOEXEC), 0);
        assert_int_equal(ANSWER(SYS_fcntl, file, F_DUPFD_CLOEXEC, 0L), 0);
}

static void nobody_is_sent_signals(void **state) {
        struct f_owner_ex owner = { .type = F_OWNER_PID, .pid = 1 };

        (void) state;
        assert_int_equal(ANSWER(SYS_fcntl, file, F_SETOWN, 1L), EPERM);
        assert_int_equal(ANSWER(SYS_fcntl, file, F_SETOWN_EX, &owner), EPERM);
        assert_int_equal(ANSWER(SYS_fcntl, file, F_SETSIG, (long) SIGKILL), EPERM);
        assert_int_equal(ANSWER(SYS_fcntl, top_fd, F_NOTIFY, (long) DN_CREATE), EPERM);
        assert_int_equal(ANSWER(SYS_kill, 1L, 0L), EPERM);
}

static void nobody_is_kept_from_files(void **state) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        (void) state;
        assert_int_equal(ANSWER(SYS_fcntl, file, F_SETLEASE, (long) F_RDLCK), EPERM);
        assert_int_equal(ANSWER(SYS_fcntl, file, F_SETLK, &lock), EPERM);
        assert_int_equal(ANSWER(SYS_fcntl, file, F_OFD_SETLK, &lock), EPERM);
        assert_int_equal(ANSWER(SYS_fcntl, file, F_SETPIPE_SZ, 4096L), EPERM);
        assert_int_equal(ANSWER(SYS_fcntl, file, F_ADD_SEALS, 0L), EPERM);
}

static void nothing_is_executed_or_reached(void **state) {
        (void) state;
        assert_int_equal(ANSWER(SYS_mmap, NULL, 4096L, (long) (PROT_READ | PROT_EXEC), (long) (MAP_PRIVATE | MAP_ANONYMOUS),
                                 -1L, 0L),
                EPERM);
        assert_int_equal(ANSWER(SYS_execve, "/bin/true", NULL, NULL), EPERM);
        assert_int_equal(ANSWER(SYS_socket, (long) AF_UNIX, (long) SOCK_STREAM, 0L), EPERM);
        assert_int_equal(ANSWER(SYS_openat, (long) AT_FDCWD, "/etc/passwd", (long) O_RDONLY), ENOENT); /* its root is empty */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(descriptors_are_copied_and_asked),
                cmocka_unit_test(nobody_is_sent_signals),
                cmocka_unit_test(nobody_is_kept_from_files),
                cmocka_unit_test(nothing_is_executed_or_reached),
        };

        return cmocka_run_group_tests(tests, begin, end);
}
