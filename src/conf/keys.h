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
        bool needed; /* although there are none any more: nobody is let in */
} ApiKeys;

bool api_key_name_is_valid(const char *name, size_t length);

void api_keys_clear(ApiKeys *keys);

/* Adds NAME:SHA256 (of @length bytes). Returns 0, -EINVAL with @error set to what was expected, or -ENOMEM. */
int api_keys_add(ApiKeys *keys, const char *text, size_t length, Error *error);

/* Adds the keys of a file, one NAME:SHA256 a line; no file is fine, "#" begins a comment line. */
int api_keys_add_file(ApiKeys *keys, const char *path, Error *error);

/* Adds those that a service was given, the @copy that follows changes, or else the service's credential "api-keys".
 * Outside of a service there is neither. */
int api_keys_add_given(ApiKeys *keys, const char *copy, Error *error);

/* @keys take the place of @old: when the last one was revoked nobody is let in, rather than everybody. */
void api_keys_follow(ApiKeys *keys, const ApiKeys *old);

/* Does a client need a key? */
bool api_keys_are_needed(const ApiKeys *keys);

/* Is the key of this name the same in both, or in neither? */
bool api_keys_agree(const ApiKeys *a, const ApiKeys *b, const char *name);

/* Whose key is it? NULL: nobody's. */
const ApiKey *api_keys_find(const ApiKeys *keys, const char *key);

ConfParse conf_parse_keys; /* [ApiKeys] the value of [Auth] Keys= */
