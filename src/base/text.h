/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "base/macro.h"

/* Parsers take all of @text or nothing: no white space, no sign, no trailing characters.
 * They return 0, -EINVAL (not of the form) or -ERANGE (does not fit), and write on success only. */

int parse_unsigned(const char *text, uint64_t *ret); /* decimal digits */
int parse_boolean(const char *text, bool *ret);      /* yes no true false on off 1 0 */

/* Bytes: "1048576", "512k", "512M", "1g", "2GiB"; steps of 1024, any case, optional "i" and "B". */
int parse_size(const char *text, uint64_t *ret);

/* Microseconds from "90" (seconds), "1.5s", "90s", "15min", "1h", "1h 30min", "500ms", "250us", "1d", "2w". */
int parse_duration(const char *text, usec_t *ret);

/* Share of one processor, in microseconds for each 100 ms: "50%" is 50000, "200%" is two processors; a plain
 * number is taken as it is ("50000"). */
int parse_cpu_quota(const char *text, uint32_t *ret);

/* Writes @value in decimal, with zeros before it up to @width digits, and a NUL. Returns the NUL's place. */
char *put_digits(char *p, uint64_t value, unsigned width);

#define TIMESTAMP_MAX sizeof("2026-01-01T00:00:00.000Z")
/* RFC 3339 in UTC with milliseconds. Returns @buf. */
char *format_timestamp(usec_t realtime, char buf[static TIMESTAMP_MAX]);

/* Are the @length bytes at @text one of the @n @words? */
bool text_is_one_of(const char *text, size_t length, const char *const *words, size_t n);

/* Is @text a session, exec or worker id: [a-z0-9-]+, at most 64 characters? (Public contract, HTTP.) */
bool id_is_valid(const char *text);
#define ID_MAX 64U

/* Random UUID in lower case, 36 characters. */
#define UUID_TEXT_MAX 37U
void uuid_make(char buf[static UUID_TEXT_MAX]);

/* Is the text valid UTF-8 (no surrogates, nothing above U+10FFFF, shortest form; NUL is valid)? */
bool utf8_is_valid(const char *text, size_t length);

/* Copies @length bytes with each invalid sequence replaced by U+FFFD (as the WHATWG decoder does: one for each
 * maximal part). Returns a new string ended by NUL, its length in @ret_length; NULL when out of memory. */
char *utf8_replace(const char *bytes, size_t length, size_t *ret_length);

/* RFC 4648 base64 with padding, no line breaks. Return a new buffer or NULL (decode: -EINVAL, -ENOMEM). */
char *base64_encode(const void *bytes, size_t length);
int base64_decode(const char *text, size_t length, void **ret, size_t *ret_length);
