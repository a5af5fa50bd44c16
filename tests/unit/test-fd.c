/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

typedef struct Pair {
        int a, b;
} Pair;

static int pair_make(void **state) {
        static Pair p;
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
                return -1;
        p = (Pair){ fds[0], fds[1] };
        *state = &p;
        return 0;
}

static int pair_drop(void **state) {
        Pair *p = *state;

        p->a = fd_close(p->a);
        p->b = fd_close(p->b);
        return 0;
}

static unsigned count_fds(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

/* Sends @n copies of stderr as a hostile peer might: more than message_send() would. */
static void send_raw(int sock, const char *text, size_t length, size_t n) {
        union {
                char buf[CMSG_SPACE(sizeof(int) * 64)];
                struct cmsghdr align;
        } control;
        int fds[64];
        struct iovec iov = { .iov_base = (char *) text, .iov_len = length };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        memset(&control, 0, sizeof control);
        m.msg_control = control.buf;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int) * n);
        for (size_t i = 0; i < n; i++)
                fds[i] = STDERR_FILENO;
        memcpy(CMSG_DATA(h), fds, sizeof(int) * n);
        assert_int_equal(sendmsg(sock, &m, 0), length);
}

static int send_text(int sock, const char *text, const int *fds, size_t n_fds) {
        struct iovec iov = { .iov_base = (char *) text, .iov_len = strlen(text) };

        return message_send(sock, &iov, 1, fds, n_fds);
}

static void message_carries_bytes_and_descriptors(void **state) {
        Pair *p = *state;
        int fds[MESSAGE_FDS_MAX], sent[] = { STDIN_FILENO, STDERR_FILENO };
        size_t n_fds = 99;
        char buf[16];

        assert_int_equal(send_text(p->a, "hello", sent, 2), 0);
        assert_int_equal(message_recv(p->b, buf, sizeof buf, fds, &n_fds, 0), 5);
        assert_memory_equal(buf, "hello", 5);
        assert_int_equal(n_fds, 2);
        assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fds[1], F_GETFD) & FD_CLOEXEC);
        fds_close(fds, n_fds);
        assert_int_equal(fds[0], -EBADF);
}

static void message_may_carry_the_most_descriptors(void **state) {
        Pair *p = *state;
        int fds[MESSAGE_FDS_MAX], sent[MESSAGE_FDS_MAX];
        size_t n_fds = 0;
        char buf[4];

        for (size_t i = 0; i < MESSAGE_FDS_MAX; i++)
                sent[i] = STDERR_FILENO;
        assert_int_equal(send_text(p->a, "x", sent, MESSAGE_FDS_MAX), 0);
        assert_int_equal(message_recv(p->b, buf, sizeof buf, fds, &n_fds, 0), 1);
        assert_int_equal(n_fds, MESSAGE_FDS_MAX);
        fds_close(fds, n_fds);
}

static void message_of_the_room_s_size_is_whole(void **state) {
        Pair *p = *state;
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds = 99;
        char buf[4];

        assert_int_equal(send_text(p->a, "four", NULL, 0), 0);
        assert_int_equal(message_recv(p->b, buf, sizeof buf, fds, &n_fds, 0), 4);
        assert_int_equal(n_fds, 0);
}

static void message_with_cut_bytes_is_refused_and_its_descriptors_closed(void **state) {
        Pair *p = *state;
        int fds[MESSAGE_FDS_MAX], sent[] = { STDERR_FILENO };
        size_t n_fds = 99;
        char buf[4];

        unsigned before = count_fds();
        assert_int_equal(send_text(p->a, "hello", sent, 1), 0);
        assert_int_equal(message_recv(p->b, buf, sizeof buf, fds, &n_fds, 0), -EBADMSG);
        assert_int_equal(n_fds, 99);
        assert_int_equal(count_fds(), before);
}

static void message_with_too_many_descriptors_is_refused_and_all_closed(void **state) {
        Pair *p = *state;
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds = 99;
        char buf[4];

        unsigned before = count_fds();
        for (size_t n = MESSAGE_FDS_MAX + 1; n <= 64; n += 11) {
                send_raw(p->a, "x", 1, n);
                assert_int_equal(message_recv(p->b, buf, sizeof buf, fds, &n_fds, 0), -EBADMSG);
        }
        assert_int_equal(count_fds(), before);
}

static void empty_message_does_not_leak_its_descriptors(void **state) {
        Pair *p = *state;
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds = 99;
        char buf[4];

        unsigned before = count_fds();
        send_raw(p->a, "", 0, 3);
        assert_int_equal(message_recv(p->b, buf, sizeof buf, fds, &n_fds, 0), 0);
        assert_int_equal(n_fds, 0);
        assert_int_equal(count_fds(), before);
}

static void receiving_says_nothing_yet_and_end(void **state) {
        Pair *p = *state;
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds = 99;
        char buf[4];

        assert_int_equal(message_recv(p->b, buf, sizeof buf, fds, &n_fds, 0), -EAGAIN);
        p->a = fd_close(p->a);
        assert_int_equal(message_recv(p->b, buf, sizeof buf, fds, &n_fds, 0), 0);
}

static void sending_to_nobody_is_an_error_not_a_signal(void **state) {
        Pair *p = *state;

        p->b = fd_close(p->b);
        assert_int_equal(send_text(p->a, "x", NULL, 0), -EPIPE);
}

static void close_keeps_errno(void **state) {
        (void) state;
        errno = ENOTTY;
        assert_int_equal(fd_close(1000), -EBADF);
        assert_int_equal(errno, ENOTTY);
        assert_int_equal(fd_close(-EBADF), -EBADF);
}

static void nonblock_is_set_and_cleared(void **state) {
        Pair *p = *state;

        assert_int_equal(fd_set_nonblock(p->a, false), 0);
        assert_false(fcntl(p->a, F_GETFL) & O_NONBLOCK);
        assert_int_equal(fd_set_nonblock(p->a, true), 0);
        assert_true(fcntl(p->a, F_GETFL) & O_NONBLOCK);
        assert_int_equal(fd_set_nonblock(-EBADF, true), -EBADF);
}

static void file_is_read_without_its_newline_and_within_the_room(void **state) {
        char folder[] = "/tmp/test-fd-XXXXXX", buf[8];

        (void) state;
        assert_non_null(mkdtemp(folder));
        _cleanup_fd_ int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_fd_ int fd = openat(dir, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);

        assert_int_equal(file_read(dir, "f", buf, sizeof buf), 0);
        assert_string_equal(buf, "");
        assert_int_equal(file_writef(dir, "f", "%s\n", "123456"), 0);
        assert_int_equal(file_read(dir, "f", buf, sizeof buf), 6);
        assert_string_equal(buf, "123456");
        assert_int_equal(file_write(dir, "f", "12345678"), 0);
        assert_int_equal(file_read(dir, "f", buf, sizeof buf), -EFBIG);
        assert_int_equal(file_read(dir, "none", buf, sizeof buf), -ENOENT);
        assert_int_equal(file_write(dir, "none", "x"), -ENOENT);

        assert_int_equal(unlinkat(dir, "f", 0), 0);
        assert_int_equal(rmdir(folder), 0);
}

#define WITH_PAIR(f) cmocka_unit_test_setup_teardown(f, pair_make, pair_drop)

int main(void) {
        static const struct CMUnitTest tests[] = {
                WITH_PAIR(message_carries_bytes_and_descriptors),
                WITH_PAIR(message_may_carry_the_most_descriptors),
                WITH_PAIR(message_of_the_room_s_size_is_whole),
                WITH_PAIR(message_with_cut_bytes_is_refused_and_its_descriptors_closed),
                WITH_PAIR(message_with_too_many_descriptors_is_refused_and_all_closed),
                WITH_PAIR(empty_message_does_not_leak_its_descriptors),
                WITH_PAIR(receiving_says_nothing_yet_and_end),
                WITH_PAIR(sending_to_nobody_is_an_error_not_a_signal),
                cmocka_unit_test(close_keeps_errno),
                WITH_PAIR(nonblock_is_set_and_cleared),
                cmocka_unit_test(file_is_read_without_its_newline_and_within_the_room),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
