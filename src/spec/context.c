/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spec/context.h"

#include <string.h>

#include "spec/create.h"
#include "spec/exec.h"

void context_spec_clear(ContextSpec *c) {
        free(c->language);
        free(c->cwd);
        json_decref(c->env);
        *c = (ContextSpec){ 0 };
}

int context_spec_parse(ContextSpec *c, const json_t *object, Error *error) {
        static const JsonField fields[] = {
                { "language", json_parse_text, offsetof(ContextSpec, language) },
                { "cwd", exec_parse_cwd, offsetof(ContextSpec, cwd) },
                { "env", env_parse, offsetof(ContextSpec, env) },
                { 0 },
        };

        int r = json_apply(object, fields, c, error);
        if (r == 0 && !c->language)
                r = error_set_field(error, ERROR_MALFORMED, "language", NULL, "Give \"language\".");
        return r;
}

int context_spec_read(ContextSpec *c, const char *text, size_t length, Error *error) {
        _cleanup_json_ json_t *object = NULL;

        int r = json_read_object(text, length, &object, error);
        return r < 0 ? r : context_spec_parse(c, object, error);
}

void run_spec_clear(RunSpec *r) {
        free(r->code);
        *r = (RunSpec){ 0 };
}

static int code_parse(const char *name, const json_t *value, void *ret, Error *error) {
        char **code = ret;

        if (!json_is_string(value))
                return error_set_field(error, ERROR_MALFORMED, name, NULL, "\"%s\" has to be a string.", name);
        if (json_string_length(value) > RUN_CODE_MAX)
                return error_set_field(error, ERROR_TOO_LARGE, name, "1 MiB",
                        "\"%s\" is longer than 1 MiB; put it into a file and run that.", name);
        free(*code);
        *code = strdup(json_string_value(value));
        return *code ? 0 : -ENOMEM;
}

int run_spec_parse(RunSpec *r, const json_t *object, Error *error) {
        static const JsonField fields[] = {
                { "code", code_parse, offsetof(RunSpec, code) },
                { "timeout", exec_parse_timeout, offsetof(RunSpec, timeout) },
                { "max_output", exec_parse_output_max, offsetof(RunSpec, output_max) },
                { 0 },
        };

        r->timeout = EXEC_TIMEOUT_DEFAULT;
        int k = json_apply(object, fields, r, error);
        if (k == 0 && !r->code)
                k = error_set_field(error, ERROR_MALFORMED, "code", NULL, "Give \"code\".");
        return k;
}

int run_spec_read(RunSpec *r, const char *text, size_t length, Error *error) {
        _cleanup_json_ json_t *object = NULL;

        int k = json_read_object(text, length, &object, error);
        return k < 0 ? k : run_spec_parse(r, object, error);
}
