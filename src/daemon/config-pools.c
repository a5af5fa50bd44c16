/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "daemon/config.h"
#include "spec/image.h"

static int parse_interpreter(
        const ConfSetting *s _unused_, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        static const char *const names[] = { "", "python3", "bash", "node" };
        char **warm = field;

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strcmp(value, names[i]) == 0) {
                        char *copy = strdup(value);
                        if (!copy)
                                return -ENOMEM;
                        free(*warm);
                        *warm = copy;
                        return 0;
                }
        return -EINVAL;
}

#define MEMBER(m) CONF_MEMBER(PoolConfig, m)

/* clang-format off */
static const ConfSetting settings[] = {
        { "Pool", "Size", NULL, conf_parse_unsigned, MEMBER(size),
          .max = POOL_SIZE_MAX, .fallback = "5",
          .expected = "a whole number from 0 to 4096",
          .description = "Sandboxes of the image kept ready at start" },
        { "Pool", "MinSize", NULL, conf_parse_unsigned, MEMBER(min),
          .max = POOL_SIZE_MAX, .fallback = "2",
          .expected = "a whole number from 0 to 4096",
          .description = "Fewest of them kept ready when there is little demand" },
        { "Pool", "MaxSize", NULL, conf_parse_unsigned, MEMBER(max),
          .max = POOL_SIZE_MAX, .fallback = "20",
          .expected = "a whole number from 0 to 4096",
          .description = "Most of them kept ready when there is much demand" },
        { "Pool", "IdleTime", NULL, conf_parse_duration, MEMBER(idle),
          .min = USEC_PER_SEC, .max = 366 * 86400 * USEC_PER_SEC, .fallback = "10min",
          .expected = "a time from 1s to 366d, such as 90s, 15min or 1h",
          .description = "Without a new session for so long there are only MinSize of them" },
        { "Pool", "Warm", NULL, parse_interpreter, MEMBER(warm),
          .fallback = "",
          .expected = "python3, bash or node, or nothing",
          .description = "Interpreter that is started in them" },
        { "Pool", "SystemCalls", NULL, config_parse_calls, MEMBER(calls),
          .fallback = "",
          .expected = "@aio, @debug and @numa, separated by spaces, or nothing",
          .description = "Groups of system calls that its sandboxes have besides those of all" },
};
/* clang-format on */

static void *open_pool(void *base, const char *name, Error *error) {
        static const ConfTable table = { settings, ELEMENTSOF(settings), NULL };
        char folder[IMAGE_FOLDER_MAX], other[IMAGE_FOLDER_MAX];
        Config *c = base;

        if (image_folder(name, folder) < 0) {
                (void) error_set(error, ERROR_INVALID_VALUE, "no name of an image, such as sandbox-secure:latest.");
                return NULL;
        }
        for (size_t i = 0; i < c->n_pools; i++)
                if (image_folder(c->pools[i].image, other) == 0 && strcmp(folder, other) == 0)
                        return &c->pools[i];
        if (c->n_pools == POOLS_MAX) {
                (void) error_set(error, ERROR_INVALID_VALUE, "there may be 32 such sections.");
                return NULL;
        }
        PoolConfig *p = &c->pools[c->n_pools];
        p->image = strdup(name);
        if (!p->image || conf_set_defaults(&table, p, error) < 0)
                return NULL;
        c->n_pools++;
        return p;
}

const ConfNamed config_pools = { "Pool", settings, ELEMENTSOF(settings), open_pool };

void config_pools_clear(Config *c) {
        for (size_t i = 0; i < POOLS_MAX; i++) {
                free(c->pools[i].image);
                free(c->pools[i].warm);
        }
}

int config_pools_check(const Config *c, Error *error) {
        char folder[IMAGE_FOLDER_MAX] = "", other[IMAGE_FOLDER_MAX];

        (void) image_folder(c->image, folder);
        for (size_t i = 0; i < c->n_pools; i++) {
                const PoolConfig *p = &c->pools[i];
                if (image_folder(p->image, other) == 0 && strcmp(folder, other) == 0)
                        return error_set_field(error, ERROR_INVALID_VALUE, "Pool", NULL,
                                "[Pool \"%s\"]: this is the image of [Sandbox] Image=, whose pool is that of [Pool].",
                                p->image);
                if (p->min > p->size)
                        return error_set_field(error, ERROR_INVALID_VALUE, "MinSize", NULL,
                                "[Pool \"%s\"] MinSize=%u is above Size=%u: lower MinSize or raise Size.", p->image,
                                p->min, p->size);
                if (p->size > p->max)
                        return error_set_field(error, ERROR_INVALID_VALUE, "Size", NULL,
                                "[Pool \"%s\"] Size=%u is above MaxSize=%u: lower Size or raise MaxSize.", p->image,
                                p->size, p->max);
        }
        return 0;
}
