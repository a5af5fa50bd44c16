/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/config-parse.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/text.h"

#define SEPARATORS " \t\r,"

int coord_parse_text(const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        char *copy = strdup(value);

        assert(s->size == sizeof(char *));

        if (!copy)
                return -ENOMEM;
        free(*(char **) field);
        *(char **) field = copy;
        return 0;
}

void urls_clear(Urls *urls) {
        for (size_t i = 0; i < urls->n; i++)
                free(urls->list[i]);
        free(urls->list);
        *urls = (Urls){ 0 };
}

/* What is wrong with the rest of it is found when it is used. */
static bool looks_like_url(const char *text, size_t length) {
        static const char *const schemes[] = { "http://", "https://", "unix:/" };

        for (size_t i = 0; i < ELEMENTSOF(schemes); i++)
                if (length > strlen(schemes[i]) && strncmp(text, schemes[i], strlen(schemes[i])) == 0)
                        return true;
        return false;
}

static int add_url(Urls *urls, const char *text, size_t length, Error *error) {
        if (!looks_like_url(text, length))
                return error_set(error, ERROR_INVALID_VALUE,
                        "\"%.*s\" is no address of a worker: expected http://HOST:PORT, https://HOST:PORT or "
                        "unix:/PATH, separated by spaces or commas",
                        (int) MIN(length, (size_t) 100), text);
        if (urls->n == COORD_WORKERS_MAX)
                return error_set(error, ERROR_INVALID_VALUE, "expected at most %u workers", COORD_WORKERS_MAX);
        for (size_t i = 0; i < urls->n; i++)
                if (strlen(urls->list[i]) == length && memcmp(urls->list[i], text, length) == 0)
                        return error_set(error, ERROR_INVALID_VALUE, "%s is there twice", urls->list[i]);
        char **list = reallocarray(urls->list, urls->n + 1, sizeof *list);
        if (!list)
                return -ENOMEM;
        urls->list = list;
        char *url = strndup(text, length);
        if (!url)
                return -ENOMEM;
        list[urls->n++] = url;
        return 0;
}

int coord_parse_urls(const ConfSetting *s, const char *value, bool more, void *field, Error *error) {
        Urls *urls = field;

        assert(s->size == sizeof *urls);

        if (!more)
                urls_clear(urls);
        for (;;) {
                value += strspn(value, SEPARATORS);
                size_t length = strcspn(value, SEPARATORS);
                if (length == 0)
                        return 0;
                int r = add_url(urls, value, length, error);
                if (r < 0)
                        return r;
                value += length;
        }
}

static int parse_address(const char *text, AddressRange *ret) {
        if (inet_pton(AF_INET, text, ret->bytes) == 1) {
                ret->v6 = false;
                ret->bits = 32;
                return 0;
        }
        if (inet_pton(AF_INET6, text, ret->bytes) == 1) {
                ret->v6 = true;
                ret->bits = 128;
                return 0;
        }
        return -EINVAL;
}

static int parse_range(const char *text, size_t length, AddressRange *ret) {
        char copy[64];
        uint64_t bits;

        if (length >= sizeof copy)
                return -EINVAL;
        memcpy(copy, text, length);
        copy[length] = '\0';
        char *slash = strchr(copy, '/');
        if (slash)
                *slash++ = '\0';
        int r = parse_address(copy, ret);
        if (r < 0 || !slash)
                return r;
        if (parse_unsigned(slash, &bits) < 0 || bits > ret->bits)
                return -EINVAL;
        ret->bits = (unsigned) bits;
        return 0;
}

int coord_parse_ranges(const ConfSetting *s, const char *value, bool more, void *field, Error *error) {
        AddressRanges *ranges = field;

        assert(s->size == sizeof *ranges);

        if (!more) {
                free(ranges->list);
                *ranges = (AddressRanges){ 0 };
        }
        for (;;) {
                AddressRange range;
                value += strspn(value, SEPARATORS);
                size_t length = strcspn(value, SEPARATORS);
                if (length == 0)
                        return 0;
                int r = parse_range(value, length, &range);
                if (r < 0)
                        return r;
                if (ranges->n == COORD_PROXIES_MAX)
                        return error_set(error, ERROR_INVALID_VALUE, "expected at most %u", COORD_PROXIES_MAX);
                AddressRange *list = reallocarray(ranges->list, ranges->n + 1, sizeof *list);
                if (!list)
                        return -ENOMEM;
                ranges->list = list;
                list[ranges->n++] = range;
                value += length;
        }
}

static bool is_in(const AddressRange *range, const AddressRange *address) {
        unsigned whole = range->bits / 8, rest = range->bits % 8;

        if (range->v6 != address->v6 || memcmp(range->bytes, address->bytes, whole) != 0)
                return false;
        return rest == 0 || (range->bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0;
}

bool address_ranges_have(const AddressRanges *ranges, const char *address) {
        AddressRange a;

        if (ranges->n == 0 || parse_address(address, &a) < 0)
                return false;
        for (size_t i = 0; i < ranges->n; i++)
                if (is_in(ranges->list + i, &a))
                        return true;
        return false;
}
