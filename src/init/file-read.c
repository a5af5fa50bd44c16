/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/file.h"

#define PIECE (1024U * 1024U)
#define UNKNOWN_PIECE (64U * 1024U)

/* Pages of the file go into the pipe without being copied where the file system can do that. */
static int send_range(int fd, uint64_t start, uint64_t length) {
        loff_t at = (loff_t) start;

        while (length > 0) {
                ssize_t n = splice(fd, &at, STDOUT_FILENO, NULL, MIN(length, (uint64_t) PIECE), 0);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -FILE_ERROR_ABORTED; /* it has become shorter */
                length -= (uint64_t) n;
        }
        return 0;
}

/* Files of /proc tell no size. */
static int send_until_end(int fd, const struct stat *st, const char *first, size_t n_first) {
        static char buf[UNKNOWN_PIECE];
        ssize_t n;

        int r = file_send_node(st, FILE_SIZE_UNKNOWN, "", "");
        if (r == 0)
                r = file_flush();
        if (r == 0 && write(STDOUT_FILENO, first, n_first) != (ssize_t) n_first)
                r = -EPIPE;
        while (r == 0 && (n = read(fd, buf, sizeof buf)) != 0)
                if (n < 0 || write(STDOUT_FILENO, buf, (size_t) n) != n)
                        r = -EIO;
        return r;
}

static int send_small(int fd, const struct stat *st) {
        if ((uint64_t) st->st_size > FILE_SMALL_MAX)
                return -FILE_ERROR_LARGE;
        int r = file_send_node(st, 0, "", "");
        char *p = r == 0 ? file_reserve((size_t) st->st_size) : NULL;
        if (r < 0 || !p)
                return r < 0 ? r : -FILE_ERROR_LARGE;
        for (size_t left = (size_t) st->st_size; left > 0;) {
                ssize_t n = read(fd, p, left);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -FILE_ERROR_ABORTED;
                p += n;
                left -= (size_t) n;
        }
        return 0;
}

/* read PATH all|ask */
int builtin_read(int argc, char **argv) {
        char first[4096];
        struct stat st;

        if (argc != 3)
                return EINVAL;
        bool ask = strcmp(argv[2], "ask") == 0;
        _cleanup_fd_ int fd = file_open_regular(AT_FDCWD, argv[1], &st);
        if (fd < 0)
                return -fd;
        if (st.st_size == 0) {
                ssize_t n = read(fd, first, sizeof first);
                if (n < 0)
                        return errno;
                if (n > 0 && file_is_served(NULL, NULL))
                        return FILE_ERROR_LARGE;
                if (n > 0)
                        return -send_until_end(fd, &st, first, (size_t) n);
        }
        if (file_is_served(NULL, NULL))
                return ask ? EINVAL : -send_small(fd, &st);
        FileRange range = { .length = (uint64_t) st.st_size };
        int r = file_send_node(&st, 0, "", "");
        if (r == 0)
                r = file_flush();
        if (r == 0 && ask)
                r = file_receive(STDIN_FILENO, &range, sizeof range);
        if (r == 0)
                r = send_range(fd, range.start, range.length);
        return -r;
}
