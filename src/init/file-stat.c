/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/file.h"

/* stat PATH follow|link */
int builtin_stat(int argc, char **argv) {
        struct stat st;

        if (argc != 3)
                return EINVAL;
        bool follow = strcmp(argv[2], "follow") == 0;
        _cleanup_fd_ int fd = file_open(AT_FDCWD, argv[1], O_PATH | (follow ? 0 : O_NOFOLLOW));
        if (fd < 0)
                return -fd;
        if (fstat(fd, &st) < 0)
                return errno;
        int r = file_send_entry(fd, "", &st, "");
        return r < 0 ? -r : -file_flush();
}
