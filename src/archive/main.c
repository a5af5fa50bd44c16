/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/tool.h"

#define REASON_MAX 400

int refuse(const char *format, ...) {
        char text[REASON_MAX];
        va_list ap;

        va_start(ap, format);
        int n = vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        if (n > 0)
                (void) !write(STDERR_FILENO, text, MIN((size_t) n, sizeof text - 1)); /* nobody to tell otherwise */
        return ARCHIVE_REFUSED;
}

int write_all(const void *bytes, size_t size) {
        const char *p = bytes;

        while (size > 0) {
                ssize_t n = write(STDOUT_FILENO, p, size);
                if (n < 0)
                        return -errno;
                p += n;
                size -= (size_t) n;
        }
        return 0;
}

int main(int argc, char *argv[]) {
        const char *what = argc > 1 ? argv[1] : "";
        bool gzip = argc == 3 && strcmp(argv[2], "gzip") == 0;
        char *end = argc == 3 ? argv[2] : NULL;
        uint64_t size_max = end && !gzip ? strtoull(argv[2], &end, 10) : UINT64_MAX;

        if ((argc != 2 && !gzip && (argc != 3 || *end)) || (strcmp(what, "pack") != 0 && strcmp(what, "unpack") != 0)) {
                (void) fputs("sandboxd-archive pack [gzip | SIZE] | unpack\n", stderr);
                return ARCHIVE_REFUSED;
        }
        (void) setlocale(LC_CTYPE, "C.UTF-8"); /* names are UTF-8, and what is not goes through as it is */
        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGXFSZ, SIG_IGN);
        int r = confine(size_max);
        if (r < 0)
                return refuse("The program for archives cannot be confined: %s.", strerror(-r));
        return strcmp(what, "pack") == 0 ? pack_run(gzip) : unpack_run();
}
