/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "base/clock.h"
#include "base/macro.h"

/* Reads members of an object that a server sent. What is there must have the right type; the first member that has
 * not, or that is required and missing, is kept in @bad, so that one check after the last read is enough. Texts and
 * values returned are borrowed from the document. */
typedef struct Reader {
        const json_t *object;
        const char *bad; /* NULL while all is well */
} Reader;

typedef enum Need {
        OPTIONAL, /* may be missing or null */
        REQUIRED,
} Need;

Reader reader_open(const json_t *value);

/* A text without NUL bytes, else NULL. */
const char *reader_text(Reader *r, const char *name, Need need);
/* A text that is a valid id. */
const char *reader_id(Reader *r, const char *name, Need need);
/* False when missing; @ret is untouched then. */
bool reader_unsigned(Reader *r, const char *name, Need need, uint64_t *ret);
bool reader_boolean(Reader *r, const char *name, Need need);
const json_t *reader_array(Reader *r, const char *name, Need need);
const json_t *reader_object(Reader *r, const char *name, Need need);

/* 0, or -EPROTO after an error that names the member was printed. @what: which answer, for the error. */
int reader_finish(const Reader *r, const char *what);

/* RFC 3339 in UTC ("2026-01-01T00:00:00Z", fraction allowed) to microseconds since 1970. 0 or -EINVAL. */
int parse_timestamp(const char *text, usec_t *ret);

#define SPAN_MAX 32U
/* A time span to look at: "45s", "12min", "3h 20min", "5d 2h". Returns @buf. */
char *format_span(usec_t span, char buf[static SPAN_MAX]);
/* "512M", "1.5G", "1000". Returns @buf. */
char *format_size(uint64_t bytes, char buf[static SPAN_MAX]);

/* Prints one document: indented and in ASCII on a terminal, else in one line. */
void print_json(const json_t *value);
