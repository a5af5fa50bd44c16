/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spec/exec.h"

#include <stdio.h>
#include <string.h>

#include "spec/create.h"

const char *const exec_environment[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=" SANDBOX_HOME,
        "USER=" SANDBOX_USER,
        "LOGNAME=" SANDBOX_USER,
        "SHELL=/bin/sh",
        "LANG=C.UTF-8",
        NULL,
};

/* How the members arrive, before they are checked together. */
typedef struct Members {
        ExecSpec *spec;
        const json_t *command, *argv, *stdin_text; /* borrowed from the document */
        char *encoding, *stdin_encoding;
} Members;

static void members_clear(Members *m) {
        free(m->encoding);
        free(m->stdin_encoding);
}

void exec_spec_clear(ExecSpec *e) {
        for (size_t i = 0; i < e->argc; i++)
                free(e->argv[i]);
        free(e->argv);
        free(e->cwd);
        json_decref(e->env);
        free(e->stdin_data);
        *e = (ExecSpec){ 0 };
}

static int borrow(const char *name, const json_t *value, void *ret, Error *error) {
        (void) name;
        (void) error;
        *(const json_t **) ret = value;
        return 0;
}

int exec_parse_cwd(const char *name, const json_t *value, void *ret, Error *error) {
        char **cwd = ret;

        int r = json_parse_text(name, value, cwd, error);
        if (r == 0 && ((*cwd)[0] != '/' || strlen(*cwd) >= EXEC_CWD_MAX))
                r = error_set_field(error, ERROR_INVALID_VALUE, name, "4095 characters",
                        "\"%s\" has to be an absolute path of at most 4095 characters.", name);
        return r;
}

static int cwd_parse(const char *name, const json_t *value, void *ret, Error *error) {
        return exec_parse_cwd(name, value, &(*(ExecSpec **) ret)->cwd, error);
}

static int exec_env_parse(const char *name, const json_t *value, void *ret, Error *error) {
        return env_parse(name, value, &(*(ExecSpec **) ret)->env, error);
}

int exec_parse_timeout(const char *name, const json_t *value, void *ret, Error *error) {
        usec_t timeout;

        int r = json_parse_duration(name, value, &timeout, error);
        if (r == 0 && (timeout < USEC_PER_MSEC || timeout > EXEC_TIMEOUT_MAX))
                r = error_set_field(error, ERROR_INVALID_VALUE, name, "0.001 to 86400 seconds",
                        "\"timeout\" is out of range: 0.001 to 86400 seconds.");
        if (r == 0)
                *(usec_t *) ret = timeout;
        return r;
}

static int timeout_parse(const char *name, const json_t *value, void *ret, Error *error) {
        return exec_parse_timeout(name, value, &(*(ExecSpec **) ret)->timeout, error);
}

int exec_parse_output_max(const char *name, const json_t *value, void *ret, Error *error) {
        uint64_t size;

        int r = json_parse_size(name, value, &size, error);
        if (r == 0 && size > EXEC_OUTPUT_MAX)
                r = error_set_field(
                        error, ERROR_INVALID_VALUE, name, "16 MiB", "\"max_output\" can be 16 MiB at most.");
        if (r == 0)
                *(uint64_t *) ret = size;
        return r;
}

static int max_output_parse(const char *name, const json_t *value, void *ret, Error *error) {
        return exec_parse_output_max(name, value, &(*(ExecSpec **) ret)->output_max, error);
}

static int background_parse(const char *name, const json_t *value, void *ret, Error *error) {
        return json_parse_boolean(name, value, &(*(ExecSpec **) ret)->background, error);
}

static int stdin_open_parse(const char *name, const json_t *value, void *ret, Error *error) {
        return json_parse_boolean(name, value, &(*(ExecSpec **) ret)->stdin_open, error);
}

typedef struct Size {
        uint64_t rows, columns;
} Size;

static int lines_parse(const char *name, const json_t *value, void *ret, Error *error) {
        if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > TERMINAL_SIZE_MAX)
                return error_set_field(error, ERROR_INVALID_VALUE, name, "1 to 1000",
                        "\"%s\" has to be a whole number from 1 to 1000.", name);
        *(uint64_t *) ret = (uint64_t) json_integer_value(value);
        return 0;
}

int terminal_size_read(const char *name, const json_t *value, uint16_t *ret_rows, uint16_t *ret_columns, Error *error) {
        static const JsonField size_fields[] = {
                { "rows", lines_parse, offsetof(Size, rows) },
                { "cols", lines_parse, offsetof(Size, columns) },
                { 0 },
        };
        Size size = { 0 };

        if (!json_is_object(value))
                return error_set_field(error, ERROR_MALFORMED, name, NULL,
                        "\"%s\" has to be an object with \"rows\" and \"cols\".", name);
        int r = json_apply(value, size_fields, &size, error);
        if (r < 0)
                return r;
        if (size.rows == 0 || size.columns == 0)
                return error_set_field(
                        error, ERROR_MALFORMED, name, NULL, "\"%s\" needs both \"rows\" and \"cols\".", name);
        *ret_rows = (uint16_t) size.rows;
        *ret_columns = (uint16_t) size.columns;
        return 0;
}

static int pty_parse(const char *name, const json_t *value, void *ret, Error *error) {
        ExecSpec *e = *(ExecSpec **) ret;

        e->pty = true;
        return terminal_size_read(name, value, &e->rows, &e->columns, error);
}

static const JsonField fields[] = {
        { "command", borrow, offsetof(Members, command) },
        { "argv", borrow, offsetof(Members, argv) },
        { "cwd", cwd_parse, offsetof(Members, spec) },
        { "env", exec_env_parse, offsetof(Members, spec) },
        { "stdin", borrow, offsetof(Members, stdin_text) },
        { "stdin_encoding", json_parse_text, offsetof(Members, stdin_encoding) },
        { "timeout", timeout_parse, offsetof(Members, spec) },
        { "encoding", json_parse_text, offsetof(Members, encoding) },
        { "max_output", max_output_parse, offsetof(Members, spec) },
        { "background", background_parse, offsetof(Members, spec) },
        { "stdin_open", stdin_open_parse, offsetof(Members, spec) },
        { "pty", pty_parse, offsetof(Members, spec) },
        { 0 },
};

static int add_argument(ExecSpec *e, const char *field, const char *text, size_t length, Error *error) {
        if (length >= INIT_STRING_MAX)
                return error_set_field(error, ERROR_TOO_LARGE, field, "131071 bytes",
                        "\"%s\" is longer than the 131071 bytes that the kernel takes for one argument; "
                        "send it as a file or as \"stdin\".",
                        field);
        e->argv[e->argc] = strndup(text, length);
        if (!e->argv[e->argc])
                return -ENOMEM;
        e->argc++;
        return 0;
}

static int take_command(ExecSpec *e, const json_t *command, Error *error) {
        if (!json_is_string(command))
                return error_set_field(error, ERROR_MALFORMED, "command", NULL, "\"command\" has to be a string.");
        if (json_string_length(command) == 0)
                return error_set_field(error, ERROR_INVALID_VALUE, "command", NULL, "\"command\" is empty.");

        e->argv = calloc(4, sizeof *e->argv);
        if (!e->argv)
                return -ENOMEM;
        e->is_command = true;
        int r = add_argument(e, "command", "/bin/sh", 7, error);
        if (r == 0)
                r = add_argument(e, "command", "-c", 2, error);
        if (r == 0)
                r = add_argument(e, "command", json_string_value(command), json_string_length(command), error);
        return r;
}

static int take_argv(ExecSpec *e, const json_t *argv, Error *error) {
        size_t n = json_array_size(argv);

        if (!json_is_array(argv))
                return error_set_field(error, ERROR_MALFORMED, "argv", NULL, "\"argv\" has to be an array of strings.");
        if (n == 0)
                return error_set_field(error, ERROR_INVALID_VALUE, "argv", NULL, "\"argv\" is empty.");
        if (n > INIT_ARGC_MAX)
                return error_set_field(
                        error, ERROR_TOO_LARGE, "argv", "16384 arguments", "\"argv\" has more than 16384 arguments.");

        e->argv = calloc(n + 1, sizeof *e->argv);
        if (!e->argv)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const json_t *text = json_array_get(argv, i);
                char field[32];
                (void) snprintf(field, sizeof field, "argv[%zu]", i);
                if (!json_is_string(text))
                        return error_set_field(
                                error, ERROR_MALFORMED, field, NULL, "\"%s\" has to be a string.", field);
                if (i == 0 && json_string_length(text) == 0)
                        return error_set_field(error, ERROR_INVALID_VALUE, field, NULL, "\"argv[0]\" is empty.");
                int r = add_argument(e, field, json_string_value(text), json_string_length(text), error);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_encoding(const char *field, const char *text, bool *ret, Error *error) {
        *ret = text && strcmp(text, "base64") == 0;
        if (!text || *ret || strcmp(text, "utf-8") == 0)
                return 0;
        return error_set_field(
                error, ERROR_INVALID_VALUE, field, NULL, "\"%s\" has to be \"utf-8\" or \"base64\".", field);
}

static int take_stdin(ExecSpec *e, const Members *m, Error *error) {
        bool base64;

        int r = parse_encoding("stdin_encoding", m->stdin_encoding, &base64, error);
        if (r < 0 || !m->stdin_text || json_is_null(m->stdin_text))
                return r;
        if (!json_is_string(m->stdin_text))
                return error_set_field(error, ERROR_MALFORMED, "stdin", NULL, "\"stdin\" has to be a string.");

        const char *text = json_string_value(m->stdin_text);
        size_t length = json_string_length(m->stdin_text);
        if (base64) {
                void *bytes;
                r = base64_decode(text, length, &bytes, &e->stdin_length);
                if (r == -EINVAL)
                        return error_set_field(error, ERROR_INVALID_VALUE, "stdin", NULL, "\"stdin\" is not base64.");
                if (r == 0)
                        e->stdin_data = bytes;
                return r;
        }
        e->stdin_data = malloc(length + 1);
        if (!e->stdin_data)
                return -ENOMEM;
        memcpy(e->stdin_data, text, length + 1);
        e->stdin_length = length;
        return 0;
}

int exec_spec_parse(ExecSpec *e, const json_t *object, Error *error) {
        _cleanup_(members_clear) Members m = { .spec = e };

        int r = json_apply(object, fields, &m, error);
        if (r < 0)
                return r;
        if (!m.command == !m.argv)
                return error_set_field(error, ERROR_MALFORMED, "command", NULL,
                        m.command ? "Give either \"command\" or \"argv\", not both." : "Give \"command\" or \"argv\".");
        if (e->timeout == 0) /* what runs in the background, or a person uses, ends by itself or with the session */
                e->timeout = e->background || e->pty ? USEC_INFINITY : EXEC_TIMEOUT_DEFAULT;
        r = parse_encoding("encoding", m.encoding, &e->base64, error);
        if (r == 0)
                r = take_stdin(e, &m, error);
        if (r < 0)
                return r;
        return m.command ? take_command(e, m.command, error) : take_argv(e, m.argv, error);
}

int exec_spec_read(ExecSpec *e, const char *text, size_t length, Error *error) {
        _cleanup_json_ json_t *object = NULL;

        int r = json_read_object(text, length, &object, error);
        return r < 0 ? r : exec_spec_parse(e, object, error);
}

/* --- encoding for sandbox-init --- */

typedef struct Strings {
        char *buf;
        size_t used;
        bool full;
} Strings;

static void put(Strings *s, const char *text, size_t length) {
        if (s->full || length + 1 > INIT_STRINGS_MAX - s->used) {
                s->full = true;
                return;
        }
        memcpy(s->buf + s->used, text, length);
        s->used += length;
        s->buf[s->used++] = '\0';
}

static void put_variable(Strings *s, const char *name, const char *value) {
        size_t n = strlen(name), m = strlen(value);

        if (s->full || n + m + 2 > INIT_STRINGS_MAX - s->used) {
                s->full = true;
                return;
        }
        memcpy(s->buf + s->used, name, n);
        s->buf[s->used + n] = '=';
        memcpy(s->buf + s->used + n + 1, value, m + 1);
        s->used += n + m + 2;
}

/* Does a later source set the variable that @entry ("NAME=value") or @entry alone names? */
static bool is_set_in(const json_t *env, const char *entry) {
        char name[ENV_NAME_MAX + 1];
        size_t n = strcspn(entry, "=");

        if (!env || n >= sizeof name)
                return false;
        memcpy(name, entry, n);
        name[n] = '\0';
        return json_object_get(env, name) != NULL;
}

int exec_spec_encode(const ExecSpec *e, const json_t *session_env, char *buf, InitRequest *ret, Error *error) {
        Strings s = { .buf = buf };
        const char *cwd = e->cwd ? e->cwd : SANDBOX_HOME, *name;
        uint32_t envc = 0;
        json_t *value;

        put(&s, cwd, strlen(cwd));
        for (size_t i = 0; i < e->argc; i++)
                put(&s, e->argv[i], strlen(e->argv[i]));
        if (e->pty && !is_set_in(session_env, "TERM") && !is_set_in(e->env, "TERM")) {
                put_variable(&s, "TERM", "xterm-256color");
                envc++;
        }
        for (const char *const *v = exec_environment; *v; v++)
                if (!is_set_in(session_env, *v) && !is_set_in(e->env, *v)) {
                        put(&s, *v, strlen(*v));
                        envc++;
                }
        json_object_foreach((json_t *) session_env, name, value) {
                if (!is_set_in(e->env, name)) {
                        put_variable(&s, name, json_string_value(value));
                        envc++;
                }
        }
        json_object_foreach(e->env, name, value) {
                put_variable(&s, name, json_string_value(value));
                envc++;
        }
        if (s.full || envc > INIT_ENVC_MAX)
                return error_set_field(error, ERROR_TOO_LARGE, e->is_command ? "command" : "argv", "192 KiB",
                        "Command, arguments and environment are longer than 192 KiB together; send data as \"stdin\".");
        ret->argc = (uint32_t) e->argc;
        ret->envc = envc;
        ret->length = (uint32_t) s.used;
        return 0;
}
