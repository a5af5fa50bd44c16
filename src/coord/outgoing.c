/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/outgoing.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --- where it came from --- */

/* The last entry of the list before @end. Returns where it begins, or NULL when there is none or it is too long. */
static const char *last_entry(const char *list, const char *end, char buf[static CLIENT_ADDRESS_MAX]) {
        const char *start = end;

        while (start > list && start[-1] != ',')
                start--;
        const char *p = start;
        while (p < end && *p == ' ')
                p++;
        while (end > p && end[-1] == ' ')
                end--;
        if (p == end || (size_t) (end - p) >= CLIENT_ADDRESS_MAX)
                return NULL;
        memcpy(buf, p, (size_t) (end - p));
        buf[end - p] = '\0';
        return start;
}

const char *client_address(const Coordinator *c, const HttpRequest *r, char buf[static CLIENT_ADDRESS_MAX]) {
        const AddressRanges *trusted = &c->config->trusted_proxies;
        const char *list = http_request_header(r, "X-Forwarded-For"), *address = http_request_address(r, buf);
        const char *end = list ? list + strlen(list) : NULL;

        /* from the last one on: the first that is no proxy of ours has added nothing that we believe */
        while (list && end > list && address_ranges_have(trusted, address)) {
                char entry[CLIENT_ADDRESS_MAX];
                const char *start = last_entry(list, end, entry);
                if (!start)
                        break;
                memcpy(buf, entry, sizeof entry);
                address = buf;
                end = start > list ? start - 1 : list;
        }
        return address;
}

/* --- the head --- */

int outgoing_add(Outgoing *o, const char *name, const char *value) {
        if (o->n == OUTGOING_MAX) {
                o->full = true;
                return -ENAMETOOLONG;
        }
        o->headers[o->n++] = (FetchHeader){ name, value };
        return 0;
}

static int copy_header(const char *name, const char *value, void *userdata) {
        Outgoing *o = userdata;

        if (header_is_hop(name) || strncasecmp(name, HEADER_PREFIX, strlen(HEADER_PREFIX)) == 0 ||
                strcasecmp(name, "X-Request-Id") == 0 || strcasecmp(name, "X-Forwarded-For") == 0)
                return 0;
        if (o->connection && header_has_token(o->connection, name))
                return 0;
        if (o->authorization[0] && (strcasecmp(name, "Authorization") == 0 || strcasecmp(name, "X-API-Key") == 0))
                return 0;
        return outgoing_add(o, name, value);
}

static void add_forwarded(Outgoing *o) {
        char address[CLIENT_ADDRESS_MAX];
        const char *former = http_request_header(o->request, "X-Forwarded-For"),
                   *peer = http_request_address(o->request, address);

        if (!peer[0])
                return;
        if (former && address_ranges_have(&o->coord->config->trusted_proxies, peer) && strlen(former) <= 440)
                (void) snprintf(o->forwarded, sizeof o->forwarded, "%.440s, %s", former, peer);
        else
                (void) snprintf(o->forwarded, sizeof o->forwarded, "%s", peer);
        (void) outgoing_add(o, "X-Forwarded-For", o->forwarded);
}

int outgoing_make(Outgoing *o, const Coordinator *c, const HttpRequest *r, const Worker *w, Error *error) {
        const char *upgrade = http_request_header(r, "Upgrade"), *owner = http_request_owner(r);

        o->n = 0;
        o->full = false;
        o->request = r;
        o->coord = c;
        o->connection = http_request_header(r, "Connection");
        o->upgrade = upgrade && o->connection && header_has_token(o->connection, "upgrade");
        o->authorization[0] = '\0';
        if (c->config->worker_key[0])
                (void) snprintf(o->authorization, sizeof o->authorization, "Bearer %s", c->config->worker_key);

        (void) http_request_each_header(r, copy_header, o);
        (void) outgoing_add(o, "X-Request-Id", http_request_id(r));
        if (w->token[0])
                (void) outgoing_add(o, HEADER_TOKEN, w->token);
        if (owner)
                (void) outgoing_add(o, HEADER_OWNER, owner);
        if (o->authorization[0])
                (void) outgoing_add(o, "Authorization", o->authorization);
        add_forwarded(o);
        if (o->upgrade) {
                (void) outgoing_add(o, "Connection", "Upgrade");
                (void) outgoing_add(o, "Upgrade", upgrade);
        }
        if (o->full)
                return error_set(error, ERROR_HEADERS_TOO_LARGE, "The request has too many headers.");
        return 0;
}
