/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "coord/coord.h"
#include "coord/outgoing.h"

static int check_key(const Coordinator *c, const HttpRequest *r, const char *key, char **owner, Error *error) {
        const ApiKeys *keys = &c->config->keys;

        if (!api_keys_are_needed(keys))
                return c->config->allow_anonymous ? 0 : http_request_check_anonymous(r, error);
        const ApiKey *found = key ? api_keys_find(keys, key) : NULL;
        if (!found)
                return error_set(error, ERROR_UNAUTHORIZED,
                        key ? "This key is not known here."
                            : "Give a key: \"Authorization: Bearer KEY\" or \"X-API-Key: KEY\".");
        *owner = strdup(found->name);
        return *owner ? 0 : -ENOMEM;
}

int coord_authenticate(const HttpRequest *r, const char *key, char **owner, void *userdata, Error *error) {
        Coordinator *c = userdata;
        char address[CLIENT_ADDRESS_MAX];

        /* also of who has no key: it might try many */
        int k = rate_limiter_take_address(c->rates, &c->config->rate, client_address(c, r, address), error);
        if (k >= 0)
                k = check_key(c, r, key, owner, error);
        return k < 0 ? k : rate_limiter_take_key(c->rates, &c->config->rate, *owner, error);
}

typedef struct Change {
        const ApiKeys *old, *new;
} Change;

static bool is_revoked(const HttpRequest *r, void *userdata) {
        const Change *change = userdata;
        const char *owner = http_request_owner(r);

        return owner && !api_keys_agree(change->old, change->new, owner);
}

void coord_revoke_keys(Coordinator *c, const CoordConfig *old) {
        Change change = { .old = &old->keys, .new = &c->config->keys };

        http_server_close(c->server, is_revoked, &change);
}
