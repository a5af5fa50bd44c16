/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "conf/conf.h"

/* API keys as configured: NAME:SHA256, the lower case hex digest of the key itself. */

#define API_KEYS_MAX 1024U
#define API_KEY_NAME_MAX 64U
#define API_KEY_MAX 512U /* bytes of a key */

typedef struct ApiKey {
        char *name; /* owned */
        uint8_t digest[32];
} ApiKey;

typedef struct ApiKeys {
        ApiKey *list; /* owned; names and digests differ from each other */
        size_t n;
} ApiKeys;

bool api_key_name_is_valid(const char *name, size_t length);

void api_keys_clear(ApiKeys *keys);

/* Adds NAME:SHA256 (of @length bytes). Returns 0, -EINVAL with @error set to what was expected, or -ENOMEM. */
int api_keys_add(ApiKeys *keys, const char *text, size_t length, Error *error);

/* Adds the keys of a file, one NAME:SHA256 a line; no file is fine, "#" begins a comment line. */
int api_keys_add_file(ApiKeys *keys, const char *path, Error *error);

/* Whose key is it? NULL: nobody's. */
const ApiKey *api_keys_find(const ApiKeys *keys, const char *key);

ConfParse conf_parse_keys; /* [ApiKeys] the value of [Auth] Keys= */
