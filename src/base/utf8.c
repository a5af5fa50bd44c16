/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */
#define REPLACEMENT_LENGTH 3U

/* Length of the run of ASCII at @p, found eight bytes a step. */
static size_t ascii_run(const uint8_t *p, size_t length) {
        size_t i = 0;

        for (; length - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
                uint64_t word;

                memcpy(&word, p + i, sizeof word);
                if (word & UINT64_C(0x8080808080808080))
                        break;
        }
        while (i < length && p[i] < 0x80)
                i++;
        return i;
}

/* Looks at the sequence that begins at @p, which is not ASCII. Returns its length and sets @ret_valid; of an
 * invalid one the length of its maximal part: what could still have become a character, at least one byte. */
static size_t sequence(const uint8_t *p, size_t length, bool *ret_valid) {
        uint8_t low = 0x80, high = 0xBF; /* bounds of the second byte; they exclude what is not shortest form */
        size_t want;

        *ret_valid = false;

        if (p[0] >= 0xC2 && p[0] <= 0xDF)
                want = 2;
        else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
                want = 3;
                if (p[0] == 0xE0)
                        low = 0xA0;
                if (p[0] == 0xED)
                        high = 0x9F; /* surrogates */
        } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
                want = 4;
                if (p[0] == 0xF0)
                        low = 0x90;
                if (p[0] == 0xF4)
                        high = 0x8F; /* above U+10FFFF */
        } else
                return 1;

        for (size_t i = 1; i < want; i++) {
                if (i >= length || p[i] < low || p[i] > high)
                        return i;
                low = 0x80;
                high = 0xBF;
        }

        *ret_valid = true;
        return want;
}

bool utf8_is_valid(const char *text, size_t length) {
        const uint8_t *p = (const uint8_t *) text;

        assert(text || length == 0);

        for (size_t i = 0; i < length;) {
                bool valid;

                i += ascii_run(p + i, length - i);
                if (i == length)
                        break;
                i += sequence(p + i, length - i, &valid);
                if (!valid)
                        return false;
        }
        return true;
}

/* Writes the result to @out, or only counts when @out is NULL. Returns its length. */
static size_t replace(const uint8_t *p, size_t length, char *out) {
        size_t used = 0;

        for (size_t i = 0; i < length;) {
                bool valid = true;
                size_t n = ascii_run(p + i, length - i);

                if (n == 0)
                        n = sequence(p + i, length - i, &valid);
                if (out)
                        memcpy(out + used, valid ? (const char *) p + i : REPLACEMENT, valid ? n : REPLACEMENT_LENGTH);
                used += valid ? n : REPLACEMENT_LENGTH;
                i += n;
        }
        return used;
}

char *utf8_replace(const char *bytes, size_t length, size_t *ret_length) {
        const uint8_t *p = (const uint8_t *) bytes;

        assert(bytes || length == 0);
        assert(ret_length);

        if (length > (SIZE_MAX - 1) / REPLACEMENT_LENGTH)
                return NULL;

        size_t n = replace(p, length, NULL);
        char *text = malloc(n + 1);
        if (!text)
                return NULL;

        (void) replace(p, length, text); /* the same length again */
        text[n] = '\0';
        *ret_length = n;
        return text;
}
