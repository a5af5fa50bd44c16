/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/escape.h"

size_t escape_filter(Escape *e, const char *typed, size_t size, char *out, bool *ret_left) {
        size_t n = 0;

        for (size_t i = 0; i < size; i++) {
                char c = typed[i];
                if (e->tilde) {
                        e->tilde = false;
                        if (c == '.') {
                                *ret_left = true;
                                return n;
                        }
                        out[n++] = '~';
                        if (c == '~')
                                continue;
                } else if (e->line_start && c == '~') {
                        e->line_start = false;
                        e->tilde = true;
                        continue;
                }
                out[n++] = c;
                e->line_start = c == '\r' || c == '\n';
        }
        return n;
}
