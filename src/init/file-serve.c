/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init/file.h"

#define ARGC_MAX 8

/* What does not wait for anything but the disk, and leaves nothing behind. */
static const struct {
        const char *name;
        Builtin *run;
} quick[] = {
        { "delete", builtin_delete },
        { "mkdir", builtin_mkdir },
        { "read", builtin_read },
        { "stat", builtin_stat },
        { "write", builtin_write },
};

static struct {
        FileQuestion head;
        char bytes[FILE_STRINGS_MAX + FILE_SMALL_MAX];
} question;

/* Takes the strings apart. Returns how many there are, or -EBADMSG. */
static int split(char *strings, size_t length, char **argv) {
        int argc = 0;

        if (length == 0 || strings[length - 1] != '\0')
                return -EBADMSG;
        for (char *p = strings; p < strings + length; p += strlen(p) + 1) {
                if (argc == ARGC_MAX)
                        return -EBADMSG;
                argv[argc++] = p;
        }
        argv[argc] = NULL;
        return argc;
}

static int run(size_t size) {
        char *argv[ARGC_MAX + 1];

        if (size < sizeof question.head ||
                size - sizeof question.head != (uint64_t) question.head.strings_length + question.head.data_length ||
                question.head.data_length > FILE_SMALL_MAX)
                return EBADMSG;
        int argc = split(question.bytes, question.head.strings_length, argv);
        if (argc < 0)
                return -argc;
        file_serve_input(question.bytes + question.head.strings_length, question.head.data_length);
        for (size_t i = 0; i < ELEMENTSOF(quick); i++)
                if (strcmp(quick[i].name, argv[0]) == 0)
                        return quick[i].run(argc, argv);
        return ENOSYS;
}

/* serve */
int builtin_serve(int argc, char **argv) {
        (void) argv;
        if (argc != 1)
                return EINVAL;
        for (;;) {
                ssize_t n = recv(BUILTIN_PASSED_FD, &question, sizeof question, 0);
                if (n <= 0)
                        return n < 0 ? errno : 0;
                FileAnswer head = { .error = (uint32_t) run((size_t) n) };
                struct iovec iov[2] = { { .iov_base = &head, .iov_len = sizeof head } };
                iov[1].iov_len = file_serve_output(&iov[1].iov_base);
                if (head.error != 0)
                        iov[1].iov_len = 0;
                head.length = (uint32_t) iov[1].iov_len;
                struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
                if (sendmsg(BUILTIN_PASSED_FD, &message, MSG_NOSIGNAL) < 0)
                        return errno;
        }
}
