/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"
#include "log/escape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth) {
        if (!truth)
                abort();
}

/* What is replaced is valid, and what is valid is not replaced. */
static void check_utf8(const char *bytes, size_t size) {
        size_t n;
        _cleanup_free_ char *text = utf8_replace(bytes, size, &n);

        require(text && utf8_is_valid(text, n));
        require(utf8_is_valid(bytes, size) == (n == size && memcmp(text, bytes, n) == 0));
}

/* Each value has one text. */
static void check_base64(const char *text, size_t size) {
        _cleanup_free_ void *bytes = NULL;
        size_t n;

        if (base64_decode(text, size, &bytes, &n) < 0)
                return;
        _cleanup_free_ char *again = base64_encode(bytes, n);
        require(again && strlen(again) == size && memcmp(again, text, size) == 0);
}

static void check_escape(const char *text) {
        char buf[64];
        size_t n = escape_text(text, buf, sizeof buf);

        require(n < sizeof buf && strlen(buf) == n && utf8_is_valid(buf, n));
        for (size_t i = 0; i < n; i++)
                require((unsigned char) buf[i] >= ' ' && buf[i] != 0x7F);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size + 1);
        uint64_t n;
        uint32_t quota;
        bool b;

        require(text);
        memcpy(text, data, size);
        text[size] = '\0';

        (void) parse_unsigned(text, &n);
        (void) parse_boolean(text, &b);
        (void) parse_size(text, &n);
        (void) parse_duration(text, &n);
        (void) parse_cpu_quota(text, &quota);
        (void) id_is_valid(text);
        check_utf8((const char *) data, size);
        check_base64((const char *) data, size);
        check_escape(text);
        return 0;
}
