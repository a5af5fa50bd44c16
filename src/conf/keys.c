/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conf/keys.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLANKS " \t\r"

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

static bool parse_digest(const char *text, size_t length, uint8_t digest[static 32]) {
        if (length != 64)
                return false;
        for (size_t i = 0; i < 32; i++) {
                int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
                if (high < 0 || low < 0)
                        return false;
                digest[i] = (uint8_t) (high << 4 | low);
        }
        return true;
}

bool api_key_name_is_valid(const char *name, size_t length) {
        if (length == 0 || length > API_KEY_NAME_MAX)
                return false;
        for (size_t i = 0; i < length; i++) {
                char c = name[i];
                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                            c == '_' || c == '.'))
                        return false;
        }
        return true;
}

int api_keys_add(ApiKeys *keys, const char *text, size_t length, Error *error) {
        const char *colon = memchr(text, ':', length);
        size_t name_length = colon ? (size_t) (colon - text) : 0;
        uint8_t digest[32];

        /* What was written stays out of the message: it may be a key that was taken for its digest. */
        if (!api_key_name_is_valid(text, name_length))
                return error_set(error, ERROR_INVALID_VALUE,
                        "expected NAME:SHA256, the name at most %u letters, digits, \"-\", \"_\" and \".\"",
                        API_KEY_NAME_MAX);
        if (!parse_digest(colon + 1, length - name_length - 1, digest))
                return error_set(error, ERROR_INVALID_VALUE,
                        "key %.*s: expected the key's SHA-256 as 64 lower case hex digits (printf %%s KEY | sha256sum)",
                        (int) name_length, text);
        if (keys->n == API_KEYS_MAX)
                return error_set(error, ERROR_INVALID_VALUE, "expected at most %u keys", API_KEYS_MAX);

        for (size_t i = 0; i < keys->n; i++) {
                const ApiKey *k = keys->list + i;
                if (strlen(k->name) == name_length && memcmp(k->name, text, name_length) == 0)
                        return error_set(error, ERROR_INVALID_VALUE, "two keys are named %s", k->name);
                if (memcmp(k->digest, digest, sizeof digest) == 0)
                        return error_set(error, ERROR_INVALID_VALUE, "%s and %.*s are the same key", k->name,
                                (int) name_length, text);
        }

        ApiKey *list = reallocarray(keys->list, keys->n + 1, sizeof *list);
        if (!list)
                return -ENOMEM;
        keys->list = list;

        char *name = strndup(text, name_length);
        if (!name)
                return -ENOMEM;
        ApiKey *k = list + keys->n++;
        k->name = name;
        memcpy(k->digest, digest, sizeof digest);
        return 0;
}

void api_keys_clear(ApiKeys *keys) {
        for (size_t i = 0; i < keys->n; i++)
                free(keys->list[i].name);
        free(keys->list);
        *keys = (ApiKeys){ 0 };
}

int conf_parse_keys(const ConfSetting *s, const char *value, bool more, void *field, Error *error) {
        ApiKeys *keys = field;

        assert(s->size == sizeof *keys);

        if (!more)
                api_keys_clear(keys);
        for (;;) {
                value += strspn(value, BLANKS);
                size_t length = strcspn(value, BLANKS);
                if (length == 0)
                        return 0;
                int r = api_keys_add(keys, value, length, error);
                if (r < 0)
                        return r;
                value += length;
        }
}

int api_keys_add_file(ApiKeys *keys, const char *path, Error *error) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        unsigned number = 0;

        int r = conf_read_file(path, &text, &size, error);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;

        for (const char *p = text; p < text + size;) {
                _cleanup_error_ Error more = { 0 };
                const char *newline = memchr(p, '\n', (size_t) (text + size - p));
                const char *end = newline ?: text + size;
                const char *start = p;

                number++;
                while (start < end && (*start == ' ' || *start == '\t'))
                        start++;
                while (end > start && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
                        end--;
                p = newline ? newline + 1 : text + size;
                if (start == end || *start == '#')
                        continue;

                r = api_keys_add(keys, start, (size_t) (end - start), &more);
                if (r < 0) {
                        (void) error_set(error, r == -ENOMEM ? ERROR_INTERNAL : ERROR_INVALID_VALUE, "%s:%u: %s.", path,
                                number, more.detail ?: "out of memory");
                        return r;
                }
        }
        return 0;
}

int api_keys_add_given(ApiKeys *keys, const char *copy, Error *error) {
        _cleanup_free_ char *path = NULL;

        int r = conf_find_secret("api-keys", copy, &path);
        return r <= 0 ? r : api_keys_add_file(keys, path, error);
}

void api_keys_follow(ApiKeys *keys, const ApiKeys *old) {
        keys->needed = keys->n == 0 && api_keys_are_needed(old);
}

bool api_keys_are_needed(const ApiKeys *keys) {
        return keys->n > 0 || keys->needed;
}

static const ApiKey *find_name(const ApiKeys *keys, const char *name) {
        for (size_t i = 0; i < keys->n; i++)
                if (strcmp(keys->list[i].name, name) == 0)
                        return keys->list + i;
        return NULL;
}

bool api_keys_agree(const ApiKeys *a, const ApiKeys *b, const char *name) {
        const ApiKey *x = find_name(a, name), *y = find_name(b, name);

        return x && y ? memcmp(x->digest, y->digest, sizeof x->digest) == 0 : x == y;
}

const ApiKey *api_keys_find(const ApiKeys *keys, const char *key) {
        uint8_t digest[crypto_hash_sha256_BYTES];
        const ApiKey *found = NULL;
        size_t length = strlen(key);

        if (length == 0 || length > API_KEY_MAX)
                return NULL;
        (void) crypto_hash_sha256(digest, (const unsigned char *) key, length);
        /* all are compared, each in constant time: how long it takes says nothing */
        for (size_t i = 0; i < keys->n; i++)
                if (sodium_memcmp(keys->list[i].digest, digest, sizeof digest) == 0)
                        found = keys->list + i;
        return found;
}
