/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/options.h"

#include <string.h>

#include "base/text.h"
#include "ctl/terminal.h"

#define AT(member) offsetof(Options, member)
#define OPTIONS_SESSION (OPTIONS_CREATE | OPTIONS_EXEC | OPTIONS_SHELL)

/* clang-format off */
const Option option_table[] = {
        { "url",        0,   OPTION_TEXT,     OPTIONS_GLOBAL, AT(url),      "URL",
          "Server to ask, http:// or https://" },
        { "socket",     0,   OPTION_TEXT,     OPTIONS_GLOBAL, AT(socket),   "PATH",
          "Server to ask, by its UNIX socket" },
        { "key",        0,   OPTION_TEXT,     OPTIONS_GLOBAL, AT(key),      "KEY",
          "Key to show; others on this machine can see it" },
        { "key-file",   0,   OPTION_TEXT,     OPTIONS_GLOBAL, AT(key_file), "FILE",
          "File with the key to show" },
        { "json",       0,   OPTION_FLAG,     OPTIONS_GLOBAL, AT(json),     NULL,
          "Print the answer as one JSON document" },
        { "quiet",      'q', OPTION_FLAG,     OPTIONS_GLOBAL, AT(quiet),    NULL,
          "No notes; lists show ids only" },
        { "timeout",    0,   OPTION_DURATION, OPTIONS_GLOBAL, AT(timeout),  "TIME",
          "Give up waiting for an answer (before COMMAND)" },
        { "help",       'h', OPTION_FLAG,     OPTIONS_GLOBAL, AT(help),     NULL,
          "Show help" },
        { "version",    0,   OPTION_FLAG,     OPTIONS_GLOBAL, AT(version),  NULL,
          "Show the version" },

        { "image",      0,   OPTION_TEXT,     OPTIONS_CREATE, AT(image),    "IMAGE",
          "Image of the sandbox" },
        { "ttl",        0,   OPTION_DURATION, OPTIONS_CREATE, AT(ttl),      "TIME",
          "Life of the session" },
        { "memory",     0,   OPTION_SIZE,     OPTIONS_CREATE, AT(memory),   "SIZE",
          "Limit of memory (512m)" },
        { "cpu",        0,   OPTION_CPU,      OPTIONS_CREATE, AT(cpu),      "QUOTA",
          "Limit of processor time (50%, 200%)" },
        { "pids",       0,   OPTION_COUNT,    OPTIONS_CREATE, AT(pids),     "N",
          "Limit of processes and threads" },
        { "disk",       0,   OPTION_SIZE,     OPTIONS_CREATE, AT(disk),     "SIZE",
          "Limit of files (1g)" },
        { "metadata",   0,   OPTION_PAIRS,    OPTIONS_CREATE, AT(metadata), "NAME=VALUE",
          "Note kept with the session (repeatable)" },
        { "key-name",   0,   OPTION_TEXT,     OPTIONS_ATTACH, AT(key_name), "NAME",
          "Attach to the live session of this name if any" },
        { "wait",       0,   OPTION_DURATION, OPTIONS_CREATE, AT(wait),     "TIME",
          "Wait for capacity that long" },
        { "env",        0,   OPTION_PAIRS,    OPTIONS_SESSION, AT(env),     "NAME=VALUE",
          "Environment variable (repeatable)" },
        { "cwd",        0,   OPTION_TEXT,     OPTIONS_EXEC,   AT(cwd),      "FOLDER",
          "Folder the command starts in" },
        { "timeout",    0,   OPTION_DURATION, OPTIONS_EXEC,   AT(command_timeout), "TIME",
          "End the command after this time" },
        { "stdin",      'i', OPTION_FLAG,     OPTIONS_EXEC,   AT(interactive), NULL,
          "Send our standard input to the command" },
        { "shell",      0,   OPTION_TEXT,     OPTIONS_EXEC,   AT(shell),    "TEXT",
          "Run this text by /bin/sh -c instead of COMMAND" },
        { "max-output", 0,   OPTION_SIZE,     OPTIONS_EXEC,   AT(max_output), "SIZE",
          "Get at most so much of each stream, at the end" },
        { "detach",     'd', OPTION_FLAG,     OPTIONS_DETACH, AT(detach),   NULL,
          "Let the command run by itself, print its id" },

        { "follow",     'f', OPTION_FLAG,     OPTIONS_LOGS,   AT(follow),   NULL,
          "Go on until the command ends" },

        { "state",      0,   OPTION_TEXT,     OPTIONS_LIST,   AT(state),    "STATE",
          "Only sessions in this state" },
        { "metadata",   0,   OPTION_PAIRS,    OPTIONS_LIST,   AT(metadata), "NAME=VALUE",
          "Only sessions with this note (repeatable)" },

        { "name",       0,   OPTION_TEXT,     OPTIONS_IMPORT, AT(image_name), "IMAGE",
          "What the image is called here" },
        { "ref",        0,   OPTION_TEXT,     OPTIONS_IMPORT, AT(image_ref), "IMAGE",
          "Which image to take of several" },
        { "max-size",   0,   OPTION_SIZE,     OPTIONS_IMPORT, AT(max_size), "SIZE",
          "Most bytes of its files (16g)" },
        { "max-files",  0,   OPTION_COUNT,    OPTIONS_IMPORT, AT(max_files), "N",
          "Most of its files (500000)" },
        { "images",     0,   OPTION_TEXT,     OPTIONS_IMAGE,  AT(images),   "FOLDER",
          "Where images are kept" },

        { "listen",     0,   OPTION_TEXT,     OPTIONS_WORKER_ADD, AT(listen), "ADDRESS:PORT",
          "Also listen there" },
        { "purge",      0,   OPTION_FLAG,     OPTIONS_WORKER_REMOVE, AT(purge), NULL,
          "Delete the worker's state as well" },

        { "attack",     0,   OPTION_FLAG,     OPTIONS_DOCTOR, AT(attack),   NULL,
          "Attack the sandboxes of a worker, too, and tell what held" },

        { "stop-clock", 0,   OPTION_FLAG,     OPTIONS_PAUSE,  AT(stop_clock), NULL,
          "The time meanwhile does not count for the session's life" },

        { "since",      0,   OPTION_TEXT,     OPTIONS_AUDIT,  AT(since),    "TIME",
          "Not what was before, as journalctl(1) takes it (today, -1h)" },
        { "owner",      0,   OPTION_TEXT,     OPTIONS_AUDIT,  AT(owner),    "NAME",
          "Only what was done by this key or user" },
        { "follow",     'f', OPTION_FLAG,     OPTIONS_AUDIT,  AT(follow_audit), NULL,
          "Go on with what is done from now on" },
};
/* clang-format on */
const size_t option_table_size = ELEMENTSOF(option_table);

void options_init(Options *o) {
        *o = (Options){ 0 };
        for (size_t i = 0; i < option_table_size; i++)
                switch (option_table[i].type) {
                case OPTION_COUNT:
                case OPTION_SIZE:
                case OPTION_CPU:
                case OPTION_DURATION:
                        *(uint64_t *) ((char *) o + option_table[i].offset) = OPTION_UNSET;
                        break;
                default:
                        break;
                }
}

void options_clear(Options *o) {
        json_decref(o->env);
        json_decref(o->metadata);
        o->env = o->metadata = NULL;
}

/* The option "--name" (up to @length) or "-letter" of one of @sets; one of a command goes before a global one. */
static const Option *find(unsigned sets, const char *name, size_t length, char letter) {
        const Option *global = NULL;

        for (size_t i = 0; i < option_table_size; i++) {
                const Option *o = option_table + i;

                if (!(o->sets & sets))
                        continue;
                if (name ? strlen(o->name) != length || strncmp(o->name, name, length) != 0 : o->letter != letter)
                        continue;
                if (o->sets != OPTIONS_GLOBAL)
                        return o;
                global = o;
        }
        return global;
}

static int add_pair(json_t **pairs, const char *value) {
        const char *equals = strchr(value, '=');
        _cleanup_free_ char *name = NULL;

        if (!equals || equals == value || !utf8_is_valid(value, strlen(value)))
                return -EINVAL;
        if (!*pairs && !(*pairs = json_object()))
                out_of_memory();
        name = xasprintf("%.*s", (int) (equals - value), value);
        if (json_object_set_new(*pairs, name, json_string(equals + 1)) < 0)
                out_of_memory();
        return 0;
}

static int set(Options *options, const Option *o, const char *value) {
        static const char *const expected[] = {
                [OPTION_TEXT] = "UTF-8 text, not empty",
                [OPTION_COUNT] = "a number",
                [OPTION_SIZE] = "a size as 1048576, 512k, 256m or 1g",
                [OPTION_CPU] = "a share of a processor as 50% or 200%, or microseconds for each 100 ms",
                [OPTION_DURATION] = "a time as 90 (seconds), 500ms, 15min or 1h",
                [OPTION_PAIRS] = "NAME=VALUE in UTF-8",
        };
        void *at = (char *) options + o->offset;
        uint32_t quota;
        int r;

        if (o->type == OPTION_FLAG) {
                *(bool *) at = true;
                return 0;
        }
        assert(value);

        switch (o->type) {
        case OPTION_TEXT:
                r = *value && utf8_is_valid(value, strlen(value)) ? 0 : -EINVAL;
                if (r == 0)
                        *(const char **) at = value;
                break;
        case OPTION_COUNT:
                r = parse_unsigned(value, at);
                break;
        case OPTION_SIZE:
                r = parse_size(value, at);
                break;
        case OPTION_CPU:
                r = parse_cpu_quota(value, &quota);
                if (r == 0)
                        *(uint64_t *) at = quota;
                break;
        case OPTION_DURATION:
                r = parse_duration(value, at);
                break;
        case OPTION_PAIRS:
                r = add_pair(at, value);
                break;
        default:
                abort();
        }
        if (r < 0) {
                _cleanup_free_ char *safe = terminal_escape_string(value);
                print_error("--%s: \"%s\" is not %s%s", o->name, safe, expected[o->type],
                        r == -ERANGE ? " in the range this program can hold" : "");
                return -EINVAL;
        }
        return 0;
}

/* Reads one argument that begins with a dash, and its value if that is the next one; moves *@i to the last one
 * read. */
static int parse_one(Options *options, unsigned sets, int argc, char **argv, int *i) {
        const char *arg = argv[*i], *value = NULL;
        bool is_long = arg[1] == '-';

        for (const char *p = arg + (is_long ? 2 : 1); *p; p++) {
                size_t length = is_long ? strcspn(p, "=") : 1;
                const Option *o = find(sets, is_long ? p : NULL, length, *p);

                if (!o) {
                        _cleanup_free_ char *safe = terminal_escape_string(arg);
                        print_error("%s: Unknown option; see sandboxctl help", safe);
                        return -EINVAL;
                }
                value = is_long && p[length] == '=' ? p + length + 1 : NULL;
                if (o->value && !value) {
                        if (*i + 1 >= argc) {
                                print_error("--%s: Needs a value (%s)", o->name, o->value);
                                return -EINVAL;
                        }
                        value = argv[++*i];
                } else if (!o->value && value) {
                        print_error("--%s: Takes no value", o->name);
                        return -EINVAL;
                }
                if (set(options, o, value) < 0)
                        return -EINVAL;
                if (is_long)
                        break;
        }
        return 0;
}

int options_parse(Options *o, unsigned sets, int n_words, int argc, char **argv, char **ret_words, int *ret_n_words) {
        int n = 0, i = 0;

        for (; i < argc; i++) {
                if (strcmp(argv[i], "--") == 0) {
                        i++;
                        break;
                }
                if (argv[i][0] == '-' && argv[i][1] != '\0') {
                        if (parse_one(o, sets, argc, argv, &i) < 0)
                                return -EINVAL;
                        continue;
                }
                if (n == n_words)
                        break;
                ret_words[n++] = argv[i];
        }
        while (i < argc)
                ret_words[n++] = argv[i++];
        *ret_n_words = n;
        return 0;
}
