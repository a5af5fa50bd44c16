/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log/escape.h"

#include <string.h>

#include "base/text.h"

#define ELLIPSIS "..."
#define PIECE_MAX 4U /* the longest UTF-8 character, and "\xNN" */

/* Length of the UTF-8 character at @text, 0 when there is none or when it is a control character. */
static size_t printable(const char *text) {
        unsigned char c = (unsigned char) text[0];
        size_t length;

        if (c < 0x80)
                return c >= ' ' && c != 0x7F;

        length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
        if (strnlen(text, length) < length || !utf8_is_valid(text, length))
                return 0;
        if (c == 0xC2 && (unsigned char) text[1] < 0xA0)
                return 0; /* U+0080 to U+009F: control characters to some terminals */
        return length;
}

/* Writes the escape of one byte; returns its length. */
static size_t escape_byte(unsigned char c, char piece[static PIECE_MAX]) {
        static const char digits[] = "0123456789abcdef";
        const char *known = memchr("\n\t\r", c, 3);

        piece[0] = '\\';
        if (known) {
                piece[1] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
                return 2;
        }
        piece[1] = 'x';
        piece[2] = digits[c >> 4];
        piece[3] = digits[c & 0x0F];
        return 4;
}

size_t escape_text(const char *text, char *buf, size_t size) {
        size_t used = 0;
        size_t cut = 0; /* longest end of a piece that leaves room for the ellipsis */

        assert(text);
        assert(size >= 2 * PIECE_MAX);

        while (*text) {
                char piece[PIECE_MAX];
                size_t n = printable(text), taken = MAX(n, 1U);

                if (n > 0)
                        memcpy(piece, text, n);
                else
                        n = escape_byte((unsigned char) *text, piece);

                if (used + n >= size) {
                        memcpy(buf + cut, ELLIPSIS, sizeof ELLIPSIS);
                        return cut + strlen(ELLIPSIS);
                }
                memcpy(buf + used, piece, n);
                used += n;
                text += taken;
                if (used + sizeof ELLIPSIS <= size)
                        cut = used;
        }

        buf[used] = '\0';
        return used;
}
