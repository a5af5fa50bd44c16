/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *bytes, size_t length) {
        const uint8_t *p = bytes;

        assert(bytes || length == 0);

        if (length > (SIZE_MAX - 1) / 4 * 3 - 3)
                return NULL;

        char *text = malloc((length + 2) / 3 * 4 + 1);
        if (!text)
                return NULL;

        char *out = text;
        for (; length >= 3; length -= 3, p += 3) {
                *out++ = alphabet[p[0] >> 2];
                *out++ = alphabet[(p[0] & 0x03) << 4 | p[1] >> 4];
                *out++ = alphabet[(p[1] & 0x0F) << 2 | p[2] >> 6];
                *out++ = alphabet[p[2] & 0x3F];
        }
        if (length > 0) {
                uint8_t second = length == 2 ? p[1] : 0;

                *out++ = alphabet[p[0] >> 2];
                *out++ = alphabet[(p[0] & 0x03) << 4 | second >> 4];
                *out++ = length == 2 ? alphabet[(second & 0x0F) << 2] : '=';
                *out++ = '=';
        }
        *out = '\0';
        return text;
}

/* Value of a character of the alphabet, -1 for any other. */
static int value_of(char c) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        if (c == '+')
                return 62;
        return c == '/' ? 63 : -1;
}

int base64_decode(const char *text, size_t length, void **ret, size_t *ret_length) {
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t padding = 0;

        assert(text || length == 0);
        assert(ret);
        assert(ret_length);

        if (length % 4 != 0)
                return -EINVAL;
        while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
                padding++;

        size_t size = length / 4 * 3 - padding;
        bytes = malloc(size + 1); /* one more: never a request for nothing */
        if (!bytes)
                return -ENOMEM;

        size_t used = 0;
        for (size_t i = 0; i < length; i += 4) {
                uint32_t group = 0;

                for (size_t k = 0; k < 4; k++) {
                        int v = i + k >= length - padding ? 0 : value_of(text[i + k]);
                        if (v < 0)
                                return -EINVAL;
                        group = group << 6 | (uint32_t) v;
                }
                for (size_t k = 0; k < 3; k++) {
                        uint8_t byte = (uint8_t) (group >> (16 - 8 * k));
                        if (used < size)
                                bytes[used++] = byte;
                        else if (byte != 0)
                                return -EINVAL; /* bits that no byte holds: two texts would mean the same */
                }
        }

        bytes[size] = 0;
        *ret = take_ptr(bytes);
        *ret_length = size;
        return 0;
}
