/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "base/clock.h"
#include "base/macro.h"

/* Numbers that were not given. */
#define OPTION_UNSET UINT64_MAX

/* All options of all commands. Texts are borrowed from the command line. */
typedef struct Options {
        const char *url;
        const char *socket;
        const char *key;
        const char *key_file;
        bool json;
        bool quiet;
        bool help;
        bool version;
        usec_t timeout; /* of a request */

        const char *image;
        usec_t ttl;
        uint64_t memory;
        uint64_t disk;
        uint64_t cpu; /* microseconds for each 100 ms */
        uint64_t pids;
        const char *key_name;
        usec_t wait;
        json_t *env;      /* owned; NULL for none */
        json_t *metadata; /* owned; NULL for none */

        const char *cwd;
        usec_t command_timeout;
        bool interactive;
        bool detach;
        bool follow;
        const char *shell;
        uint64_t max_output;

        const char *state;

        const char *images; /* folder */
        const char *image_name;
        const char *image_ref;
        uint64_t max_size;
        uint64_t max_files;

        const char *listen;
        bool purge;

        bool attack;
        bool stop_clock;

        const char *since;
        const char *owner;
        bool follow_audit;
} Options;

void options_init(Options *o);
void options_clear(Options *o);

/* Which commands an option belongs to. */
typedef enum OptionSet {
        OPTIONS_GLOBAL = 1 << 0,
        OPTIONS_CREATE = 1 << 1,
        OPTIONS_EXEC = 1 << 2,
        OPTIONS_LIST = 1 << 3,
        OPTIONS_WORKER_ADD = 1 << 4,
        OPTIONS_WORKER_REMOVE = 1 << 5,
        OPTIONS_ATTACH = 1 << 6,
        OPTIONS_DETACH = 1 << 7,
        OPTIONS_LOGS = 1 << 8,
        OPTIONS_SHELL = 1 << 9,
        OPTIONS_DOCTOR = 1 << 10,
        OPTIONS_AUDIT = 1 << 11,
        OPTIONS_IMAGE = 1 << 12,
        OPTIONS_IMPORT = 1 << 13,
        OPTIONS_PAUSE = 1 << 14,
} OptionSet;

typedef enum OptionType {
        OPTION_FLAG,     /* bool */
        OPTION_TEXT,     /* const char * */
        OPTION_COUNT,    /* uint64_t */
        OPTION_SIZE,     /* uint64_t, bytes */
        OPTION_CPU,      /* uint64_t, microseconds for each 100 ms */
        OPTION_DURATION, /* usec_t */
        OPTION_PAIRS,    /* json_t *, an object of texts */
} OptionType;

typedef struct Option {
        const char *name; /* without the dashes */
        char letter;      /* 0 for none */
        OptionType type;
        unsigned sets;
        size_t offset;     /* in Options */
        const char *value; /* what it is called in help; NULL for a flag */
        const char *help;
} Option;

extern const Option option_table[];
extern const size_t option_table_size;

/* Reads options of @sets up to the end, "--" or, unless @n_words is -1, the first word after @n_words words that is
 * no option. An option of a command goes before a global one of the same name.
 * @ret_words: room for @argc pointers: what is no option, and all that follows the end of the options.
 * Returns 0 or -EINVAL after an error was printed. */
int options_parse(Options *o, unsigned sets, int n_words, int argc, char **argv, char **ret_words, int *ret_n_words);
