/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "bus/connection-internal.h"

#define MUTE_USEC (10 * USEC_PER_SEC)

static const BusSender *find(const BusConnection *c, const char *name) {
        for (size_t i = 0; i < SENDERS_MAX; i++)
                if (strcmp(c->senders[i].name, name) == 0)
                        return &c->senders[i];
        return NULL;
}

static void remember(BusConnection *c, const char *name, uid_t uid) {
        BusSender *s = &c->senders[c->next_sender];

        size_t length = strlen(name);

        if (length >= sizeof s->name)
                return;
        memcpy(s->name, name, length + 1);
        s->uid = uid;
        c->next_sender = (c->next_sender + 1) % SENDERS_MAX;
}

int bus_connection_sender(BusConnection *c, sd_bus_message *m, uid_t *ret, sd_bus_error *ret_error) {
        const char *name = sd_bus_message_get_sender(m);
        const BusSender *known = name ? find(c, name) : NULL;
        sd_bus_creds *creds = NULL;

        if (known) {
                *ret = known->uid;
                return 0;
        }
        int r = clock_monotonic() < c->mute_until ? -ETIMEDOUT
                                                  : sd_bus_query_sender_creds(m, SD_BUS_CREDS_EUID, &creds);
        if (r == -ETIMEDOUT && c->mute_until <= clock_monotonic())
                c->mute_until = clock_monotonic() + MUTE_USEC;
        if (r >= 0)
                r = sd_bus_creds_get_euid(creds, ret);
        (void) sd_bus_creds_unref(creds);
        if (r < 0)
                return sd_bus_error_setf(
                        ret_error, SD_BUS_ERROR_ACCESS_DENIED, "The bus does not tell whose call this is.");
        if (name)
                remember(c, name, *ret);
        return 0;
}
