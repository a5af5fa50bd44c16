/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* Gives every file of the folders named as arguments to the fuzz target once, and the empty input. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a buffer of exactly the file's size, so that a sanitizer sees a read beyond it. */
static int run_file(int folder, const char *name) {
        _cleanup_fd_ int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ uint8_t *data = NULL;
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return 0;

        size_t size = (size_t) st.st_size;
        data = malloc(size > 0 ? size : 1);
        if (!data)
                return -ENOMEM;
        if (read(fd, data, size) != st.st_size)
                return -EIO;

        (void) LLVMFuzzerTestOneInput(data, size);
        return 1;
}

static int run_folder(const char *path) {
        DIR *folder = opendir(path);
        int n = 0;

        if (!folder) {
                perror(path);
                return -1;
        }
        for (struct dirent *d; (d = readdir(folder));) {
                (void) fprintf(stderr, "%s/%s\n", path, d->d_name); /* the last line names what crashed */
                int r = run_file(dirfd(folder), d->d_name);
                if (r < 0) {
                        (void) fprintf(stderr, "cannot read it\n");
                        n = -1;
                        break;
                }
                n += r;
        }
        (void) closedir(folder);
        return n;
}

int main(int argc, char *argv[]) {
        (void) LLVMFuzzerTestOneInput((const uint8_t *) "", 0);

        for (int i = 1; i < argc; i++)
                if (run_folder(argv[i]) <= 0) {
                        (void) fprintf(stderr, "%s: no input\n", argv[i]);
                        return EXIT_FAILURE;
                }
        return EXIT_SUCCESS;
}
