/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "coord/config-parse.h"

#define CONFIG_FILE SYSCONFDIR "/sandboxd/coordinator.conf"
#define VENDOR_FILE PKGLIBDIR "/coordinator.conf"

#define MEMBER(m) CONF_MEMBER(CoordConfig, m)

/* clang-format off */
static const ConfSetting settings[] = {
        { "Coordinator", "Workers", "WORKERS", coord_parse_urls, MEMBER(workers),
          .list = true, .fallback = "",
          .expected = "addresses of workers such as http://10.0.0.1:5000, separated by spaces or commas",
          .description = "Workers, in addition to those that are found" },
        { "Coordinator", "Discover", NULL, conf_parse_choice, MEMBER(discover),
          .choices = "auto local none", .fallback = "auto",
          .expected = "auto, local or none",
          .description = "Use the workers of this machine; auto: unless Workers= names some" },
        { "Coordinator", "HealthInterval", NULL, conf_parse_duration, MEMBER(health_interval),
          .min = 100 * USEC_PER_MSEC, .max = 60 * USEC_PER_SEC, .fallback = "2s",
          .expected = "a time from 100ms to 1min, such as 2s",
          .description = "How often each worker is asked how it is" },
        { "Coordinator", "GiveUp", NULL, conf_parse_duration, MEMBER(give_up),
          .min = USEC_PER_SEC, .max = 86400 * USEC_PER_SEC, .fallback = "30s",
          .expected = "a time from 1s to 1d, such as 30s",
          .description = "How long the sessions of a worker that cannot be reached are kept for it" },
        { "Coordinator", "AnswerTimeout", NULL, conf_parse_duration, MEMBER(answer_timeout),
          .min = USEC_PER_SEC, .max = 86400 * USEC_PER_SEC, .fallback = "1min",
          .expected = "a time from 1s to 1d, such as 1min",
          .description = "How long a worker may take to begin an answer, but to commands" },
        { "Coordinator", "WorkerKey", NULL, coord_parse_text, MEMBER(worker_key),
          .secret = true, .fallback = "",
          .expected = "a key",
          .description = "Key that the coordinator itself shows to workers; nothing: the client's is passed on" },

        { "Auth", "Keys", NULL, conf_parse_keys, MEMBER(keys),
          .list = true, .secret = true, .fallback = "",
          .expected = "NAME:SHA256, separated by spaces",
          .description = "API keys, each a name and the SHA-256 of the key; without any, nobody needs a key" },
        { "Auth", "RateLimit", NULL, conf_parse_rate, MEMBER(rate),
          .fallback = "",
          .expected = "a number and a time such as 100/s, 600/min or 5000/h",
          .description = "Most requests of each key, and of each address; nothing: no limit" },
        { "Auth", "MaxSessionsPerKey", NULL, conf_parse_unsigned, MEMBER(sessions_per_key),
          .max = 1000000, .fallback = "",
          .expected = "a whole number up to 1000000, or nothing",
          .description = "Most sessions of each key at a time; nothing or 0: no limit" },
        { "Auth", "AllowAnonymous", NULL, conf_parse_boolean, MEMBER(allow_anonymous),
          .fallback = "no",
          .expected = "yes or no",
          .description = "Listen beyond this machine although there are no keys" },

        REDIS_SETTINGS(CoordConfig, redis),

        { "Http", "MaxBody", NULL, conf_parse_size, MEMBER(body_max),
          .min = 64 * KIB, .max = 1024 * 1024 * MIB, .fallback = "1T",
          .expected = "a size from 64K to 1T, such as 16M",
          .description = "Longest body of a request; workers have limits of their own" },
        { "Http", "MaxConnections", NULL, conf_parse_unsigned, MEMBER(connections_max),
          .min = 1, .max = 65536, .fallback = "16384",
          .expected = "a whole number from 1 to 65536",
          .description = "Most connections of clients at a time" },
        { "Http", "TrustedProxies", NULL, coord_parse_ranges, MEMBER(trusted_proxies),
          .list = true, .fallback = "",
          .expected = "addresses or ranges such as 127.0.0.1 or 10.0.0.0/8, separated by spaces",
          .description = "Proxies whose X-Forwarded-For header says where a request came from" },

        { NULL, NULL, "PORT", conf_parse_unsigned, MEMBER(port),
          .min = 1, .max = 65535, .fallback = "8000",
          .expected = "a port from 1 to 65535",
          .description = "Port on 127.0.0.1 of a coordinator that is started by hand" },
};
/* clang-format on */

static const ConfTable table = { settings, ELEMENTSOF(settings) };

const ConfTable *coord_config_describe(void) {
        return &table;
}

CoordConfig *coord_config_free(CoordConfig *c) {
        if (!c)
                return NULL;

        urls_clear(&c->workers);
        free(c->discover);
        if (c->worker_key)
                explicit_bzero(c->worker_key, strlen(c->worker_key));
        free(c->worker_key);
        api_keys_clear(&c->keys);
        redis_settings_clear(&c->redis);
        free(c->trusted_proxies.list);
        free(c);
        return NULL;
}

static int load_credentials(CoordConfig *c, Error *error) {
        int r = conf_load_secret("worker-key", NULL, &c->worker_key, error);

        if (r >= 0)
                r = conf_load_secret("redis-password", "/run/sandboxd/redis-password", &c->redis.password, error);
        return r < 0 ? r : api_keys_add_given(&c->keys, "/run/sandboxd/coordinator-keys", error);
}

static int load_files(CoordConfig *c, const char *file, Error *error) {
        int r;

        if (file) {
                if (access(file, F_OK) < 0)
                        return error_set(error, ERROR_INVALID_VALUE, "%s: there is no such file.", file);
                return conf_load_file(&table, file, c, error);
        }
        r = conf_load_file(&table, VENDOR_FILE, c, error);
        if (r >= 0)
                r = conf_load_file(&table, CONFIG_FILE, c, error);
        if (r >= 0)
                r = conf_load_folder(&table, CONFIG_FILE ".d", c, error);
        return r;
}

int coord_config_load(const char *file, CoordConfig **ret, Error *error) {
        _cleanup_(coord_config_freep) CoordConfig *c = calloc(1, sizeof *c);

        int r = c ? conf_set_defaults(&table, c, error) : -ENOMEM;
        if (r >= 0)
                r = load_files(c, file, error);
        if (r >= 0)
                r = conf_load_environment(&table, c, error);
        if (r >= 0)
                r = load_credentials(c, error);
        if (r == -ENOMEM)
                (void) error_set(error, ERROR_INTERNAL, "Out of memory while reading the configuration.");
        if (r < 0)
                return r;

        *ret = take_ptr(c);
        return 0;
}
