/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/problem.h"

#include <stdarg.h>
#include <string.h>

#include "ctl/reader.h"
#include "ctl/terminal.h"

/* Replaces @text by what is printed, which may contain @text. */
_printf_(2, 3) static void extend(char **text, const char *format, ...) {
        char *longer;
        va_list ap;

        va_start(ap, format);
        int n = vasprintf(&longer, format, ap);
        va_end(ap);
        if (n < 0)
                out_of_memory();
        free(*text);
        *text = longer;
}

char *problem_text(const Answer *a) {
        static const struct {
                const char *member, *label;
        } extra[] = {
                { "field", "field" },
                { "limit", "limit" },
                { "session_id", "session" },
                { "reason", "reason" },
        };
        Reader r = reader_open(a->json);
        const char *title = reader_text(&r, "title", REQUIRED), *detail = reader_text(&r, "detail", OPTIONAL);
        const char *separator = " (";
        char *text;

        if (!title)
                return xasprintf("The server answered with HTTP status %u", a->status);

        text = terminal_escape_string(title);
        if (detail) {
                _cleanup_free_ char *safe = terminal_escape_string(detail);
                size_t n = strlen(safe);
                if (n > 0 && safe[n - 1] == '.') /* more may follow */
                        safe[n - 1] = '\0';
                extend(&text, "%s: %s", text, safe);
        }
        for (size_t i = 0; i < ELEMENTSOF(extra); i++) {
                const json_t *value = json_object_get(a->json, extra[i].member);
                _cleanup_free_ char *safe = NULL;

                if (json_is_string(value))
                        safe = terminal_escape(json_string_value(value), json_string_length(value), NULL);
                else if (json_is_integer(value))
                        safe = xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
                else
                        continue;
                extend(&text, "%s%s%s %s", text, separator, extra[i].label, safe);
                separator = ", ";
        }
        if (*separator == ',')
                extend(&text, "%s)", text);
        if (a->retry_after > 0)
                extend(&text, "%s; try again in %u s", text, a->retry_after);
        if (a->status == 401)
                extend(&text, "%s\nGive a key with --key-file or the environment variable SANDBOXD_KEY.", text);
        return text;
}
