/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/json.h"
#include "spec/wire.h"

/* What a client asks for when it runs a command. */

#define EXEC_TIMEOUT_DEFAULT (60 * USEC_PER_SEC)
#define EXEC_TIMEOUT_MAX (24 * 3600 * USEC_PER_SEC)
#define EXEC_OUTPUT_MAX (16 * MIB)
#define EXEC_CWD_MAX 4096U

typedef struct ExecSpec {
        char **argv; /* owned, ended by NULL */
        size_t argc;
        bool is_command;  /* given as a text for the shell */
        char *cwd;        /* owned; NULL: the home folder */
        json_t *env;      /* owned or NULL */
        char *stdin_data; /* owned; NULL: closed */
        size_t stdin_length;
        usec_t timeout;
        uint64_t output_max; /* bytes a stream */
        bool base64;         /* the streams of the answer */
        bool background;     /* outlives the request */
        bool stdin_open;     /* more may follow */
        bool pty;
        uint16_t rows, columns; /* of the terminal */
        const char *request_id, *caller; /* borrowed: for the log, or NULL */
        const char *label;      /* borrowed: what people see of it, or NULL for the command itself */
        bool channel;           /* its standard input is a socket that it also answers on, see exec_channel() */
        const int *streams;     /* borrowed: three descriptors that are its streams, or NULL for pipes of ours */
} ExecSpec;

#define TERMINAL_SIZE_MAX 1000U

void exec_spec_clear(ExecSpec *e);
#define _cleanup_exec_spec_ _cleanup_(exec_spec_clear)

/* Fills @e, whose output_max holds the default, from the body of a request.
 * Returns 0 or -errno with @error set. */
int exec_spec_read(ExecSpec *e, const char *text, size_t length, Error *error);

/* The same from a parsed object. */
int exec_spec_parse(ExecSpec *e, const json_t *object, Error *error);

/* Members with the bounds above: char *, usec_t, uint64_t. */
JsonParse exec_parse_cwd, exec_parse_timeout, exec_parse_output_max;

/* Reads {"rows","cols"}. */
int terminal_size_read(const char *name, const json_t *value, uint16_t *ret_rows, uint16_t *ret_columns, Error *error);

/* The environment that every command starts with. */
extern const char *const exec_environment[];

/* Writes cwd, argv and environment (default, then @session, then the command's own: the last of a name counts) as
 * sandbox-init wants them. @buf: INIT_STRINGS_MAX bytes. Fills @ret but its type and number.
 * Returns 0 or -errno with @error set when it is too much. */
int exec_spec_encode(const ExecSpec *e, const json_t *session_env, char *buf, InitRequest *ret, Error *error);
