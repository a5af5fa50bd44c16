/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/path.h"
#include "archive/tool.h"
#include "spec/file.h"

/* Archives that clients send: what becomes of them has to be records as they may go into a sandbox, whatever they were.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char out[1024 * 1024]; /* what is put out and has not been looked at */
static size_t out_used;
static uint64_t contents, n_bytes;
static bool ended;

static void check(bool condition) {
        if (!condition)
                abort();
}

int refuse(const char *format, ...) {
        check(*format);
        return ARCHIVE_REFUSED;
}

/* Takes records, and the contents that follow them, out of the output. */
static void look(void) {
        size_t at = 0;

        while (at < out_used) {
                if (contents > 0) {
                        size_t n = MIN(contents, (uint64_t) (out_used - at));
                        contents -= n;
                        at += n;
                        continue;
                }
                check(!ended);
                ssize_t n = file_record_check(out + at, out_used - at);
                check(n >= 0);
                if (n == 0)
                        break;
                FileRecord r;
                memcpy(&r, out + at, sizeof r);
                ended = r.type == FILE_RECORD_END;
                check(ended || r.type == FILE_RECORD_NODE);
                if (!ended) {
                        check(r.name_length > 0 && !(r.mode & 07000));
                        check(S_ISREG(r.mode) || S_ISDIR(r.mode) || S_ISLNK(r.mode));
                        if (S_ISREG(r.mode))
                                contents = (r.length + 7) & ~UINT64_C(7);
                }
                at += (size_t) n;
        }
        memmove(out, out + at, out_used - at);
        out_used -= at;
}

int write_all(const void *bytes, size_t size) {
        n_bytes += size;
        if (n_bytes > 64 * MIB)
                return -EPIPE; /* zeros of a file with holes go on and on */
        while (size > 0) {
                size_t n = MIN(size, sizeof out - out_used);
                memcpy(out + out_used, bytes, n);
                out_used += n;
                bytes = (const char *) bytes + n;
                size -= n;
                look();
        }
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static int input = -1;
        char path[FILE_PATH_MAX];

        if (input < 0) {
                input = memfd_create("archive", 0);
                check(input >= 0 && dup2(input, STDIN_FILENO) == STDIN_FILENO);
        }
        check(ftruncate(input, 0) == 0 && pwrite(input, data, size, 0) == (ssize_t) size);
        check(lseek(input, 0, SEEK_SET) == 0);
        out_used = contents = n_bytes = 0;
        ended = false;
        int status = unpack_run();
        if (status == 0)
                check(ended && contents == 0 && out_used == 0);

        _cleanup_free_ char *text = strndup((const char *) data, size);
        if (entry_path(text, path) == 0)
                check(path[0] != '/' && !strstr(path, "//") && strncmp(path, "../", 3) != 0 && !strstr(path, "/../"));

        /* what comes out of a sandbox has the same form */
        _cleanup_free_ char *aligned = malloc(size + 1);
        memcpy(aligned, data, size);
        ssize_t n = file_record_check(aligned, size);
        check(n < 0 || (size_t) n <= size);
        return 0;
}
