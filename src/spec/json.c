/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spec/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 32U
#define TEXT_MAX (64 * KIB)
#define DURATION_MAX 1e9 /* seconds; more is taken for this much, which is above the limit of each member */

static const char *type_name(const json_t *value) {
        static const char *const names[] = {
                [JSON_OBJECT] = "an object",
                [JSON_ARRAY] = "an array",
                [JSON_STRING] = "a string",
                [JSON_INTEGER] = "a number",
                [JSON_REAL] = "a number",
                [JSON_TRUE] = "true",
                [JSON_FALSE] = "false",
                [JSON_NULL] = "null",
        };
        return names[json_typeof(value)];
}

static int wrong_type(const char *name, const json_t *value, const char *wanted, Error *error) {
        return error_set_field(
                error, ERROR_MALFORMED, name, NULL, "\"%s\" has to be %s, not %s.", name, wanted, type_name(value));
}

static bool is_too_deep(const char *text, size_t length) {
        unsigned depth = 0;
        bool string = false;

        for (size_t i = 0; i < length; i++) {
                char c = text[i];
                if (string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                string = false;
                } else if (c == '"')
                        string = true;
                else if ((c == '{' || c == '[') && ++depth > DEPTH_MAX)
                        return true;
                else if ((c == '}' || c == ']') && depth > 0)
                        depth--;
        }
        return false;
}

int json_read_object(const char *text, size_t length, json_t **ret, Error *error) {
        _cleanup_json_ json_t *j = NULL;
        json_error_t e;
        size_t blank = 0;

        while (blank < length && strchr(" \t\r\n", text[blank]) && text[blank])
                blank++;
        if (blank == length) {
                *ret = json_object();
                return *ret ? 0 : -ENOMEM;
        }

        if (is_too_deep(text, length))
                return error_set_field(
                        error, ERROR_MALFORMED, "body", "32 levels", "The JSON document is nested too deeply.");
        j = json_loadb(text, length, JSON_REJECT_DUPLICATES, &e);
        /* what it is short of it rarely says */
        if (!j && (json_error_code(&e) == json_error_out_of_memory || !e.text[0]))
                return -ENOMEM;
        if (!j) {
                bool nul = json_error_code(&e) == json_error_null_character; /* it speaks of a flag of ours */
                return error_set_field(error, ERROR_MALFORMED, "body", NULL,
                        "The body is not a JSON document that is accepted here: line %d, column %d: %s.", e.line,
                        e.column, nul ? "no text may have a NUL (\\u0000)" : e.text);
        }
        if (!json_is_object(j))
                return error_set_field(error, ERROR_MALFORMED, "body", NULL,
                        "The body has to be a JSON object, not %s.", type_name(j));
        *ret = take_ptr(j);
        return 0;
}

int json_apply(const json_t *object, const JsonField *fields, void *target, Error *error) {
        const char *name;
        json_t *value;

        json_object_foreach((json_t *) object, name, value) {
                const JsonField *f = fields;

                while (f->name && strcmp(f->name, name) != 0)
                        f++;
                if (!f->name)
                        return error_set_field(
                                error, ERROR_MALFORMED, name, NULL, "There is no member \"%.60s\" here.", name);
                int r = f->parse(name, value, (char *) target + f->offset, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int json_parse_text(const char *name, const json_t *value, void *ret, Error *error) {
        char **text = ret;

        if (!json_is_string(value))
                return wrong_type(name, value, "a string", error);
        if (json_string_length(value) > TEXT_MAX)
                return error_set_field(error, ERROR_TOO_LARGE, name, "64 KiB", "\"%s\" is too long.", name);

        char *copy = strdup(json_string_value(value));
        if (!copy)
                return -ENOMEM;
        free(*text);
        *text = copy;
        return 0;
}

int json_parse_id(const char *name, const json_t *value, void *ret, Error *error) {
        if (json_is_string(value)) {
                const char *text = json_string_value(value);
                size_t n = json_string_length(value);
                if (n == 0 || n > ID_MAX ||
                        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != n)
                        return error_set_field(error, ERROR_INVALID_VALUE, name, "64 characters",
                                "\"%s\" has to be 1 to 64 letters, digits, dots, dashes or underscores.", name);
        }
        return json_parse_text(name, value, ret, error);
}

int json_parse_boolean(const char *name, const json_t *value, void *ret, Error *error) {
        if (!json_is_boolean(value))
                return wrong_type(name, value, "true or false", error);
        *(bool *) ret = json_is_true(value);
        return 0;
}

int json_parse_duration(const char *name, const json_t *value, void *ret, Error *error) {
        usec_t *usec = ret;

        if (json_is_number(value)) {
                double seconds = json_number_value(value);
                if (seconds < 0)
                        return error_set_field(
                                error, ERROR_INVALID_VALUE, name, "0", "\"%s\" cannot be negative.", name);
                *usec = (usec_t) ((seconds < DURATION_MAX ? seconds : DURATION_MAX) * (double) USEC_PER_SEC + 0.5);
                return 0;
        }
        if (!json_is_string(value))
                return wrong_type(name, value, "seconds as a number or a string as \"90s\" or \"1h\"", error);
        if (parse_duration(json_string_value(value), usec) < 0)
                return error_set_field(error, ERROR_INVALID_VALUE, name, NULL,
                        "\"%s\" has to be a duration as 90, \"90s\", \"15min\" or \"1h\".", name);
        return 0;
}

int json_parse_size(const char *name, const json_t *value, void *ret, Error *error) {
        uint64_t *size = ret;

        if (json_is_integer(value)) {
                if (json_integer_value(value) < 0)
                        return error_set_field(
                                error, ERROR_INVALID_VALUE, name, "0", "\"%s\" cannot be negative.", name);
                *size = (uint64_t) json_integer_value(value);
                return 0;
        }
        if (!json_is_string(value))
                return wrong_type(name, value, "bytes as a whole number or a string as \"512m\"", error);
        if (parse_size(json_string_value(value), size) < 0)
                return error_set_field(error, ERROR_INVALID_VALUE, name, NULL,
                        "\"%s\" has to be a size as 1048576, \"512m\" or \"1g\".", name);
        return 0;
}

static int check_range(const char *name, uint64_t value, uint64_t min, uint64_t max, Error *error) {
        char limit[64];

        if (value >= min && value <= max)
                return 0;
        (void) snprintf(limit, sizeof limit, "%" PRIu64 " to %" PRIu64, min, max);
        return error_set_field(error, ERROR_INVALID_VALUE, name, limit, "\"%s\" is out of range: %s.", name, limit);
}

static int parse_whole(const char *name, const json_t *value, uint64_t min, uint64_t max, uint32_t *ret, Error *error) {
        if (!json_is_integer(value))
                return wrong_type(name, value, "a whole number", error);
        int r = check_range(
                name, json_integer_value(value) < 0 ? 0 : (uint64_t) json_integer_value(value), min, max, error);
        if (r < 0)
                return r;
        *ret = (uint32_t) json_integer_value(value);
        return 0;
}

static int parse_bytes(const char *name, const json_t *value, uint64_t min, uint64_t max, uint64_t *ret, Error *error) {
        uint64_t bytes;

        int r = json_parse_size(name, value, &bytes, error);
        if (r == 0)
                r = check_range(name, bytes, min, max, error);
        if (r == 0)
                *ret = bytes;
        return r;
}

int json_parse_limit_memory(const char *name, const json_t *value, void *ret, Error *error) {
        return parse_bytes(name, value, LIMIT_MEMORY_MIN, LIMIT_MEMORY_MAX, &((Limits *) ret)->memory, error);
}

int json_parse_limit_disk(const char *name, const json_t *value, void *ret, Error *error) {
        return parse_bytes(name, value, LIMIT_DISK_MIN, LIMIT_DISK_MAX, &((Limits *) ret)->disk, error);
}

int json_parse_limit_cpu(const char *name, const json_t *value, void *ret, Error *error) {
        return parse_whole(name, value, LIMIT_CPU_QUOTA_MIN, LIMIT_CPU_QUOTA_MAX, &((Limits *) ret)->cpu_quota, error);
}

int json_parse_limit_pids(const char *name, const json_t *value, void *ret, Error *error) {
        return parse_whole(name, value, LIMIT_PIDS_MIN, LIMIT_PIDS_MAX, &((Limits *) ret)->pids, error);
}

/* What stands behind the backslash: a letter, 'u' for four digits, or 0 for what stands for itself. */
static char escape_letter(unsigned char c) {
        static const char control[0x20] = { [0] = 'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'b',
                't',
                'n',
                'u',
                'f',
                'r',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u',
                'u' };

        if (c < 0x20)
                return control[c];
        return c == '"' || c == '\\' ? (char) c : 0;
}

/* How many bytes from @p on stand for themselves, in whole blocks. */
static size_t plain_blocks(const char *p, size_t length) {
        typedef uint8_t Bytes __attribute__((vector_size(16)));
        typedef uint64_t Words __attribute__((vector_size(16)));
        Bytes block;
        size_t i = 0;

        for (; length - i >= sizeof block; i += sizeof block) {
                memcpy(&block, p + i, sizeof block);
                Words found = (Words) ((block < 0x20) | (block == '"') | (block == '\\'));
                if (found[0] | found[1])
                        break;
        }
        return i;
}

/* The same, in words of eight. */
static size_t plain_words(const char *p, size_t length) {
        const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
        size_t i = 0;

        for (; length - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
                uint64_t word;
                memcpy(&word, p + i, sizeof word);
                uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
                /* a byte below 0x20, or zero in one of the others; bytes of characters beyond ASCII are none */
                uint64_t found =
                        ((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash);
                if (found & high)
                        break;
        }
        return i;
}

/* How many bytes from @p on stand for themselves. Blocks pay after a beginning that is plain. */
static size_t plain_run(const char *p, size_t length) {
        const size_t beginning = 2 * sizeof(uint64_t);
        size_t i = plain_words(p, MIN(length, beginning));

        if (i == beginning) {
                i += plain_blocks(p + i, length - i);
                i += plain_words(p + i, length - i);
        }
        while (i < length && !escape_letter((unsigned char) p[i]))
                i++;
        return i;
}

char *json_escape(const char *bytes, size_t length, char *to) {
        static const char digits[] = "0123456789ABCDEF";

        for (size_t at = 0;;) {
                size_t n = plain_run(bytes + at, length - at);
                memcpy(to, bytes + at, n);
                to += n;
                at += n;
                if (at == length)
                        return to;
                unsigned char c = (unsigned char) bytes[at++];
                *to++ = '\\';
                *to++ = escape_letter(c);
                if (to[-1] == 'u') {
                        memcpy(to, "00", 2);
                        to[2] = digits[c >> 4];
                        to[3] = digits[c & 15];
                        to += 4;
                }
        }
}
