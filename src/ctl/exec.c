/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/exec.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/follow.h"
#include "ctl/interrupt.h"
#include "ctl/reader.h"
#include "ctl/request.h"
#include "ctl/session.h"
#include "ctl/terminal.h"

#define COMMAND_TIMEOUT_DEFAULT (60 * USEC_PER_SEC) /* the server's own */
#define COMMAND_GRACE (30 * USEC_PER_SEC)           /* for the answer, after the command's time is over */
#define COMMAND_TIMEOUT_MAX (UINT64_C(100) * 24 * 3600 * USEC_PER_SEC)

void exec_result_clear(ExecResult *result) {
        free(result->message);
        free(result->out);
        free(result->err);
        *result = (ExecResult){ 0 };
}

static void stream_read(Reader *r, const char *name, bool base64, char **ret, size_t *ret_length) {
        const json_t *value = r->bad ? NULL : json_object_get(r->object, name);
        size_t length = json_string_length(value);

        if (!json_is_string(value)) {
                r->bad = r->bad ?: name;
                return;
        }
        if (base64) {
                _cleanup_free_ void *bytes = NULL;

                if (base64_decode(json_string_value(value), length, &bytes, &length) < 0) {
                        r->bad = name;
                        return;
                }
                *ret = xrealloc(NULL, length + 1);
                memcpy(*ret, bytes, length);
        } else {
                *ret = xrealloc(NULL, length + 1);
                memcpy(*ret, json_string_value(value), length);
        }
        (*ret)[length] = '\0';
        *ret_length = length;
}

/* A signal's number from the number itself or a name as "KILL" or "SIGKILL"; 0 for none. */
static int signal_read(const json_t *value) {
        const char *name = json_string_value(value);

        if (json_is_integer(value))
                return json_integer_value(value) > 0 && json_integer_value(value) <= SIGRTMAX
                               ? (int) json_integer_value(value)
                               : 0;
        if (!name)
                return 0;
        if (strncmp(name, "SIG", 3) == 0)
                name += 3;
        for (int i = 1; i <= SIGRTMAX; i++) {
                const char *known = sigabbrev_np(i);
                if (known && strcmp(known, name) == 0)
                        return i;
        }
        return 0;
}

/* The status that a shell would give, if the answer tells one. */
static int plain_status(const json_t *answer, Reader *r) {
        const json_t *code = json_object_get(answer, "exit_code");
        int sig = signal_read(json_object_get(answer, "signal"));

        if (sig > 0)
                return 128 + sig;
        if (!code || json_is_null(code))
                return STATUS_REFUSED;
        if (!json_is_integer(code) || json_integer_value(code) < -1 || json_integer_value(code) > 255) {
                r->bad = r->bad ?: "exit_code";
                return STATUS_REFUSED;
        }
        return json_integer_value(code) < 0 ? STATUS_REFUSED : (int) json_integer_value(code);
}

/* What @reason means for people and for the status. */
static void explain(ExecResult *result, const char *reason) {
        result->reason = reason;
        if (strcmp(reason, "timeout") == 0) {
                result->status = STATUS_TIMEOUT;
                result->message = xstrdup("The command's time is over, it was ended");
        } else if (strcmp(reason, "oom") == 0) {
                result->status = 128 + SIGKILL;
                result->message = xstrdup("The command needed more memory than the sandbox may have, it was ended");
        } else if (strcmp(reason, "pids") == 0) {
                result->message = xstrdup("The command wanted more processes than the sandbox may have");
        } else if (strcmp(reason, "cancelled") == 0 || strcmp(reason, "lost") == 0) {
                result->status = STATUS_REFUSED;
                result->message = xasprintf("The command's end is not known: %s", reason);
        } else if (strcmp(reason, "exited") != 0 && strcmp(reason, "signaled") != 0) {
                _cleanup_free_ char *safe = terminal_escape_string(reason);
                result->message = xasprintf("The command ended: %s", safe);
        }
}

static int read_end(Reader *r, ExecResult *result) {
        const char *reason = reader_text(r, "reason", REQUIRED);
        result->status = plain_status(r->object, r);
        int e = reader_finish(r, "exec");

        if (e == 0)
                explain(result, reason);
        return e;
}

int exec_end_read(const json_t *end, ExecResult *ret) {
        ExecResult result = { 0 };
        Reader r = reader_open(end);
        int e = read_end(&r, &result);

        if (e == 0)
                *ret = result;
        return e;
}

int exec_result_read(const json_t *answer, bool base64, ExecResult *ret) {
        _cleanup_exec_result_ ExecResult result = { 0 };
        Reader r = reader_open(answer);

        stream_read(&r, "stdout", base64, &result.out, &result.out_length);
        stream_read(&r, "stderr", base64, &result.err, &result.err_length);
        result.out_truncated = reader_boolean(&r, "stdout_truncated", OPTIONAL);
        result.err_truncated = reader_boolean(&r, "stderr_truncated", OPTIONAL);
        int e = read_end(&r, &result);
        if (e < 0)
                return e;
        *ret = result;
        result = (ExecResult){ 0 };
        return 0;
}

/* How long the answer may take. */
static usec_t patience(usec_t command_timeout) {
        return (command_timeout == OPTION_UNSET ? COMMAND_TIMEOUT_DEFAULT : MIN(command_timeout, COMMAND_TIMEOUT_MAX)) +
               COMMAND_GRACE;
}

int exec_call(Ctl *ctl, const char *session_id, const json_t *body, usec_t command_timeout, json_t **ret) {
        _cleanup_free_ char *path = xasprintf("/v1/sessions/%s/exec", session_id);

        return ctl_call(ctl,
                &(Call){
                        .method = "POST",
                        .path = path,
                        .body = body,
                        .timeout = patience(command_timeout),
                },
                ret);
}

/* The command's output is the one thing that is passed on untouched. */
static void pass_on(const ExecResult *result, bool quiet) {
        (void) fwrite(result->out, 1, result->out_length, stdout); /* errors are seen at the end of the program */
        (void) fflush(stdout);
        (void) fwrite(result->err, 1, result->err_length, stderr); /* nowhere to complain about it */
        if (quiet)
                return;
        if (result->out_truncated)
                print_note("Standard output was longer than the limit, its middle is left out (see --max-output)");
        if (result->err_truncated)
                print_note("Standard error was longer than the limit, its middle is left out (see --max-output)");
}

/* Its output appears as it comes. */
static int exec_live(Ctl *ctl, const char *session_id, const json_t *body) {
        _cleanup_free_ char *path = xasprintf("/v1/sessions/%s/exec", session_id);
        _cleanup_json_ json_t *end = NULL;
        _cleanup_exec_result_ ExecResult result = { 0 };
        Call call = {
                .method = "POST",
                .path = path,
                .body = body,
                .timeout = patience(ctl->options.command_timeout),
        };

        if (follow_output(ctl, &call, true, UINT64_MAX, &end) < 0)
                return STATUS_REFUSED;
        if (!end) {
                print_error("The connection was closed before the command had ended");
                return STATUS_REFUSED;
        }
        if (exec_end_read(end, &result) < 0)
                return STATUS_REFUSED;
        if (result.message)
                print_error("%s", result.message);
        return result.status;
}

static int exec_in(Ctl *ctl, const char *session_id, const json_t *body) {
        _cleanup_json_ json_t *answer = NULL;
        _cleanup_exec_result_ ExecResult result = { 0 };

        if (!ctl->options.json && ctl->options.max_output == OPTION_UNSET)
                return exec_live(ctl, session_id, body);
        if (exec_call(ctl, session_id, body, ctl->options.command_timeout, &answer) < 0)
                return STATUS_REFUSED;
        if (exec_result_read(answer, !ctl->options.json, &result) < 0)
                return STATUS_REFUSED;
        if (ctl->options.json)
                print_json(answer);
        else
                pass_on(&result, ctl->options.quiet);
        if (result.message)
                print_error("%s", result.message);
        return result.status;
}

static int make_body(const Options *o, int argc, char **argv, json_t **ret) {
        _cleanup_free_ char *input = NULL;
        size_t length = 0;

        if (o->interactive) {
                int r = read_all(STDIN_FILENO, ANSWER_MAX, &input, &length);
                if (r < 0) {
                        print_error("Standard input: %s", r == -EFBIG ? "longer than 64 MiB" : strerror(-r));
                        return r;
                }
        }
        return request_exec(o, argc, argv, input, length, ret);
}

/* Starts it and lets it go on by itself. */
static int exec_detached(Ctl *ctl, const char *session_id, json_t *body) {
        _cleanup_json_ json_t *answer = NULL;

        if (json_object_set_new(body, "background", json_true()) < 0)
                out_of_memory();
        if (exec_call(ctl, session_id, body, 0, &answer) < 0)
                return STATUS_REFUSED;
        Reader r = reader_open(answer);
        const char *id = reader_id(&r, "exec_id", REQUIRED);
        if (reader_finish(&r, "exec") < 0)
                return STATUS_REFUSED;
        if (ctl->options.json)
                print_json(answer);
        else
                printf("%s\n", id);
        return 0;
}

int command_exec(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *body = NULL;

        if (!ctl_check_id(argv[0]))
                return STATUS_REFUSED;
        if (make_body(&ctl->options, argc - 1, argv + 1, &body) < 0)
                return STATUS_REFUSED;
        if (ctl->options.env && json_object_set(body, "env", ctl->options.env) < 0)
                out_of_memory();
        return ctl->options.detach ? exec_detached(ctl, argv[0], body) : exec_in(ctl, argv[0], body);
}

int command_run(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *body = NULL, *session = NULL;
        Options *o = &ctl->options;
        SessionView v;
        int status;

        if (make_body(o, argc, argv, &body) < 0)
                return STATUS_REFUSED;
        /* the session must outlive the command */
        if (o->ttl == OPTION_UNSET && o->command_timeout != OPTION_UNSET)
                o->ttl = MIN(o->command_timeout, COMMAND_TIMEOUT_MAX) + 2 * COMMAND_GRACE;

        if (interrupt_catch() < 0 || session_create(ctl, &session) < 0 || session_view(session, &v) < 0)
                return STATUS_REFUSED;
        status = interrupt_count() > 0 ? STATUS_REFUSED : exec_in(ctl, v.id, body);
        (void) session_delete(ctl, v.id); /* it has said why; the command's status is what counts */
        return status;
}
