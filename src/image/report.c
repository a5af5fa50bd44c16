/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int report(int error, const char *format, ...) {
        char text[1024];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        /* names come from archives: none of them speaks to the terminal */
        for (char *p = text; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        *p = '?';
        (void) fprintf(stderr, "%s: %s\n", program_invocation_short_name, text);
        return -abs(error);
}

int report_write(int error, const char *path) {
        error = abs(error);

        switch (error) {
        case ENOSPC:
        case EDQUOT:
                return report(error,
                        "%s: %s: free some space (an image takes 100 to 400 MiB), or give another folder "
                        "with --images",
                        path, strerror(error));
        case EACCES:
        case EPERM:
        case EROFS:
                return report(error, "%s: %s: run as its owner, or give a writable folder with --images", path,
                        strerror(error));
        default:
                return report(error, "%s: %s", path, strerror(error));
        }
}

int report_memory(void) {
        return report(ENOMEM, "out of memory");
}
