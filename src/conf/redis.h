/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "conf/conf.h"

/* The settings of [Redis], which several programs have. */

typedef struct RedisSettings {
        char *host; /* owned: a name, an address, or the path of a socket; "": there is none */
        unsigned port;
        unsigned database;
        char *user;     /* owned, or "" */
        char *password; /* owned, or "" */
        bool tls;
        char *ca_file; /* owned, or "" for the certificates of the system */
        usec_t timeout;
} RedisSettings;

#define REDIS_TIMEOUT_FALLBACK (250 * USEC_PER_MSEC)

void redis_settings_clear(RedisSettings *s);
bool redis_settings_equal(const RedisSettings *a, const RedisSettings *b);
ConfParse conf_parse_redis_host, conf_parse_redis_text;

/* The rows of [Redis] for the table of whatever struct has @member. */
/* clang-format off */
#define REDIS_SETTINGS(type, member)                                                                                   \
        { "Redis", "Host", "REDIS_HOST", conf_parse_redis_host, CONF_MEMBER(type, member.host),                        \
          .fallback = "",                                                                                              \
          .expected = "a host name, an address, or the path of a socket",                                              \
          .description = "Redis server; nothing: none is used" },                                                      \
        { "Redis", "Port", "REDIS_PORT", conf_parse_unsigned, CONF_MEMBER(type, member.port),                          \
          .min = 1, .max = 65535, .fallback = "6379",                                                                  \
          .expected = "a port from 1 to 65535",                                                                        \
          .description = "Port of the Redis server" },                                                                 \
        { "Redis", "Database", "REDIS_DB", conf_parse_unsigned, CONF_MEMBER(type, member.database),                    \
          .max = 65535, .fallback = "0",                                                                               \
          .expected = "a whole number from 0 to 65535",                                                                \
          .description = "Number of the database there" },                                                             \
        { "Redis", "Username", NULL, conf_parse_redis_text, CONF_MEMBER(type, member.user),                                \
          .fallback = "",                                                                                              \
          .expected = "a name of at most 256 letters, without blanks",                                                 \
          .description = "User to log in as; nothing: the default one" },                                              \
        { "Redis", "Password", "REDIS_PASSWORD", conf_parse_redis_text, CONF_MEMBER(type, member.password),            \
          .secret = true, .fallback = "",                                                                              \
          .expected = "a password of at most 256 letters, without blanks",                                             \
          .description = "Password; better given as the credential redis-password" },                                  \
        { "Redis", "TLS", NULL, conf_parse_boolean, CONF_MEMBER(type, member.tls),                                     \
          .fallback = "no",                                                                                            \
          .expected = "yes or no",                                                                                     \
          .description = "Speak TLS; the server's certificate has to be valid for Host=" },                            \
        { "Redis", "CAFile", NULL, conf_parse_redis_text, CONF_MEMBER(type, member.ca_file),                           \
          .fallback = "",                                                                                              \
          .expected = "the path of a file of at most 256 letters, without blanks",                                     \
          .description = "Certificates that are trusted for TLS; nothing: those of the system" },                      \
        { "Redis", "Deadline", NULL, conf_parse_duration, CONF_MEMBER(type, member.timeout),                            \
          .min = 10 * USEC_PER_MSEC, .max = 10 * USEC_PER_SEC, .fallback = "250ms",                                    \
          .expected = "a time from 10ms to 10s, such as 250ms",                                                        \
          .description = "Longest time that anything waits for an answer of Redis" }
/* clang-format on */
