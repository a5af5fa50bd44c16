/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/text.h"
#include "fetch/fetch-internal.h"

#define SOCKET_PATH_MAX 107U
#define ADDRESS_AGE_USEC (30 * USEC_PER_SEC) /* it is looked up again */
#define LOOK_UP_AGAIN_USEC USEC_PER_SEC      /* after it was of no use */

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
        s->authority = strndup(text, n);
        if (!s->authority)
                return -ENOMEM;
        if (end == text + n)
                return 0;

        char port[8];
        uint64_t number;
        size_t length = (size_t) (text + n - end);
        if (*end != ':' || length < 2 || length >= sizeof port)
                return -EINVAL;
        memcpy(port, end + 1, length - 1);
        port[length - 1] = '\0';
        if (parse_unsigned(port, &number) < 0 || number < 1 || number > 65535)
                return -EINVAL;
        s->port = (uint16_t) number;
        return 0;
}

int fetch_server_new(Fetcher *f, const char *url, FetchServer **ret) {
        _cleanup_(fetch_server_freep) FetchServer *s = calloc(1, sizeof *s);
        int r = 0;

        if (!s)
                return -ENOMEM;
        s->fetcher = f;
        TAILQ_INIT(&s->idle);
        if (strncmp(url, "unix:/", 6) == 0 || strncmp(url, "unix:@", 6) == 0) {
                if (strlen(url + 5) > SOCKET_PATH_MAX)
                        return -EINVAL;
                s->path = strdup(url + 5);
                s->url = strdup("http://localhost/");
                s->authority = strdup("localhost");
        } else {
                const char *authority = strncmp(url, "http://", 7) == 0    ? url + 7
                                        : strncmp(url, "https://", 8) == 0 ? url + 8
                                                                           : NULL;
                if (!authority)
                        return -EINVAL;
                s->tls = authority != url + 7;
                s->port = s->tls ? 443 : 80;
                r = read_authority(s, authority);
                if (r < 0)
                        return r;
                s->is_name = !is_numeric(s->host);
                s->url = strdup(url);
        }
        if (!s->url || !s->authority || (!s->path && !s->host))
                return -ENOMEM;
        *ret = take_ptr(s);
        return 0;
}

static void drop_idle(FetchServer *s) {
        Wire *w;

        while ((w = TAILQ_FIRST(&s->idle)))
                (void) wire_free(w);
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
        if (f->handle && f->handle->server == s)
                f->handle->server = NULL;
        drop_idle(s);
        if (s->freed)
                *s->freed = true;
        s->query = name_query_free(s->query);
        for (size_t i = 0; i < s->n_addresses; i++)
                free(s->addresses[i]);
        free(s->connect_to);
        free(s->url);
        free(s->authority);
        free(s->host);
        free(s->path);
        free(s);
        return NULL;
}

int server_address(const FetchServer *s, struct sockaddr_storage *ret, socklen_t *ret_size) {
        const char *host = s->is_name ? (s->n_addresses > 0 ? s->addresses[s->address] : "") : s->host;
        union {
                struct sockaddr_storage storage;
                struct sockaddr_un un;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
        } a = { 0 };
        socklen_t size;

        if (s->path) {
                size_t n = strlen(s->path);
                a.un.sun_family = AF_UNIX;
                memcpy(a.un.sun_path, s->path, MIN(n, sizeof a.un.sun_path - 1));
                size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n + 1);
                if (s->path[0] == '@') {
                        a.un.sun_path[0] = '\0';
                        size--;
                }
        } else if (inet_pton(AF_INET, host, &a.in.sin_addr) == 1) {
                a.in.sin_family = AF_INET;
                a.in.sin_port = htons(s->port);
                size = sizeof a.in;
        } else if (inet_pton(AF_INET6, host, &a.in6.sin6_addr) == 1) {
                a.in6.sin6_family = AF_INET6;
                a.in6.sin6_port = htons(s->port);
                size = sizeof a.in6;
        } else
                return -EHOSTUNREACH;
        *ret = a.storage;
        *ret_size = size;
        return 0;
}

/* --- addresses of a name --- */

bool server_needs_address(const FetchServer *s) {
        return s->is_name && !s->connect_to;
}

static int set_address(FetchServer *s, const char *address) {
        FetchHandle *h;
        Fetch *f;
        char *rule;

        if (asprintf(&rule, strchr(address, ':') ? "::[%s]:" : "::%s:", address) < 0)
                return -ENOMEM;
        if (s->connect_to && strcmp(s->connect_to, rule) == 0) {
                free(rule);
                return 0;
        }
        free(s->connect_to);
        s->connect_to = rule;
        TAILQ_FOREACH(h, &s->fetcher->spare, entry)
        if (h->server == s)
                h->server = NULL; /* its options are set anew */
        TAILQ_FOREACH(f, &s->fetcher->active, entry)
        if (f->handle && f->handle->server == s)
                f->handle->server = NULL; /* for the next request */
        s->generation++;
        drop_idle(s);
        return 0;
}

void server_next_address(FetchServer *s) {
        if (s->n_addresses > 1) {
                s->address = (s->address + 1) % s->n_addresses;
                (void) set_address(s, s->addresses[s->address]);
        }
        s->looked_up = MIN(s->looked_up, clock_monotonic() - ADDRESS_AGE_USEC + LOOK_UP_AGAIN_USEC);
}

/* Keeps to the address that is in use, if it is still one of them. */
static void take_addresses(FetchServer *s, const char *const *addresses, size_t n) {
        const char *current = s->n_addresses > 0 ? s->addresses[s->address] : NULL;
        size_t chosen = 0;

        for (size_t i = 0; current && i < n; i++)
                if (strcmp(addresses[i], current) == 0)
                        chosen = i;
        for (size_t i = 0; i < s->n_addresses; i++)
                free(s->addresses[i]);
        s->n_addresses = s->address = 0;
        for (size_t i = 0; i < n && (s->addresses[i] = strdup(addresses[i])); i++)
                s->n_addresses++;
        if (s->n_addresses == 0)
                return;
        s->address = MIN(chosen, s->n_addresses - 1);
        (void) set_address(s, s->addresses[s->address]);
}

static Fetch *next_waiting(FetchServer *s) {
        Fetch *f;

        TAILQ_FOREACH(f, &s->fetcher->active, entry)
        if (f->waiting && f->server == s)
                return f;
        return NULL;
}

static void on_addresses(const char *const *addresses, size_t n, void *userdata) {
        FetchServer *s = userdata;
        bool freed = false;
        Fetch *f;

        s->query = NULL;
        if (n > 0)
                take_addresses(s, addresses, n);
        while ((f = next_waiting(s))) {
                if (f->handle)
                        f->handle->server = NULL;
                if (!server_needs_address(s) && fetch_begin(f) == 0)
                        continue;
                f->waiting = false;
                s->freed = &freed; /* by who is told, maybe */
                fetch_finish(f, CURLE_COULDNT_RESOLVE_HOST);
                if (freed)
                        return;
                s->freed = NULL;
        }
}

void server_look_up(FetchServer *s) {
        Fetcher *f = s->fetcher;
        usec_t now = clock_monotonic(), age = server_needs_address(s) ? 0 : ADDRESS_AGE_USEC;

        if (!s->is_name || s->query || (s->looked_up && now < s->looked_up + age))
                return;
        s->looked_up = now;
        if (f->names || names_new(f->event, &f->names) >= 0)
                (void) names_look_up(f->names, s->host, on_addresses, s, &s->query);
}
