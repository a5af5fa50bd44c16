/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"
#include "http/range.h"
#include "spec/file.h"

/* What clients say of the part of a file or of an output that they want, and of the version that they have. The first
 * eight bytes are the size of the file. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint64_t file, start = 0, length = 0, offset;
        char tag[FILE_TAG_MAX];

        if (size < sizeof file)
                return 0;
        memcpy(&file, data, sizeof file);
        file &= INT64_MAX;
        _cleanup_free_ char *text = strndup((const char *) data + sizeof file, size - sizeof file);
        check(text);

        int k = range_parse(text, file, &start, &length);
        check(k <= 1);
        if (k == 1) /* a part of it, and not an empty one */
                check(length > 0 && start < file && length <= file - start);
        if (etag_read(text, tag, sizeof tag)) {
                check(strlen(tag) < sizeof tag);
                check(etag_list_has(text, tag, false));
        }
        (void) etag_list_has(text, "1-2-3", true);
        if (parse_unsigned(text, &offset) == 0)
                check(*text && text[strspn(text, "0123456789")] == '\0');
        return 0;
}
