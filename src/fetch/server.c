/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "fetch/fetch-internal.h"

#define SOCKET_PATH_MAX 107U

static bool is_numeric(const char *host) {
        unsigned char address[sizeof(struct in6_addr)];

        return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* Host names and addresses are short and plain; anything else is a mistake of whoever wrote the URL. */
static bool host_is_valid(const char *host) {
        size_t n = strlen(host);

        return n > 0 && n <= 253 && host[0] != '-' && host[0] != '.' &&
               (is_numeric(host) ||
                       strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == n);
}

/* HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT, with a final "/" at most. */
static int read_authority(FetchServer *s, const char *text) {
        size_t n = strlen(text);
        const char *end;

        if (n > 0 && text[n - 1] == '/')
                n--;
        if (n > 0 && text[0] == '[') {
                end = memchr(text, ']', n);
                if (!end)
                        return -EINVAL;
                s->host = strndup(text + 1, (size_t) (end - text - 1));
                end++;
        } else {
                end = memchr(text, ':', n);
                if (!end)
                        end = text + n;
                s->host = strndup(text, (size_t) (end - text));
        }
        if (!s->host)
                return -ENOMEM;
        if (!host_is_valid(s->host) || (strchr(s->host, ':') && text[0] != '['))
                return -EINVAL;
        if (end == text + n)
                return 0;

        char port[8];
        uint64_t number;
        size_t length = (size_t) (text + n - end);
        if (*end != ':' || length < 2 || length >= sizeof port)
                return -EINVAL;
        memcpy(port, end + 1, length - 1);
        port[length - 1] = '\0';
        return parse_unsigned(port, &number) == 0 && number >= 1 && number <= 65535 ? 0 : -EINVAL;
}

int fetch_server_new(Fetcher *f, const char *url, FetchServer **ret) {
        _cleanup_(fetch_server_freep) FetchServer *s = calloc(1, sizeof *s);
        int r = 0;

        if (!s)
                return -ENOMEM;
        s->fetcher = f;
        if (strncmp(url, "unix:/", 6) == 0) {
                if (strlen(url + 5) > SOCKET_PATH_MAX)
                        return -EINVAL;
                s->path = strdup(url + 5);
                s->url = strdup("http://localhost/");
        } else {
                const char *authority = strncmp(url, "http://", 7) == 0    ? url + 7
                                        : strncmp(url, "https://", 8) == 0 ? url + 8
                                                                           : NULL;
                if (!authority)
                        return -EINVAL;
                r = read_authority(s, authority);
                if (r < 0)
                        return r;
                s->needs_address = !is_numeric(s->host);
                s->url = strdup(url);
        }
        if (!s->url || (!s->path && !s->host))
                return -ENOMEM;
        *ret = take_ptr(s);
        return 0;
}

FetchServer *fetch_server_free(FetchServer *s) {
        FetchHandle *h;
        Fetch *f;

        if (!s)
                return NULL;
        TAILQ_FOREACH(h, &s->fetcher->spare, entry)
        if (h->server == s)
                h->server = NULL;
        TAILQ_FOREACH(f, &s->fetcher->active, entry) /* over, but not freed yet */
        if (f->handle->server == s)
                f->handle->server = NULL;
        free(s->connect_to);
        free(s->url);
        free(s->host);
        free(s->path);
        free(s);
        return NULL;
}

const char *fetch_server_host(const FetchServer *s) {
        return s->host;
}

bool fetch_server_needs_address(const FetchServer *s) {
        return s->needs_address;
}

int fetch_server_set_address(FetchServer *s, const char *address) {
        FetchHandle *h;
        char *rule;

        if (!is_numeric(address))
                return -EINVAL;
        if (asprintf(&rule, strchr(address, ':') ? "::[%s]:" : "::%s:", address) < 0)
                return -ENOMEM;
        if (s->connect_to && strcmp(s->connect_to, rule) == 0) {
                free(rule);
                return 0;
        }
        free(s->connect_to);
        s->connect_to = rule;
        s->needs_address = false;
        TAILQ_FOREACH(h, &s->fetcher->spare, entry)
        if (h->server == s)
                h->server = NULL; /* its options are set anew */
        return 0;
}
