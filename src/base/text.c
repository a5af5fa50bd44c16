/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"

#include <string.h>
#include <strings.h>
#include <time.h>

/* <ctype.h> asks the locale; what is parsed here is ASCII and nothing else. */
static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static char to_lower(char c) {
        return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static int multiply(uint64_t a, uint64_t b, uint64_t *ret) {
        return __builtin_mul_overflow(a, b, ret) ? -ERANGE : 0;
}

/* Reads the digits at *@p, of which there must be one, and moves *@p behind them. */
static int take_digits(const char **p, uint64_t *ret) {
        const char *s = *p;
        uint64_t n = 0;
        int r = 0;

        if (!is_digit(*s))
                return -EINVAL;

        for (; is_digit(*s); s++)
                if (__builtin_mul_overflow(n, UINT64_C(10), &n) || __builtin_add_overflow(n, (uint64_t) (*s - '0'), &n))
                        r = -ERANGE; /* go on: what follows may turn out to be -EINVAL's business */

        *p = s;
        *ret = n;
        return r;
}

int parse_unsigned(const char *text, uint64_t *ret) {
        uint64_t n;

        assert(text);
        assert(ret);

        int r = take_digits(&text, &n);
        if (r == -EINVAL || *text)
                return -EINVAL;
        if (r < 0)
                return r;

        *ret = n;
        return 0;
}

int parse_boolean(const char *text, bool *ret) {
        static const char *const yes[] = { "yes", "true", "on", "1" };
        static const char *const no[] = { "no", "false", "off", "0" };

        assert(text);
        assert(ret);

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                if (strcmp(text, yes[i]) == 0) {
                        *ret = true;
                        return 0;
                }
                if (strcmp(text, no[i]) == 0) {
                        *ret = false;
                        return 0;
                }
        }
        return -EINVAL;
}

int parse_size(const char *text, uint64_t *ret) {
        static const char steps[] = "kmgtpe";
        uint64_t n, factor = 1;

        assert(text);
        assert(ret);

        int r = take_digits(&text, &n);
        if (r == -EINVAL)
                return r;

        const char *step = *text ? strchr(steps, to_lower(*text)) : NULL;
        if (step) {
                factor = UINT64_C(1) << (10 * (step - steps + 1));
                text++;
                if (to_lower(*text) == 'i')
                        text++;
        }
        if (to_lower(*text) == 'b')
                text++;
        if (*text)
                return -EINVAL;
        if (r < 0)
                return r;

        r = multiply(n, factor, &n);
        if (r < 0)
                return r;

        *ret = n;
        return 0;
}

/* Reads ".5" as a fraction of @unit, cut to whole microseconds; nothing there is no fraction. */
static int take_fraction(const char **p, usec_t unit, usec_t *ret) {
        const char *s = *p;
        uint64_t n = 0, scale = 1;

        if (*s == '.') {
                s++;
                if (!is_digit(*s))
                        return -EINVAL;
                for (; is_digit(*s); s++) {
                        if (scale == 1000000000)
                                return -EINVAL; /* finer than any clock here */
                        n = n * 10 + (uint64_t) (*s - '0');
                        scale *= 10;
                }
        }

        *p = s;
        *ret = (usec_t) ((unsigned __int128) n * unit / scale);
        return 0;
}

int parse_duration(const char *text, usec_t *ret) {
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "us", 1 },
                { "ms", USEC_PER_MSEC },
                { "s", USEC_PER_SEC },
                { "min", 60 * USEC_PER_SEC },
                { "h", 3600 * USEC_PER_SEC },
                { "d", 86400 * USEC_PER_SEC },
                { "w", 7 * 86400 * USEC_PER_SEC },
        };
        usec_t sum = 0;
        bool first = true, overflow = false;

        assert(text);
        assert(ret);

        for (;;) {
                const char *number = text;
                usec_t unit = 0, part, fraction;
                uint64_t n;

                int r = take_digits(&text, &n);
                if (r == -EINVAL)
                        return r;
                overflow = overflow || r < 0;

                /* The unit stands behind the fraction but scales it: skip ahead, then come back. */
                const char *point = text;
                text += strspn(text, ".0123456789");
                const char *name = text;
                while (*text >= 'a' && *text <= 'z')
                        text++;
                for (size_t i = 0; i < ELEMENTSOF(units); i++)
                        if (strlen(units[i].name) == (size_t) (text - name) &&
                                strncmp(name, units[i].name, (size_t) (text - name)) == 0)
                                unit = units[i].usec;
                if (name == text && first && !*text && number != text)
                        unit = USEC_PER_SEC; /* a lone number is seconds */
                if (unit == 0)
                        return -EINVAL;

                r = take_fraction(&point, unit, &fraction);
                if (r < 0 || point != name)
                        return -EINVAL;
                if (__builtin_mul_overflow(n, unit, &part) || __builtin_add_overflow(part, fraction, &part) ||
                        __builtin_add_overflow(sum, part, &sum))
                        overflow = true;

                if (!*text)
                        break;
                text += strspn(text, " ");
                first = false;
        }

        if (overflow || sum == USEC_INFINITY)
                return -ERANGE;

        *ret = sum;
        return 0;
}

int parse_cpu_quota(const char *text, uint32_t *ret) {
        uint64_t n, factor = 1;

        assert(text);
        assert(ret);

        int r = take_digits(&text, &n);
        if (r == -EINVAL)
                return r;
        if (*text == '%') {
                factor = 1000; /* a hundredth of the 100 ms period, in microseconds */
                text++;
        }
        if (*text)
                return -EINVAL;
        if (r < 0)
                return r;

        r = multiply(n, factor, &n);
        if (r < 0)
                return r;
        if (n > UINT32_MAX)
                return -ERANGE;

        *ret = (uint32_t) n;
        return 0;
}

char *put_digits(char *p, uint64_t value, unsigned width) {
        unsigned n = 1;

        for (uint64_t rest = value / 10; rest > 0; rest /= 10)
                n++;
        n = MAX(n, width);
        for (unsigned i = n; i > 0; i--) {
                p[i - 1] = (char) ('0' + value % 10);
                value /= 10;
        }
        p[n] = '\0';
        return p + n;
}

char *format_timestamp(usec_t realtime, char buf[static TIMESTAMP_MAX]) {
        static const usec_t last = UINT64_C(253402300799999999); /* the end of year 9999, the form's last */
        struct tm tm = { 0 };

        realtime = MIN(realtime, last);
        time_t seconds = (time_t) (realtime / USEC_PER_SEC);
        (void) gmtime_r(&seconds, &tm); /* fails only for years beyond int */

        /* By hand: strftime() follows the locale in parts. */
        char *p = put_digits(buf, (unsigned) tm.tm_year + 1900, 4);
        *p++ = '-';
        p = put_digits(p, (unsigned) tm.tm_mon + 1, 2);
        *p++ = '-';
        p = put_digits(p, (unsigned) tm.tm_mday, 2);
        *p++ = 'T';
        p = put_digits(p, (unsigned) tm.tm_hour, 2);
        *p++ = ':';
        p = put_digits(p, (unsigned) tm.tm_min, 2);
        *p++ = ':';
        p = put_digits(p, (unsigned) tm.tm_sec, 2);
        *p++ = '.';
        p = put_digits(p, (unsigned) (realtime / USEC_PER_MSEC % 1000), 3);
        (void) stpcpy(p, "Z");
        return buf;
}

bool text_is_one_of(const char *text, size_t length, const char *const *words, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (strlen(words[i]) == length && memcmp(words[i], text, length) == 0)
                        return true;
        return false;
}

bool id_is_valid(const char *text) {
        size_t length = 0;

        assert(text);

        for (; text[length]; length++) {
                char c = text[length];
                if (length == ID_MAX || !(is_digit(c) || (c >= 'a' && c <= 'z') || c == '-'))
                        return false;
        }
        return length > 0;
}
