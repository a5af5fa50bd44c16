/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spec/fork.h"

#include "spec/create.h"

void fork_spec_clear(ForkSpec *f) {
        json_decref(f->metadata);
        *f = (ForkSpec){ 0 };
}

static int count_parse(const char *name, const json_t *value, void *ret, Error *error) {
        json_int_t n = json_integer_value(value);

        if (!json_is_integer(value))
                return error_set_field(error, ERROR_MALFORMED, name, NULL, "\"%s\" has to be a whole number.", name);
        if (n < 1 || n > FORK_COUNT_MAX)
                return error_set_field(
                        error, ERROR_INVALID_VALUE, name, "1 to 64", "\"%s\" is out of range: 1 to 64.", name);
        *(unsigned *) ret = (unsigned) n;
        return 0;
}

int fork_spec_read(ForkSpec *f, const char *text, size_t length, usec_t timeout_max, Error *error) {
        static const JsonField fields[] = {
                { "count", count_parse, offsetof(ForkSpec, count) },
                { "timeout", create_parse_timeout, offsetof(ForkSpec, timeout) },
                { "wait", json_parse_duration, offsetof(ForkSpec, wait) },
                { "metadata", metadata_parse, offsetof(ForkSpec, metadata) },
                { 0 },
        };
        _cleanup_json_ json_t *object = NULL;

        f->count = 1;
        int r = json_read_object(text, length, &object, error);
        if (r == 0)
                r = json_apply(object, fields, f, error);
        if (r < 0)
                return r;
        if (f->wait > WAIT_MAX)
                return error_set_field(
                        error, ERROR_INVALID_VALUE, "wait", "300 seconds", "\"wait\" is out of range: 300 seconds.");
        return f->timeout ? create_check_timeout(f->timeout, timeout_max, error) : 0;
}
