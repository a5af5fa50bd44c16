/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sodium.h>
#include <string.h>

#include "daemon/manager.h"

#define KEY_MAX 512U

int manager_authenticate(const char *key, char **owner, void *userdata, Error *error) {
        Manager *m = CONTAINER_OF(userdata, Manager, api);
        const Config *c = m->config;
        uint8_t digest[crypto_hash_sha256_BYTES];
        const ConfigKey *found = NULL;

        if (c->n_keys == 0)
                return 0;
        size_t length = key ? strlen(key) : 0;
        if (length > 0 && length <= KEY_MAX) {
                (void) crypto_hash_sha256(digest, (const unsigned char *) key, length);
                /* all are compared, each in constant time: how long it takes says nothing */
                for (size_t i = 0; i < c->n_keys; i++)
                        if (sodium_memcmp(c->keys[i].digest, digest, sizeof digest) == 0)
                                found = &c->keys[i];
        }
        if (!found)
                return error_set(error, ERROR_UNAUTHORIZED,
                        key ? "This key is not known here."
                            : "Give a key: \"Authorization: Bearer KEY\" or \"X-API-Key: KEY\".");
        *owner = strdup(found->name);
        return *owner ? 0 : -ENOMEM;
}
