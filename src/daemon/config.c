/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "spec/image.h"

#define CONFIG_FOLDER SYSCONFDIR "/sandboxd"
#define VENDOR_FILE PKGLIBDIR "/sandboxd.conf"
#define WORKER_FALLBACK "worker1"


static int copy_text(const char *text, char **field) {
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        free(*field);
        *field = copy;
        return 0;
}

/* A name becomes the name of a folder, so that none may lead anywhere else. */
static int parse_image(
        const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        char folder[IMAGE_FOLDER_MAX];

        assert(s->size == sizeof(char *));

        return image_folder(value, folder) == 0 ? copy_text(value, field) : -EINVAL;
}

static int parse_worker(
        const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        assert(s->size == sizeof(char *));

        return id_is_valid(value) ? copy_text(value, field) : -EINVAL;
}

static int parse_names(const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        assert(s->size == sizeof(char *));

        for (const char *p = value; *p;) {
                size_t length = strcspn(p, " ");
                if (!api_key_name_is_valid(p, length))
                        return -EINVAL;
                p += length;
                p += strspn(p, " ");
        }
        return copy_text(value, field);
}

static int parse_advertise(
        const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        assert(s->size == sizeof(char *));

        if (*value && strncmp(value, "http://", 7) != 0 && strncmp(value, "https://", 8) != 0 &&
                strncmp(value, "unix:/", 6) != 0)
                return -EINVAL;
        return strlen(value) > 200 || strpbrk(value, " \t\r\n,") ? -EINVAL : copy_text(value, field);
}

#define MEMBER(m) CONF_MEMBER(Config, m)
#define DAY (86400 * USEC_PER_SEC)

/* clang-format off */
static const ConfSetting settings[] = {
        { "Pool", "Size", "POOL_SIZE", conf_parse_unsigned, MEMBER(pool_size),
          .max = POOL_SIZE_MAX, .fallback = "5",
          .expected = "a whole number from 0 to 4096",
          .description = "Sandboxes kept ready at start" },
        { "Pool", "MinSize", "MIN_POOL_SIZE", conf_parse_unsigned, MEMBER(pool_min),
          .max = POOL_SIZE_MAX, .fallback = "2",
          .expected = "a whole number from 0 to 4096",
          .description = "Fewest sandboxes kept ready when there is little demand" },
        { "Pool", "MaxSize", "MAX_POOL_SIZE", conf_parse_unsigned, MEMBER(pool_max),
          .max = POOL_SIZE_MAX, .fallback = "20",
          .expected = "a whole number from 0 to 4096",
          .description = "Most sandboxes kept ready when there is much demand" },
        { "Pool", "IdleTime", NULL, conf_parse_duration, MEMBER(pool_idle),
          .min = USEC_PER_SEC, .max = 366 * DAY, .fallback = "10min",
          .expected = "a time from 1s to 366d, such as 90s, 15min or 1h",
          .description = "Without a new session for so long the pool shrinks to MinSize" },

        { "Session", "Timeout", "SESSION_TIMEOUT", conf_parse_duration, MEMBER(session_timeout),
          .min = USEC_PER_SEC, .max = 366 * DAY, .fallback = "1h",
          .expected = "a time from 1s to 366d, such as 90s, 15min or 1h",
          .description = "Life of a session whose client asks for none" },
        { "Session", "MaxTimeout", NULL, conf_parse_duration, MEMBER(session_timeout_max),
          .min = USEC_PER_SEC, .max = 366 * DAY, .fallback = "24h",
          .expected = "a time from 1s to 366d, such as 90s, 15min or 1h",
          .description = "Longest life that a client may ask for" },
        { "Session", "Max", NULL, conf_parse_unsigned, MEMBER(sessions_max),
          .max = 100000, .fallback = "",
          .expected = "a whole number up to 100000, or nothing",
          .description = "Most sessions at a time; nothing or 0: what the machine allows" },

        { "Sandbox", "Backend", NULL, conf_parse_choice, MEMBER(backend),
          .choices = "native", .fallback = "native",
          .expected = "native",
          .description = "What makes the sandboxes" },
        { "Sandbox", "Image", "CONTAINER_IMAGE", parse_image, MEMBER(image),
          .fallback = "base",
          .expected = "the name of an image, such as base or sandbox-secure:latest",
          .description = "Image of sessions whose client asks for none" },
        { "Sandbox", "User", NULL, conf_parse_only,
          .choices = "sandboxuser", .fallback = "sandboxuser",
          .expected = "sandboxuser",
          .description = "User in the sandbox" },
        { "Sandbox", "Network", "NETWORK_MODE", conf_parse_only,
          .choices = "none", .fallback = "none",
          .expected = "none",
          .description = "Network of the sandbox: none is a loopback of its own" },
        { "Sandbox", "Root", NULL, conf_parse_only,
          .choices = "readonly", .fallback = "readonly",
          .expected = "readonly",
          .description = "Root file system of the sandbox" },
        { "Sandbox", "Warm", NULL, config_parse_warm, MEMBER(warm),
          .list = true, .fallback = "",
          .expected = "python3, bash or node, or IMAGE:python3 and so on, separated by spaces",
          .description = "Interpreter that is started in the sandboxes of the pool" },
        { "Sandbox", "SystemCalls", NULL, config_parse_calls, MEMBER(calls),
          .fallback = "",
          .expected = "@aio, @debug and @numa, separated by spaces, or nothing",
          .description = "Groups of system calls that sandboxes of that image have besides those of all" },

        { "Limits", "Memory", "MEMORY_LIMIT", conf_parse_size, MEMBER(limits.memory),
          .min = LIMIT_MEMORY_MIN, .max = LIMIT_MEMORY_MAX, .fallback = "512M",
          .expected = "a size from 8M to 64T, such as 512M or 1G",
          .description = "Memory of a sandbox, its files in memory included" },
        { "Limits", "CPUQuota", "CPU_QUOTA", conf_parse_cpu_quota, MEMBER(limits.cpu_quota),
          .min = LIMIT_CPU_QUOTA_MIN, .max = LIMIT_CPU_QUOTA_MAX, .fallback = "50%",
          .expected = "a share of one processor from 1% to 102400%, or microseconds for each 100 ms such as 50000",
          .description = "Processor time of a sandbox: 100% is one processor" },
        { "Limits", "Tasks", NULL, conf_parse_unsigned, MEMBER(limits.pids),
          .min = LIMIT_PIDS_MIN, .max = LIMIT_PIDS_MAX, .fallback = "256",
          .expected = "a whole number from 4 to 65536",
          .description = "Processes and threads of a sandbox" },
        { "Limits", "Disk", NULL, conf_parse_size, MEMBER(limits.disk),
          .min = LIMIT_DISK_MIN, .max = LIMIT_DISK_MAX, .fallback = "1G",
          .expected = "a size from 1M to 64T, such as 512M or 1G",
          .description = "Files of a sandbox: /home/sandboxuser, /tmp and /dev/shm together" },
        { "Limits", "Output", NULL, conf_parse_size, MEMBER(output_max),
          .min = 1 * KIB, .max = 64 * MIB, .fallback = "1M",
          .expected = "a size from 1K to 64M, such as 1M",
          .description = "Output kept of each stream of a command whose client asks for no other limit" },

        { "Snapshots", "Number", NULL, conf_parse_unsigned, MEMBER(snapshots_max),
          .max = 10000, .fallback = "100",
          .expected = "a whole number from 0 to 10000",
          .description = "Most snapshots that the worker keeps; 0: none can be made" },
        { "Snapshots", "NumberPerKey", NULL, conf_parse_unsigned, MEMBER(snapshots_per_key),
          .max = 10000, .fallback = "",
          .expected = "a whole number up to 10000, or nothing",
          .description = "Most of them that one API key may have; nothing or 0: no limit of its own" },
        { "Snapshots", "Space", NULL, conf_parse_size, MEMBER(snapshots_space),
          .min = 1 * MIB, .max = 64 * 1024 * GIB, .fallback = "10G",
          .expected = "a size from 1M to 64T, such as 512M or 10G",
          .description = "Disk space of all of them, and of what is copied for a fork" },

        { "Auth", "Keys", NULL, conf_parse_keys, MEMBER(keys),
          .list = true, .secret = true, .fallback = "",
          .expected = "NAME:SHA256, separated by spaces",
          .description = "API keys, each a name and the SHA-256 of the key; without any, nobody needs a key" },
        { "Auth", "Coordinators", "COORDINATORS", parse_names, MEMBER(coordinators),
          .fallback = "",
          .expected = "names of keys, separated by spaces",
          .description = "Keys of coordinators, which say for which other key they speak" },
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

        REDIS_SETTINGS(Config, redis),
        { "Redis", "Advertise", "ADVERTISE_URL", parse_advertise, MEMBER(advertise),
          .fallback = "",
          .expected = "an address such as http://10.0.0.1:5000 or unix:/PATH",
          .description = "Where coordinators reach this worker; nothing: where it listens" },

        { "Http", "MaxBody", NULL, conf_parse_size, MEMBER(body_max),
          .min = 64 * KIB, .max = 1 * GIB, .fallback = "16M",
          .expected = "a size from 64K to 1G, such as 16M",
          .description = "Longest body of a request" },
        { "Http", "MaxConnections", NULL, conf_parse_unsigned, MEMBER(connections_max),
          .min = 1, .max = 65536, .fallback = "1024",
          .expected = "a whole number from 1 to 65536",
          .description = "Most connections at a time" },

        { NULL, NULL, "WORKER_ID", parse_worker, MEMBER(worker_id),
          .fallback = WORKER_FALLBACK,
          .expected = "at most 64 lower case letters, digits and \"-\"",
          .description = "Name of a worker that is started without one" },
        { NULL, NULL, "PORT", conf_parse_unsigned, MEMBER(port),
          .max = 65535, .fallback = "0",
          .expected = "a port from 1 to 65535, or 0 for none",
          .description = "Port on 127.0.0.1 of a worker that is started by hand" },
};
/* clang-format on */

static const ConfTable table = { settings, ELEMENTSOF(settings), &config_pools };

const ConfTable *config_describe(void) {
        return &table;
}

Config *config_free(Config *c) {
        if (!c)
                return NULL;

        api_keys_clear(&c->keys);
        redis_settings_clear(&c->redis);
        free(c->advertise);
        config_pools_clear(c);
        free(c->worker_id);
        free(c->coordinators);
        free(c->backend);
        free(c->image);
        free(c->warm);
        free(c);
        return NULL;
}

/* What no setting can be checked for alone. */
static int check(const Config *c, Error *error) {
        int r = config_pools_check(c, error);

        if (r < 0)
                return r;
        if (c->pool_min > c->pool_size)
                return error_set_field(error, ERROR_INVALID_VALUE, "MinSize", NULL,
                        "[Pool] MinSize=%u (MIN_POOL_SIZE) is above Size=%u (POOL_SIZE): lower MinSize or raise Size.",
                        c->pool_min, c->pool_size);
        if (c->pool_size > c->pool_max)
                return error_set_field(error, ERROR_INVALID_VALUE, "Size", NULL,
                        "[Pool] Size=%u (POOL_SIZE) is above MaxSize=%u (MAX_POOL_SIZE): lower Size or raise MaxSize.",
                        c->pool_size, c->pool_max);
        if (c->session_timeout > c->session_timeout_max)
                return error_set_field(error, ERROR_INVALID_VALUE, "Timeout", NULL,
                        "[Session] Timeout=%" PRIu64 "s (SESSION_TIMEOUT) is above MaxTimeout=%" PRIu64
                        "s: lower Timeout or raise MaxTimeout.",
                        c->session_timeout / USEC_PER_SEC, c->session_timeout_max / USEC_PER_SEC);
        return 0;
}

/* @name.conf below the root, then @name.conf.d. */
static int load_pair(Config *c, const char *root, const char *name, Error *error) {
        _cleanup_free_ char *file = NULL, *folder = NULL;

        if (asprintf(&file, "%s" CONFIG_FOLDER "/%s.conf", root, name) < 0) {
                file = NULL;
                return -ENOMEM;
        }
        if (asprintf(&folder, "%s.d", file) < 0) {
                folder = NULL;
                return -ENOMEM;
        }

        int r = conf_load_file(&table, file, c, error);
        return r < 0 ? r : conf_load_folder(&table, folder, c, error);
}

static int load_files(Config *c, const char *root, const char *worker, Error *error) {
        _cleanup_free_ char *vendor = NULL, *own = NULL;

        if (asprintf(&vendor, "%s" VENDOR_FILE, root) < 0) {
                vendor = NULL;
                return -ENOMEM;
        }
        if (asprintf(&own, "worker/%s", worker) < 0) {
                own = NULL;
                return -ENOMEM;
        }

        int r = conf_load_file(&table, vendor, c, error);
        if (r < 0)
                return r;
        r = load_pair(c, root, "sandboxd", error);
        return r < 0 ? r : load_pair(c, root, own, error);
}

static int load_keys(Config *c, const char *root, Error *error) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/run/sandboxd/api-keys", root) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return api_keys_add_given(&c->keys, path, error);
}

static int load(Config *c, const char *root, const char *worker, bool keys, Error *error) {
        const char *variable = getenv("WORKER_ID");

        if (!worker)
                worker = variable && *variable ? variable : WORKER_FALLBACK;
        if (!id_is_valid(worker))
                return error_set_field(error, ERROR_INVALID_VALUE, "WORKER_ID", NULL,
                        "Worker name \"%.100s\": expected at most %u lower case letters, digits and \"-\".", worker,
                        ID_MAX);

        int r = conf_set_defaults(&table, c, error);
        if (r < 0)
                return r;
        r = load_files(c, root, worker, error);
        if (r < 0)
                return r;
        r = conf_load_environment(&table, c, error);
        if (r < 0)
                return r;
        r = keys ? load_keys(c, root, error) : 0;
        if (r >= 0)
                r = conf_load_secret("redis-password", NULL, &c->redis.password, error);
        if (r < 0)
                return r;
        r = copy_text(worker, &c->worker_id); /* the name on the command line is above WORKER_ID */
        if (r < 0)
                return r;
        return check(c, error);
}

static int load_new(const char *root, const char *worker, bool keys, Config **ret, Error *error) {
        _cleanup_(config_freep) Config *c = NULL;

        assert(root);
        assert(ret);

        c = calloc(1, sizeof *c);
        int r = c ? load(c, root, worker, keys, error) : -ENOMEM;
        if (r == -ENOMEM)
                (void) error_set(error, ERROR_INTERNAL, "Out of memory while reading the configuration.");
        if (r < 0)
                return r;

        *ret = take_ptr(c);
        return 0;
}

int config_load(const char *root, const char *worker, Config **ret, Error *error) {
        return load_new(root, worker, true, ret, error);
}

int config_load_without_keys(const char *root, const char *worker, Config **ret, Error *error) {
        return load_new(root, worker, false, ret, error);
}
