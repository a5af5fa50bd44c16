/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "bus/call.h"
#include "daemon/manager.h"
#include "http/fleet.h"

static bool is_coordinator(const Config *c, const ApiKey *key) {
        size_t n = strlen(key->name);

        for (const char *p = c->coordinators; *p;) {
                size_t length = strcspn(p, " ");
                if (length == n && memcmp(p, key->name, n) == 0)
                        return true;
                p += length;
                p += strspn(p, " ");
        }
        return false;
}

/* "uid:NUMBER": whom the bus knows, here or at a coordinator. */
static bool is_user(const char *name) {
        return strncmp(name, "uid:", 4) == 0 && name[4] && strlen(name) < BUS_OWNER_MAX &&
               strspn(name + 4, "0123456789") == strlen(name + 4);
}

/* @ret_coordinator: it speaks for others, and has counted theirs. */
static int check_key(
        const Config *c, const HttpRequest *r, const char *key, char **owner, bool *ret_coordinator, Error *error) {
        /* who may speak for others says for whom; who speaks for nobody may do everything */
        const char *stated = http_request_header(r, HEADER_OWNER), *name = stated;

        if (api_keys_are_needed(&c->keys)) {
                const ApiKey *found = key ? api_keys_find(&c->keys, key) : NULL;
                if (!found)
                        return error_set(error, ERROR_UNAUTHORIZED,
                                key ? "This key is not known here."
                                    : "Give a key: \"Authorization: Bearer KEY\" or \"X-API-Key: KEY\".");
                *ret_coordinator = is_coordinator(c, found);
                if (!*ret_coordinator) {
                        /* to pass over it would give everything that comes by this key to everybody behind it */
                        if (stated && strcmp(stated, found->name) != 0)
                                return error_set(error, ERROR_FORBIDDEN,
                                        "The key %s may not speak for others: name it in [Auth] Coordinators= of this "
                                        "worker if it is a coordinator's.",
                                        found->name);
                        name = found->name;
                }
        }
        if (!api_keys_are_needed(&c->keys) && !c->allow_anonymous) {
                int k = http_request_check_anonymous(r, error);
                if (k < 0)
                        return k;
        }
        if (!name)
                return 0;
        if (!api_key_name_is_valid(name, strlen(name)) && !is_user(name))
                return error_set_field(error, ERROR_MALFORMED, HEADER_OWNER, NULL, "This is no name of a key.");
        *owner = strdup(name);
        return *owner ? 0 : -ENOMEM;
}

typedef struct Change {
        const Config *old, *new;
        bool coordinators; /* one of theirs is another: who speaks for whom is not known any more */
} Change;

static bool is_revoked(const HttpRequest *r, void *userdata) {
        const Change *change = userdata;
        const char *owner = http_request_owner(r);

        return change->coordinators || (owner && !api_keys_agree(&change->old->keys, &change->new->keys, owner));
}

void manager_revoke_keys(Manager *m, const Config *old) {
        Change change = { .old = old, .new = m->config };

        for (size_t i = 0; i < old->keys.n; i++)
                if (is_coordinator(old, &old->keys.list[i]) &&
                        !api_keys_agree(&old->keys, &m->config->keys, old->keys.list[i].name))
                        change.coordinators = true;
        http_server_close(m->server, is_revoked, &change);
}

int manager_authenticate(const HttpRequest *r, const char *key, char **owner, void *userdata, Error *error) {
        Manager *m = CONTAINER_OF(userdata, Manager, api);
        const Rate *rate = &m->config->rate;
        char address[HTTP_ADDRESS_MAX];
        bool coordinator = false;

        int k = check_key(m->config, r, key, owner, &coordinator, error);
        if (k != -ENOMEM && !coordinator) {
                /* also of who has no key: it might try many */
                Error late = { 0 };
                int q = rate_limiter_take_address(m->rates, rate, http_request_address(r, address), &late);
                if (q >= 0 && k >= 0)
                        q = rate_limiter_take_key(m->rates, rate, *owner, &late);
                if (q < 0) {
                        error_clear(error);
                        *error = late;
                        k = q;
                }
        }
        return k < 0 ? k : http_fleet_check(&m->api, r, error);
}
