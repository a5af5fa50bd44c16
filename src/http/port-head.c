/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/port-head.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http/headers.h"

#define COOKIE_MAX 8192U

const char *port_target(const char *target, const char *prefix) {
        size_t n = strlen(prefix);

        if (strncmp(target, prefix, n) != 0 || (target[n] != '/' && target[n] != '?' && target[n] != '\0'))
                return NULL;
        return target + n;
}

/* --- the request --- */

static bool is_one_of(const char *name, const char *const *names) {
        for (; *names; names++)
                if (strcasecmp(name, *names) == 0)
                        return true;
        return false;
}

static int add(PortHead *h, const char *name, const char *value) {
        if (h->n == PORT_HEADERS_MAX) {
                h->full = true;
                return -ENAMETOOLONG;
        }
        h->headers[h->n++] = (FetchHeader){ name, value };
        return 0;
}

/* Who the client is and what it may do is not told inside. */
static bool is_secret(const char *name) {
        static const char *const secret[] = { "Authorization", "X-API-Key", "X-Request-Id", "X-Forwarded-For",
                "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Real-IP", "Forwarded", "Host", NULL };

        return is_one_of(name, secret) || strncasecmp(name, HEADER_PREFIX, strlen(HEADER_PREFIX)) == 0;
}

static int copy_header(const char *name, const char *value, void *userdata) {
        PortHead *h = userdata;

        if (header_is_hop(name) || is_secret(name) || (h->connection && header_has_token(h->connection, name)))
                return 0;
        return add(h, name, value);
}

int port_head_make(PortHead *h, const HttpRequest *r, uint16_t port, const char *prefix, Error *error) {
        const char *upgrade = http_request_header(r, "Upgrade"), *host = http_request_header(r, "Host");

        *h = (PortHead){ .connection = http_request_header(r, "Connection") };
        h->upgrade = upgrade && h->connection && header_has_token(h->connection, "upgrade");
        (void) snprintf(h->host, sizeof h->host, "localhost:%u", port);
        (void) add(h, "Host", h->host); /* many servers answer to no other name */
        (void) http_request_each_header(r, copy_header, h);
        if (host)
                (void) add(h, "X-Forwarded-Host", host);
        (void) add(h, "X-Forwarded-Prefix", prefix);
        if (h->upgrade) {
                (void) add(h, "Connection", "Upgrade");
                (void) add(h, "Upgrade", upgrade);
        } else
                (void) add(h, "Connection", "close");
        if (h->full)
                return error_set(error, ERROR_HEADERS_TOO_LARGE, "The request has too many headers.");
        return 0;
}

/* --- the answer --- */

bool port_answer_has(const char *name, const char *connection) {
        /* what a browser would take for said by the whole host, and what this server says itself */
        static const char *const dropped[] = { "Alt-Svc", "Clear-Site-Data", "Date", "NEL", "Public-Key-Pins",
                "Report-To", "Reporting-Endpoints", "Service-Worker-Allowed", "Strict-Transport-Security",
                "WWW-Authenticate", "X-Request-Id", NULL };

        /* a sandbox that asks for a password would be given the one of this server */
        return !header_is_hop(name) && !is_one_of(name, dropped) &&
               strncasecmp(name, HEADER_PREFIX, strlen(HEADER_PREFIX)) != 0 &&
               !(connection && header_has_token(connection, name));
}

/* Where on its own part of this server? Addresses of others stay as they are. */
static char *make_location(const char *value, const char *prefix, uint16_t port) {
        static const char *const names[] = { "localhost", "127.0.0.1" };
        char *text;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char own[40];
                int n = snprintf(own, sizeof own, "http://%s:%u", names[i], port);
                if (strncasecmp(value, own, (size_t) n) == 0 && (value[n] == '/' || value[n] == '\0')) {
                        value = value[n] ? value + n : "/";
                        break;
                }
        }
        if (value[0] != '/' || value[1] == '/')
                return NULL;
        return asprintf(&text, "%s%s", prefix, value) < 0 ? NULL : text;
}

/* A cookie stays with the paths below @prefix. */
static char *make_cookie(const char *value, const char *prefix) {
        size_t size = 2 * strlen(value) + strlen(prefix) + 16, used = 0;
        const char *path = "/";
        size_t path_length = 1;
        char *text = size > COOKIE_MAX ? NULL : malloc(size);

        if (!text)
                return NULL;
        for (const char *p = value; *p;) {
                p += strspn(p, " \t");
                size_t n = strcspn(p, ";");
                if (n >= 5 && strncasecmp(p, "path=", 5) == 0) {
                        path = n > 5 && p[5] == '/' ? p + 5 : "/";
                        path_length = n > 5 && p[5] == '/' ? n - 5 : 1;
                } else if (n > 0 && strncasecmp(p, "domain", 6) != 0) {
                        used += (size_t) sprintf(text + used, "%s", used ? "; " : "");
                        memcpy(text + used, p, n);
                        used += n;
                }
                p += n + (p[n] == ';');
        }
        if (used == 0) {
                free(text);
                return NULL;
        }
        (void) sprintf(text + used, "; Path=%s%.*s", prefix, (int) path_length, path);
        return text;
}

char *port_answer_value(const char *name, const char *value, const char *prefix, uint16_t port, bool *ret_drop) {
        *ret_drop = false;
        if (strcasecmp(name, "Location") == 0 || strcasecmp(name, "Content-Location") == 0)
                return make_location(value, prefix, port);
        if (strcasecmp(name, "Set-Cookie") != 0)
                return NULL;
        char *text = make_cookie(value, prefix);
        *ret_drop = !text;
        return text;
}
