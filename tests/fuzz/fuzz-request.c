/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "init/command.h"
#include "spec/create.h"
#include "spec/exec.h"
#include "spec/json.h"

/* Bodies of requests. The first byte chooses which; what is accepted keeps its bounds, and what is made of it for
 * sandbox-init is accepted there. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TIMEOUT_MAX (3600 * USEC_PER_SEC)

static void check(bool condition) {
        if (!condition)
                abort();
}

/* A refusal says what it is about. */
static void check_error(int r, const Error *error) {
        check(r == -ENOMEM || (error->kind != ERROR_NONE && error->detail && r == -error_errno(error->kind)));
}

static void check_strings(const json_t *object, size_t count_max, size_t value_max) {
        const char *name;
        json_t *value;

        check(!object || json_object_size(object) <= count_max);
        json_object_foreach((json_t *) object, name, value) {
                check(json_is_string(value) && json_string_length(value) <= value_max);
                check(*name && !strchr(name, '=') && strlen(json_string_value(value)) == json_string_length(value));
        }
}

static void try_create(const char *text, size_t size) {
        _cleanup_create_spec_ CreateSpec c = { .limits = { LIMIT_MEMORY_MIN, LIMIT_DISK_MIN, 1000, 4 } };
        _cleanup_error_ Error error = { 0 };

        int r = create_spec_read(&c, text, size, TIMEOUT_MAX, &error);
        if (r < 0) {
                check_error(r, &error);
                return;
        }
        check(!c.key || strlen(c.key) <= ID_MAX);
        check(!c.image || strlen(c.image) <= IMAGE_REF_MAX);
        check(c.timeout == 0 || (c.timeout >= USEC_PER_SEC && c.timeout <= TIMEOUT_MAX));
        check(c.wait <= WAIT_MAX);
        check(c.limits.memory >= LIMIT_MEMORY_MIN && c.limits.memory <= LIMIT_MEMORY_MAX);
        check(c.limits.disk >= LIMIT_DISK_MIN && c.limits.disk <= LIMIT_DISK_MAX);
        check(c.limits.cpu_quota >= LIMIT_CPU_QUOTA_MIN && c.limits.cpu_quota <= LIMIT_CPU_QUOTA_MAX);
        check(c.limits.pids >= LIMIT_PIDS_MIN && c.limits.pids <= LIMIT_PIDS_MAX);
        check_strings(c.env, ENV_COUNT_MAX, ENV_VALUE_MAX);
        check_strings(c.metadata, METADATA_COUNT_MAX, METADATA_VALUE_MAX);
}

static void try_patch(const char *text, size_t size) {
        _cleanup_patch_spec_ PatchSpec p = { 0 };
        _cleanup_error_ Error error = { 0 };

        int r = patch_spec_read(&p, text, size, TIMEOUT_MAX, &error);
        if (r < 0) {
                check_error(r, &error);
                return;
        }
        check(p.timeout == 0 || (p.timeout >= USEC_PER_SEC && p.timeout <= TIMEOUT_MAX));
        check_strings(p.metadata, METADATA_COUNT_MAX, METADATA_VALUE_MAX);
}

static void try_encode(const ExecSpec *e) {
        static char strings[INIT_STRINGS_MAX];
        static char *vector[INIT_ARGC_MAX + INIT_ENVC_MAX + 2];
        _cleanup_error_ Error error = { 0 };
        InitRequest q = { .type = INIT_EXEC, .exec = 1 };
        Command c = { 0 };

        int r = exec_spec_encode(e, e->env, strings, &q, &error);
        if (r < 0) {
                check_error(r, &error);
                return;
        }
        check(command_parse(&q, strings, q.length, vector, &c) == 0);
        check(q.argc == e->argc && strcmp(c.cwd, e->cwd ? e->cwd : SANDBOX_HOME) == 0);
        for (size_t i = 0; i < e->argc; i++)
                check(strcmp(c.argv[i], e->argv[i]) == 0);
}

static void try_exec(const char *text, size_t size) {
        _cleanup_exec_spec_ ExecSpec e = { .output_max = 1 };
        _cleanup_error_ Error error = { 0 };

        int r = exec_spec_read(&e, text, size, &error);
        if (r < 0) {
                check_error(r, &error);
                return;
        }
        check(e.argc > 0 && e.argc <= INIT_ARGC_MAX && e.argv[0][0] && !e.argv[e.argc]);
        for (size_t i = 0; i < e.argc; i++)
                check(strlen(e.argv[i]) < INIT_STRING_MAX);
        check(!e.cwd || (e.cwd[0] == '/' && strlen(e.cwd) < EXEC_CWD_MAX));
        check(e.timeout == USEC_INFINITY || (e.timeout >= USEC_PER_MSEC && e.timeout <= EXEC_TIMEOUT_MAX));
        check(e.output_max <= EXEC_OUTPUT_MAX);
        check(!e.pty || (e.rows > 0 && e.rows <= TERMINAL_SIZE_MAX && e.columns > 0 && e.columns <= TERMINAL_SIZE_MAX));
        check_strings(e.env, ENV_COUNT_MAX, ENV_VALUE_MAX);
        try_encode(&e);
}

/* The same bytes on their way out: as the library writes them. */
static void check_written(const char *text, size_t size) {
        json_t *string = json_stringn(text, size);

        if (!string) /* no UTF-8 */
                return;
        _cleanup_free_ char *theirs = json_dumps(string, JSON_ENCODE_ANY);
        _cleanup_free_ char *ours = malloc(JSON_ESCAPED_MAX(size) + 1);
        check(theirs && ours);
        size_t length = (size_t) (json_escape(text, size, ours) - ours);
        check(strlen(theirs) == length + 2 && memcmp(theirs + 1, ours, length) == 0);
        json_decref(string);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;

        /* a copy of exactly this size, so that a sanitizer sees a read beyond it */
        _cleanup_free_ char *text = malloc(size);
        if (!text)
                abort();
        memcpy(text, data + 1, size - 1);
        if (data[0] % 3 == 0)
                try_create(text, size - 1);
        else if (data[0] % 3 == 1)
                try_patch(text, size - 1);
        else
                try_exec(text, size - 1);
        check_written(text, size - 1);
        return 0;
}
