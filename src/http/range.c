/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/range.h"

#include <string.h>
#include <strings.h>
#include <time.h>

/* Reads digits. Returns what follows them, NULL when there are none or they are too large a number. */
static const char *read_number(const char *p, uint64_t *ret) {
        const char *start = p;

        *ret = 0;
        for (; *p >= '0' && *p <= '9'; p++)
                if (__builtin_mul_overflow(*ret, UINT64_C(10), ret) ||
                        __builtin_add_overflow(*ret, (uint64_t) (*p - '0'), ret))
                        return NULL;
        return p > start ? p : NULL;
}

static const char *skip_blanks(const char *p) {
        return p + strspn(p, " \t");
}

int range_parse(const char *header, uint64_t size, uint64_t *ret_start, uint64_t *ret_length) {
        uint64_t first, last = UINT64_MAX;

        if (strncasecmp(header, "bytes", 5) != 0)
                return 0;
        const char *p = skip_blanks(header + 5);
        if (*p++ != '=')
                return 0;
        p = skip_blanks(p);
        if (*p == '-') { /* so many at the end */
                p = read_number(p + 1, &last);
                if (!p || *skip_blanks(p))
                        return 0;
                if (last == 0 || size == 0)
                        return -ERANGE;
                *ret_length = MIN(last, size);
                *ret_start = size - *ret_length;
                return 1;
        }
        p = read_number(p, &first);
        if (!p || *p++ != '-')
                return 0;
        if (*p >= '0' && *p <= '9') {
                p = read_number(p, &last);
                if (!p || last < first)
                        return 0;
        }
        if (*skip_blanks(p))
                return 0;
        if (first >= size)
                return -ERANGE;
        *ret_start = first;
        *ret_length = MIN(last, size - 1) - first + 1;
        return 1;
}

bool etag_list_has(const char *list, const char *tag, bool weak) {
        size_t n = strlen(tag);

        for (const char *p = skip_blanks(list); *p; p = skip_blanks(p)) {
                bool is_weak = strncmp(p, "W/", 2) == 0;
                if (*p == '*')
                        return true;
                if (is_weak)
                        p += 2;
                if (*p != '"')
                        return false;
                const char *end = strchr(++p, '"');
                if (!end)
                        return false;
                if ((size_t) (end - p) == n && memcmp(p, tag, n) == 0 && (weak || !is_weak))
                        return true;
                p = skip_blanks(end + 1);
                if (*p == ',')
                        p++;
        }
        return false;
}

bool etag_read(const char *header, char *buf, size_t size) {
        const char *p = skip_blanks(header);

        if (*p++ != '"')
                return false;
        size_t n = strcspn(p, "\"");
        if (p[n] != '"' || *skip_blanks(p + n + 1) || n >= size)
                return false;
        memcpy(buf, p, n);
        buf[n] = '\0';
        return true;
}

char *http_date(usec_t realtime, char buf[static HTTP_DATE_MAX]) {
        time_t seconds = (time_t) (realtime / USEC_PER_SEC);
        struct tm t;

        /* in the C locale, which is the daemon's */
        if (!gmtime_r(&seconds, &t) || strftime(buf, HTTP_DATE_MAX, "%a, %d %b %Y %H:%M:%S GMT", &t) == 0)
                return NULL;
        return buf;
}
