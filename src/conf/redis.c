/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conf/redis.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define TEXT_MAX 256U
#define HOST_MAX 253U
#define SOCKET_PATH_MAX 107U

static int copy_text(const char *text, char **field) {
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        free(*field);
        *field = copy;
        return 0;
}

int conf_parse_redis_text(
        const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        assert(s->size == sizeof(char *));

        if (strlen(value) > TEXT_MAX || strpbrk(value, " \t\r\n"))
                return -EINVAL;
        return copy_text(value, field);
}

/* As with URLs of servers: a name or an address, no port. */
static bool host_is_valid(const char *host) {
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
        unsigned char address[sizeof(struct in6_addr)];
        size_t n = strlen(host);

        if (strchr(host, ':'))
                return inet_pton(AF_INET6, host, address) == 1;
        return n <= HOST_MAX && *host != '-' && *host != '.' && strspn(host, letters) == n;
}

int conf_parse_redis_host(
        const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        assert(s->size == sizeof(char *));

        if (*value == '/' ? strlen(value) > SOCKET_PATH_MAX || strpbrk(value, " \t\r\n") : !host_is_valid(value))
                return -EINVAL;
        return copy_text(value, field);
}

void redis_settings_clear(RedisSettings *s) {
        if (s->password)
                explicit_bzero(s->password, strlen(s->password));
        free(s->host);
        free(s->user);
        free(s->password);
        free(s->ca_file);
        *s = (RedisSettings){ 0 };
}

bool redis_settings_equal(const RedisSettings *a, const RedisSettings *b) {
        return strcmp(a->host, b->host) == 0 && a->port == b->port && a->database == b->database &&
               strcmp(a->user, b->user) == 0 && strcmp(a->password, b->password) == 0 && a->tls == b->tls &&
               strcmp(a->ca_file, b->ca_file) == 0 && a->timeout == b->timeout;
}
