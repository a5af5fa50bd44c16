/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "coord/coord.h"

int coord_authenticate(const HttpRequest *r, const char *key, char **owner, void *userdata, Error *error) {
        Coordinator *c = userdata;
        const ApiKeys *keys = &c->config->keys;

        if (keys->n == 0)
                return c->config->allow_anonymous ? 0 : http_request_check_anonymous(r, error);
        const ApiKey *found = key ? api_keys_find(keys, key) : NULL;
        if (!found)
                return error_set(error, ERROR_UNAUTHORIZED,
                        key ? "This key is not known here."
                            : "Give a key: \"Authorization: Bearer KEY\" or \"X-API-Key: KEY\".");
        *owner = strdup(found->name);
        return *owner ? 0 : -ENOMEM;
}
