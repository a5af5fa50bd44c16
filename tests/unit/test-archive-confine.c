/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "archive/tool.h"
#include "child.h"

/* What the process that reads archives of clients may still ask of the kernel: a child is confined, and says what it
 * heard. */

#define NO_CONFINEMENT 254

static void enter(void) {
        if (confine(UINT64_MAX) < 0)
                syscall(SYS_exit_group, NO_CONFINEMENT);
}

#define ANSWER(...) EXIT_OF_CHILD(enter(); syscall(SYS_exit_group, syscall(__VA_ARGS__) < 0 ? errno : 0))

#define MEMORY(protection)                                                                                             \
        ANSWER(SYS_mmap, NULL, 4096L, (long) (protection), (long) (MAP_PRIVATE | MAP_ANONYMOUS), -1L, 0L)

static void memory_is_there(void **state) {
        (void) state;
        assert_int_not_equal(MEMORY(PROT_READ | PROT_WRITE), EPERM); /* a sanitizer has more than the limit already */
        assert_int_equal(ANSWER(SYS_write, 2L, "", 0L), 0);
}

static void nothing_is_executed(void **state) {
        (void) state;
        assert_int_equal(MEMORY(PROT_READ | PROT_EXEC), EPERM);
        assert_int_equal(MEMORY(PROT_READ | PROT_WRITE | PROT_EXEC), EPERM);
        assert_int_equal(ANSWER(SYS_mprotect, NULL, 4096L, (long) PROT_EXEC), EPERM);
        assert_int_equal(ANSWER(SYS_execve, "/bin/true", NULL, NULL), EPERM);
        assert_int_equal(ANSWER(SYS_clone, (long) SIGCHLD, NULL, NULL, NULL, 0L), EPERM);
}

static void nothing_is_reached(void **state) {
        (void) state;
        assert_int_equal(ANSWER(SYS_openat, (long) AT_FDCWD, "/dev/null", (long) O_RDONLY), EPERM);
        assert_int_equal(ANSWER(SYS_socket, (long) AF_UNIX, (long) SOCK_STREAM, 0L), EPERM);
        assert_int_equal(ANSWER(SYS_kill, 1L, 0L), EPERM);
        assert_int_equal(ANSWER(SYS_fcntl, 0L, F_SETOWN, 1L), EPERM);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(memory_is_there),
                cmocka_unit_test(nothing_is_executed),
                cmocka_unit_test(nothing_is_reached),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
