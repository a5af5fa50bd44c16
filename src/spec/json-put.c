/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spec/json-put.h"

#include <string.h>

#include "base/text.h"

char *json_put(char *p, const char *name, const char *value) {
        p = stpcpy(stpcpy(stpcpy(p, ",\""), name), "\":");
        return stpcpy(p, value);
}

char *json_put_text(char *p, const char *name, const char *text, size_t length) {
        p = json_put(p, name, "\"");
        return stpcpy(json_escape(text, length, p), "\"");
}

char *json_put_number(char *p, const char *name, uint64_t value) {
        return put_digits(json_put(p, name, ""), value, 1);
}

char *json_put_fraction(char *p, const char *name, uint64_t value, unsigned digits) {
        uint64_t one = 1;

        assert(digits >= 1 && digits <= 9);
        for (unsigned i = 0; i < digits; i++)
                one *= 10;
        p = stpcpy(json_put_number(p, name, value / one), ".");
        p = put_digits(p, value % one, digits);
        for (; digits > 1 && p[-1] == '0'; digits--)
                *--p = '\0';
        return p;
}

char *json_put_boolean(char *p, const char *name, bool value) {
        return json_put(p, name, value ? "true" : "false");
}
