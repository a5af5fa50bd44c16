/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/json.h"

/*
 * Members of objects written by hand, for the answers that are given most: several times as fast as building a tree and
 * having the library write it. Each begins with a comma, which is the first byte of an object to turn into its brace,
 * and returns the end, where there is a NUL. A member takes at most 32 bytes beside its name, which is plain ASCII, and
 * a value that is given as text, of which a string may become JSON_ESCAPED_MAX() bytes.
 */

/* @value: valid JSON. */
char *json_put(char *p, const char *name, const char *value);
/* @text: valid UTF-8. */
char *json_put_text(char *p, const char *name, const char *text, size_t length);
char *json_put_number(char *p, const char *name, uint64_t value);
/* @value in units of which 10 to the power of @digits are one; @digits: 1 to 9. 1500 with 3 is 1.5, 2000 is 2.0. */
char *json_put_fraction(char *p, const char *name, uint64_t value, unsigned digits);
char *json_put_boolean(char *p, const char *name, bool value);
