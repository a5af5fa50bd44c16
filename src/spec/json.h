/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "error/error.h"
#include "spec/limits.h"

/*
 * Reading of JSON objects by tables: a row names a member, its parser and where the value goes. A member that no row
 * names, or a value its parser refuses, is an error that names it.
 */

#define _cleanup_json_ _cleanup_(json_decrefp)

/* @name: the member's; @ret: points to where the value goes. Returns 0 or -errno with @error set. */
typedef int JsonParse(const char *name, const json_t *value, void *ret, Error *error);

typedef struct JsonField {
        const char *name;
        JsonParse *parse;
        size_t offset;
} JsonField;

/* Reads a document of @length bytes that has to be an object; nothing but white space is an empty one.
 * Duplicate members, U+0000 and more than 32 levels are refused. Returns 0 or -errno with @error set. */
int json_read_object(const char *text, size_t length, json_t **ret, Error *error);

/* Applies @fields (ended by a row without name) to @object, writing to @target. */
int json_apply(const json_t *object, const JsonField *fields, void *target, Error *error);

/* Parsers. Texts that they return are copies, owned by the target; a former value is freed. */
JsonParse json_parse_text;         /* char *, at most 64 KiB */
JsonParse json_parse_id;           /* char *, 1 to 64 of [A-Za-z0-9._-] */
JsonParse json_parse_boolean;      /* bool */
JsonParse json_parse_duration;     /* usec_t; seconds as a number, or "15min"; the caller has a limit */
JsonParse json_parse_size;         /* uint64_t; bytes as a number, or "512m" */
JsonParse json_parse_limit_memory; /* Limits: the members of that name */
JsonParse json_parse_limit_cpu;
JsonParse json_parse_limit_pids;
JsonParse json_parse_limit_disk;

/* Long texts on their way out, several times as fast as the library writes them and byte by byte the same: writes the
 * inside of a string with the @length bytes of valid UTF-8 at @bytes, which takes up to JSON_ESCAPED_MAX() bytes at
 * @to. Returns its end. */
#define JSON_ESCAPED_MAX(length) (6 * (length))
char *json_escape(const char *bytes, size_t length, char *to);
