/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "spec/create.h"

void bus_options_clear(BusOptions *o) {
        json_decref(o->object);
        free(o->bytes);
        *o = (BusOptions){ 0 };
}

static int wrong_type(const char *name, const char *type, Error *error) {
        return error_set_field(error, ERROR_MALFORMED, name, NULL,
                "Option \"%.60s\" cannot be of type \"%.20s\": it takes a string, a number, a boolean or a dictionary "
                "of strings.",
                name, type);
}

static int too_many(const char *name, size_t max, Error *error) {
        char limit[32];

        (void) snprintf(limit, sizeof limit, "%zu entries", max);
        return error_set_field(error, ERROR_TOO_LARGE, name, limit, "\"%s\" has more than %zu entries.", name, max);
}

int bus_strings_read(sd_bus_message *m, const char *name, size_t max, json_t **ret, Error *error) {
        _cleanup_json_ json_t *j = json_array();
        const char *text;

        int r = j ? sd_bus_message_enter_container(m, 'a', "s") : -ENOMEM;
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read_basic(m, 's', &text)) > 0) {
                if (json_array_size(j) >= max)
                        return too_many(name, max, error);
                if (json_array_append_new(j, json_string(text)) < 0)
                        return -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = take_ptr(j);
        return 0;
}

static int read_dictionary(sd_bus_message *m, const char *option, json_t **ret, Error *error) {
        _cleanup_json_ json_t *j = json_object();
        const char *name, *value;

        int r = j ? sd_bus_message_enter_container(m, 'a', "{ss}") : -ENOMEM;
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "{ss}", &name, &value)) > 0) {
                if (json_object_size(j) >= ENV_COUNT_MAX)
                        return too_many(option, ENV_COUNT_MAX, error);
                if (json_object_get(j, name))
                        return error_set_field(error, ERROR_MALFORMED, option, NULL,
                                "Option \"%s\" has \"%.60s\" twice.", option, name);
                if (json_object_set_new(j, name, json_string(value)) < 0)
                        return -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = take_ptr(j);
        return 0;
}

/* What is beyond the range of JSON's integers is beyond that of every option. */
static json_t *integer(uint64_t value) {
        return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t) value);
}

static int read_basic(sd_bus_message *m, char type, json_t **ret) {
        union {
                uint8_t y;
                int16_t n;
                uint16_t q;
                int32_t i;
                uint32_t u;
                int64_t x;
                uint64_t t;
                double d;
                int b;
                const char *s;
        } v;

        int r = sd_bus_message_read_basic(m, type, &v);
        if (r < 0)
                return r;
        switch (type) {
        case 'y':
                *ret = json_integer(v.y);
                break;
        case 'n':
                *ret = json_integer(v.n);
                break;
        case 'q':
                *ret = json_integer(v.q);
                break;
        case 'i':
                *ret = json_integer(v.i);
                break;
        case 'u':
                *ret = json_integer(v.u);
                break;
        case 'x':
                *ret = json_integer(v.x);
                break;
        case 't':
                *ret = integer(v.t);
                break;
        case 'd': /* JSON has no infinity; this is out of every range too */
                *ret = json_real(isfinite(v.d) ? v.d : v.d > 0 ? 1e300 : -1e300);
                break;
        case 'b':
                *ret = json_boolean(v.b);
                break;
        default:
                *ret = json_string(v.s);
        }
        return *ret ? 0 : -ENOMEM;
}

static int read_bytes(sd_bus_message *m, BusOptions *o) {
        const void *bytes;
        size_t n;

        int r = sd_bus_message_read_array(m, 'y', &bytes, &n);
        if (r < 0)
                return r;
        free(o->bytes);
        o->bytes = malloc(n + 1);
        if (!o->bytes)
                return -ENOMEM;
        if (n > 0)
                memcpy(o->bytes, bytes, n);
        o->n_bytes = n;
        return 0;
}

/* Whatever type the caller chose; its meaning is checked with the rest. */
static int read_value(sd_bus_message *m, const BusOption *option, BusOptions *o, Error *error) {
        _cleanup_json_ json_t *value = NULL;
        const char *type;

        int r = sd_bus_message_peek_type(m, NULL, &type);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(m, 'v', type);
        if (r < 0)
                return r;
        if (strcmp(type, "a{ss}") == 0)
                r = read_dictionary(m, option->option, &value, error);
        else if (strcmp(type, "ay") == 0 && option->bytes)
                r = read_bytes(m, o);
        else if (type[0] && !type[1] && strchr("ynqiuxtdbs", type[0]))
                r = read_basic(m, type[0], &value);
        else
                return wrong_type(option->option, type, error);
        if (r >= 0 && value && json_object_set(o->object, option->member, value) < 0)
                r = -ENOMEM;
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_option(sd_bus_message *m, const BusOption *table, BusOptions *o, uint32_t *seen, Error *error) {
        const char *name;
        size_t i = 0;

        int r = sd_bus_message_read_basic(m, 's', &name);
        if (r < 0)
                return r;
        while (table[i].option && strcmp(table[i].option, name) != 0)
                i++;
        if (!table[i].option)
                return error_set(error, ERROR_MALFORMED, "There is no option \"%.60s\" here.", name);
        if (*seen & (UINT32_C(1) << i))
                return error_set_field(error, ERROR_MALFORMED, name, NULL, "Option \"%s\" is given twice.", name);
        *seen |= UINT32_C(1) << i;
        return read_value(m, &table[i], o, error);
}

int bus_options_read(sd_bus_message *m, const BusOption *table, BusOptions *ret, Error *error) {
        _cleanup_bus_options_ BusOptions o = { .object = json_object() };
        uint32_t seen = 0;

        int r = o.object ? sd_bus_message_enter_container(m, 'a', "{sv}") : -ENOMEM;
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = read_option(m, table, &o, &seen, error);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = o;
        o = (BusOptions){ 0 };
        return 0;
}

/* "memory_limit" or "env.PATH" in quotes becomes "MemoryLimit" or "Env.PATH". */
static char *rename_quoted(const char *text, const BusOption *option) {
        size_t length = strlen(option->member), used = 0;
        size_t size = 2 * strlen(text) + 64 + strlen(option->option); /* each name is at most twice its member */
        char *out = malloc(size);

        while (out && *text) {
                const char *end = text + 1 + length;
                if (*text == '"' && strncmp(text + 1, option->member, length) == 0 && strchr("\".[", *end) && *end) {
                        used += (size_t) snprintf(out + used, size - used, "\"%s", option->option);
                        text = end;
                } else
                        out[used++] = *text++;
        }
        if (out)
                out[used] = '\0';
        return out;
}

void bus_options_explain(const BusOption *table, Error *error) {
        for (; table->option; table++) {
                size_t length = strlen(table->member);
                if (strncmp(error->field, table->member, length) != 0 || !strchr(".[", error->field[length]))
                        continue;
                char rest[sizeof error->field];
                (void) snprintf(rest, sizeof rest, "%s", error->field + length);
                (void) snprintf(error->field, sizeof error->field, "%s%.40s", table->option, rest);
                char *detail = error->detail ? rename_quoted(error->detail, table) : NULL;
                if (detail) {
                        free(error->detail);
                        error->detail = detail;
                }
                return;
        }
}
