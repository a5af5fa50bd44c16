/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"
#include "error/error.h"

/* Settings from INI files and the environment, by a table: one row is the setting for the loader, the sample file,
 * the manual page and the tests. A file is taken as a whole or refused: every function below that fails leaves
 * @base half written, so load into a scratch struct and drop it on failure. */

#define CONF_LINE_MAX 190U /* bytes of a line; comments may be longer */
#define CONF_FILE_MAX (UINT64_C(1) * MIB)
#define CONF_SETTINGS_MAX 128U /* rows of a table */

typedef struct ConfSetting ConfSetting;

/* Puts @value into @field, a member of the row's struct. @more: the value goes on from the line before (lists only).
 * @error may be set to say more than the row's "expected" does. Returns 0, -EINVAL, -ERANGE or -ENOMEM. */
typedef int ConfParse(const ConfSetting *s, const char *value, bool more, void *field, Error *error);

struct ConfSetting {
        const char *section; /* NULL: in the environment only */
        const char *key;
        const char *environment; /* name of the variable, or NULL */
        ConfParse *parse;
        size_t offset; /* of the member */
        size_t size;
        uint64_t min, max;       /* bounds of numbers, sizes and times, in the member's unit */
        const char *choices;     /* words, separated by spaces */
        const char *fallback;    /* the default, as it would be written; an empty value means it as well */
        const char *expected;    /* what a value looks like: "expected ..." */
        const char *description; /* one line */
        bool list;               /* values may go on in indented lines */
        bool secret;             /* values are not shown in messages */
};

/* The member of @type that a row fills. */
#define CONF_MEMBER(type, member) .offset = offsetof(type, member), .size = sizeof(((type *) NULL)->member)

/* Sections that there may be several of, [Section "NAME"], each with a struct of its own. */
typedef struct ConfNamed {
        const char *section;
        const ConfSetting *settings; /* of that section; no variables */
        size_t n;
        /* The struct for @name, new with its defaults or there already; NULL with @error set when there may be none. */
        void *(*open)(void *base, const char *name, Error *error);
} ConfNamed;

#define CONF_NAMED_MAX 64U /* sections of one kind in a file */

typedef struct ConfTable {
        const ConfSetting *settings;
        size_t n;
        const ConfNamed *named; /* or NULL */
} ConfTable;

/* Gives every setting its default. Returns 0 or -ENOMEM. */
int conf_set_defaults(const ConfTable *table, void *base, Error *error);

/* Reads the text of a file; @name is what messages call it. Returns 0 or -errno with @error set. */
int conf_parse_text(
        const ConfTable *table, const char *name, const char *text, size_t length, void *base, Error *error);

/* Reads a file: nothing there is fine, anything but a readable regular file is refused. */
int conf_load_file(const ConfTable *table, const char *path, void *base, Error *error);

/* Reads all NAME.conf of a folder in the byte order of their names; no folder is fine. */
int conf_load_folder(const ConfTable *table, const char *path, void *base, Error *error);

/* Reads the variables of the table from the environment; an empty variable counts as not set. */
int conf_load_environment(const ConfTable *table, void *base, Error *error);

/* Reads a small regular file as a whole: @ret is ended by NUL. Returns 0, -ENOENT without @error set, or -errno with
 * @error set. */
int conf_read_file(const char *path, char **ret, size_t *ret_length, Error *error);

/* Where a secret of this service is: in @copy, of what it is now, when that can be read (NULL: there is none); else the
 * credential @name as it was at the start. Returns 1 with @ret (owned by the caller), 0 when the service has no
 * credentials, or -ENOMEM. */
int conf_find_secret(const char *name, const char *copy, char **ret);
/* The first line of such a one replaces @field (owned) unless it is empty or not there. Returns 0, or -errno with @error
 * set, but for -ENOMEM. */
int conf_load_secret(const char *name, const char *copy, char **field, Error *error);

/* Parsers. The member's type is in brackets. */
ConfParse conf_parse_unsigned;  /* [unsigned] decimal; an empty default is 0 */
ConfParse conf_parse_boolean;   /* [bool] */
ConfParse conf_parse_size;      /* [uint64_t] bytes */
ConfParse conf_parse_duration;  /* [usec_t] */
ConfParse conf_parse_cpu_quota; /* [uint32_t] microseconds for each 100 ms */
ConfParse conf_parse_choice;    /* [char *, owned] one of the row's choices */
ConfParse conf_parse_only;      /* [none] one of the row's choices; there is nothing to remember */
