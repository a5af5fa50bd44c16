/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/terminal.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

static bool quiet;

_noreturn_ void out_of_memory(void) {
        (void) !write(STDERR_FILENO, "sandboxctl: Out of memory\n", 26); /* nowhere else to say it */
        _exit(125);
}

void *xrealloc(void *p, size_t size) {
        void *n = realloc(p, size);

        if (!n)
                out_of_memory();
        return n;
}

char *xstrdup(const char *text) {
        char *copy = strdup(text);

        if (!copy)
                out_of_memory();
        return copy;
}

char *xasprintf(const char *format, ...) {
        char *text;
        va_list ap;

        va_start(ap, format);
        int n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0)
                out_of_memory();
        return text;
}

/* Printable, but able to make a line look like another one. */
static bool deceives(wchar_t c) {
        static const struct {
                wchar_t first, last;
        } ranges[] = {
                { 0x00AD, 0x00AD },   /* soft hyphen */
                { 0x061C, 0x061C },   /* Arabic letter mark */
                { 0x115F, 0x1160 },   /* Hangul fillers */
                { 0x180B, 0x180F },   /* Mongolian selectors and separator */
                { 0x200B, 0x200F },   /* zero width, direction marks */
                { 0x2028, 0x202E },   /* separators, embeddings, overrides */
                { 0x2060, 0x206F },   /* joiners, isolates */
                { 0xFE00, 0xFE0F },   /* variation selectors */
                { 0xFEFF, 0xFEFF },   /* byte order mark */
                { 0xFFF9, 0xFFFB },   /* interlinear marks */
                { 0xE0000, 0xE0FFF }, /* tags */
        };

        for (size_t i = 0; i < ELEMENTSOF(ranges); i++)
                if (c >= ranges[i].first && c <= ranges[i].last)
                        return true;
        return false;
}

/* Writes the escape of the @n bytes at @in, which are one character or one invalid byte. */
static char *escape(char *out, const char *in, size_t n) {
        static const char named[] = "\\\\\nn\tt\rr";

        if (n == 1)
                for (size_t i = 0; named[i]; i += 2)
                        if (*in == named[i]) {
                                *out++ = '\\';
                                *out++ = named[i + 1];
                                return out;
                        }
        for (size_t i = 0; i < n; i++)
                out += sprintf(out, "\\x%02x", (unsigned) (unsigned char) in[i]);
        return out;
}

char *terminal_escape(const char *text, size_t length, size_t *ret_width) {
        char *result, *out;
        size_t width = 0;
        mbstate_t state = { 0 };

        if (length > SIZE_MAX / 8)
                out_of_memory();
        result = out = xrealloc(NULL, length * 4 + 1); /* four characters for each byte at most */

        for (size_t i = 0; i < length;) {
                wchar_t c;
                size_t n = mbrtowc(&c, text + i, length - i, &state);
                int columns = -1;

                if (n == 0) {
                        n = 1;
                } else if (n == (size_t) -1 || n == (size_t) -2) {
                        state = (mbstate_t){ 0 };
                        n = 1;
                } else if (c != L'\\' && !deceives(c)) {
                        columns = wcwidth(c);
                }

                if (columns >= 0) {
                        memcpy(out, text + i, n);
                        out += n;
                        width += (size_t) columns;
                } else {
                        char *end = escape(out, text + i, n);
                        width += (size_t) (end - out);
                        out = end;
                }
                i += n;
        }
        *out = '\0';

        if (ret_width)
                *ret_width = width;
        return result;
}

char *terminal_escape_string(const char *text) {
        return terminal_escape(text, strlen(text), NULL);
}

static bool wants_colour(FILE *stream) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        if (no_color && *no_color)
                return false;
        return isatty(fileno(stream)) && term && strcmp(term, "dumb") != 0;
}

const char *terminal_colour(FILE *stream, Colour colour) {
        static const char *const sequences[] = {
                [COLOUR_NONE] = "",
                [COLOUR_GOOD] = "\033[32m",
                [COLOUR_WARN] = "\033[33m",
                [COLOUR_BAD] = "\033[1;31m",
        };

        return wants_colour(stream) ? sequences[colour] : "";
}

const char *terminal_colour_end(FILE *stream, Colour colour) {
        return colour != COLOUR_NONE && wants_colour(stream) ? "\033[0m" : "";
}

void terminal_quiet(bool b) {
        quiet = b;
}

void print_error(const char *format, ...) {
        va_list ap;

        (void) fflush(stdout); /* an error of it is seen at the end of the program */
        fprintf(stderr, "%ssandboxctl:%s ", terminal_colour(stderr, COLOUR_BAD),
                terminal_colour_end(stderr, COLOUR_BAD));
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
}

void print_note(const char *format, ...) {
        va_list ap;

        if (quiet)
                return;
        (void) fflush(stdout); /* as above */
        fputs("sandboxctl: ", stderr);
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
}
