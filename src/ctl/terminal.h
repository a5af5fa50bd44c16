/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "base/macro.h"

typedef enum Colour {
        COLOUR_NONE,
        COLOUR_GOOD,
        COLOUR_WARN,
        COLOUR_BAD,
} Colour;

/* Copies text of unknown origin in a form that is safe on a terminal: whatever the locale cannot print (control
 * characters, invalid bytes), marks that change the writing direction or are invisible, and the backslash become
 * backslash escapes. Returns a new string, its number of columns in @ret_width (may be NULL); never NULL: running
 * out of memory ends the program. */
char *terminal_escape(const char *text, size_t length, size_t *ret_width);
char *terminal_escape_string(const char *text);

/* The sequence that switches to @colour on @stream: "" where colours are not wanted. */
const char *terminal_colour(FILE *stream, Colour colour);
const char *terminal_colour_end(FILE *stream, Colour colour);

/* Messages to people, on standard error. Text of others must have gone through terminal_escape(). Notes are left
 * out after terminal_quiet(). */
void print_error(const char *format, ...) _printf_(1, 2);
void print_note(const char *format, ...) _printf_(1, 2);
void terminal_quiet(bool quiet);

/* Like the functions without x, but end the program when there is no memory: nothing sensible is left to do. */
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *text);
char *xasprintf(const char *format, ...) _printf_(1, 2);
_noreturn_ void out_of_memory(void);
