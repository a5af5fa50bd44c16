/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/terminal.h"

Reader reader_open(const json_t *value) {
        return (Reader){
                .object = value,
                .bad = json_is_object(value) ? NULL : "(the document)",
        };
}

/* The member if it is there, is of @type and nothing was bad before. */
static const json_t *member(Reader *r, const char *name, Need need, json_type type) {
        const json_t *value;

        if (r->bad)
                return NULL;
        value = json_object_get(r->object, name);
        if (need == OPTIONAL && (!value || json_is_null(value)))
                return NULL;
        if (!value || json_typeof(value) != type) {
                r->bad = name;
                return NULL;
        }
        return value;
}

const char *reader_text(Reader *r, const char *name, Need need) {
        const json_t *value = member(r, name, need, JSON_STRING);
        const char *text = json_string_value(value);

        if (text && strlen(text) != json_string_length(value)) {
                r->bad = name;
                return NULL;
        }
        return text;
}

const char *reader_id(Reader *r, const char *name, Need need) {
        const char *text = reader_text(r, name, need);

        if (text && !id_is_valid(text)) {
                r->bad = name;
                return NULL;
        }
        return text;
}

bool reader_unsigned(Reader *r, const char *name, Need need, uint64_t *ret) {
        const json_t *value = member(r, name, need, JSON_INTEGER);

        if (!value)
                return false;
        if (json_integer_value(value) < 0) {
                r->bad = name;
                return false;
        }
        *ret = (uint64_t) json_integer_value(value);
        return true;
}

bool reader_boolean(Reader *r, const char *name, Need need) {
        const json_t *value;

        if (r->bad)
                return false;
        value = json_object_get(r->object, name);
        if (need == OPTIONAL && (!value || json_is_null(value)))
                return false;
        if (!json_is_boolean(value))
                r->bad = name;
        return json_is_true(value);
}

const json_t *reader_array(Reader *r, const char *name, Need need) {
        return member(r, name, need, JSON_ARRAY);
}

const json_t *reader_object(Reader *r, const char *name, Need need) {
        return member(r, name, need, JSON_OBJECT);
}

int reader_finish(const Reader *r, const char *what) {
        if (!r->bad)
                return 0;
        print_error("The server's answer to \"%s\" is not understood: member %s is missing or not as expected; is it "
                    "another version?",
                what, r->bad);
        return -EPROTO;
}

int parse_timestamp(const char *text, usec_t *ret) {
        struct tm tm = { 0 };
        usec_t fraction = 0, unit = USEC_PER_SEC / 10;
        const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

        if (!p)
                return -EINVAL;
        if (*p == '.')
                for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
                        fraction += (usec_t) (*p - '0') * unit;
        if (strcmp(p, "Z") != 0 && strcmp(p, "+00:00") != 0)
                return -EINVAL;

        time_t t = timegm(&tm);
        if (t < 0)
                return -EINVAL;
        *ret = (usec_t) t * USEC_PER_SEC + fraction;
        return 0;
}

char *format_span(usec_t span, char buf[static SPAN_MAX]) {
        uint64_t seconds = span / USEC_PER_SEC, minutes = seconds / 60, hours = minutes / 60, days = hours / 24;

        if (days > 0)
                (void) snprintf(buf, SPAN_MAX, "%" PRIu64 "d %" PRIu64 "h", days, hours % 24);
        else if (hours > 0)
                (void) snprintf(buf, SPAN_MAX, "%" PRIu64 "h %" PRIu64 "min", hours, minutes % 60);
        else if (minutes > 0)
                (void) snprintf(buf, SPAN_MAX, "%" PRIu64 "min", minutes);
        else
                (void) snprintf(buf, SPAN_MAX, "%" PRIu64 "s", seconds);
        return buf;
}

char *format_size(uint64_t bytes, char buf[static SPAN_MAX]) {
        static const char units[] = "KMGTPE";
        double value = (double) bytes;
        int unit = -1;

        while (value >= 1024 && units[unit + 1]) {
                value /= 1024;
                unit++;
        }
        if (unit < 0)
                (void) snprintf(buf, SPAN_MAX, "%" PRIu64, bytes);
        else if (value < 10 && value * 10 != (double) (uint64_t) value * 10)
                (void) snprintf(buf, SPAN_MAX, "%.1f%c", value, units[unit]);
        else
                (void) snprintf(buf, SPAN_MAX, "%.0f%c", value, units[unit]);
        return buf;
}

void print_json(const json_t *value) {
        size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);

        flags |= isatty(STDOUT_FILENO) ? JSON_INDENT(2) | JSON_ENSURE_ASCII : JSON_COMPACT;
        (void) json_dumpf(value, stdout, flags); /* errors of the stream are seen at the end of the program */
        fputc('\n', stdout);
}
