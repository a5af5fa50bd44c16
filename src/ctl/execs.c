/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/exec.h"
#include "ctl/follow.h"
#include "ctl/reader.h"
#include "ctl/table.h"
#include "ctl/terminal.h"

/* Commands of a session that run or have run: ps, logs, signal. */

typedef struct ExecView {
        const char *id, *state, *command, *created_at, *reason;
        uint64_t pid, exit_code;
        bool has_pid, has_exit_code;
} ExecView;

static int exec_view(const json_t *exec, ExecView *ret) {
        Reader r = reader_open(exec);
        ExecView v = {
                .id = reader_id(&r, "exec_id", REQUIRED),
                .state = reader_text(&r, "state", REQUIRED),
                .command = reader_text(&r, "command", OPTIONAL),
                .created_at = reader_text(&r, "created_at", OPTIONAL),
                .reason = reader_text(&r, "reason", OPTIONAL),
        };
        v.has_pid = reader_unsigned(&r, "pid", OPTIONAL, &v.pid);
        v.has_exit_code = reader_unsigned(&r, "exit_code", OPTIONAL, &v.exit_code);

        int e = reader_finish(&r, "exec");
        if (e == 0)
                *ret = v;
        return e;
}

static int get_execs(Ctl *ctl, const char *session_id, json_t **ret, const json_t **ret_list) {
        _cleanup_free_ char *path = xasprintf("/v1/sessions/%s/execs", session_id);
        _cleanup_json_ json_t *answer = NULL;

        int r = ctl_call(ctl, &(Call){ .method = "GET", .path = path }, &answer);
        if (r < 0)
                return r;
        Reader reader = reader_open(answer);
        *ret_list = reader_array(&reader, "execs", REQUIRED);
        r = reader_finish(&reader, "list of commands");
        if (r == 0)
                *ret = take_ptr(answer);
        return r;
}

static char *how_it_ended(const ExecView *v) {
        if (strcmp(v->state, "ended") != 0)
                return xstrdup("-");
        if (v->reason && strcmp(v->reason, "exited") != 0 && strcmp(v->reason, "signaled") != 0)
                return terminal_escape_string(v->reason);
        return v->has_exit_code ? xasprintf("%llu", (unsigned long long) v->exit_code) : xstrdup("-");
}

int command_ps(Ctl *ctl, int argc, char **argv) {
        static const char *const heads[] = { "COMMAND ID", "STATE", "PID", "STATUS", "AGE", "COMMAND" };
        _cleanup_(table_freep) Table *t = table_new(heads, ELEMENTSOF(heads));
        _cleanup_json_ json_t *answer = NULL;
        const json_t *list, *item;
        size_t i;

        (void) argc; /* one, by the table */
        if (!ctl_check_id(argv[0]))
                return STATUS_USAGE;
        if (get_execs(ctl, argv[0], &answer, &list) < 0)
                return STATUS_FAILED;
        if (ctl->options.json) {
                print_json(answer);
                return 0;
        }
        json_array_foreach((json_t *) list, i, item) {
                char span[SPAN_MAX];
                ExecView v;
                usec_t created, now = clock_realtime();
                if (exec_view(item, &v) < 0)
                        return STATUS_FAILED;
                if (ctl->options.quiet) {
                        printf("%s\n", v.id);
                        continue;
                }
                _cleanup_free_ char *ended = how_it_ended(&v);
                bool dated = v.created_at && parse_timestamp(v.created_at, &created) == 0;
                table_add(t, COLOUR_NONE, v.id);
                table_add(t, strcmp(v.state, "running") == 0 ? COLOUR_GOOD : COLOUR_NONE, v.state);
                if (v.has_pid)
                        table_addf(t, COLOUR_NONE, "%llu", (unsigned long long) v.pid);
                else
                        table_add(t, COLOUR_NONE, NULL);
                table_add(t, COLOUR_NONE, ended);
                table_add(t, COLOUR_NONE, dated ? format_span(now > created ? now - created : 0, span) : NULL);
                table_add(t, COLOUR_NONE, v.command);
        }
        if (!ctl->options.quiet)
                table_print(t, stdout);
        return 0;
}

/* The one that was started last of those whose output is kept, when none is named. */
static int find_last(Ctl *ctl, const char *session_id, char **ret) {
        _cleanup_json_ json_t *answer = NULL;
        const json_t *list, *item;
        const char *last = NULL;
        size_t i;
        ExecView v;

        int r = get_execs(ctl, session_id, &answer, &list);
        if (r < 0)
                return r;
        json_array_foreach((json_t *) list, i, item) {
                r = exec_view(item, &v);
                if (r < 0)
                        return r;
                last = v.id;
        }
        if (!last) {
                print_error("No command of the session has output that is kept: it was not run with --detach");
                return -ENOENT;
        }
        *ret = xstrdup(last);
        return 0;
}

int command_logs(Ctl *ctl, int argc, char **argv) {
        _cleanup_free_ char *id = NULL, *path = NULL;
        _cleanup_json_ json_t *exec = NULL, *end = NULL;
        uint64_t next = 0;

        if (!ctl_check_id(argv[0]) || (argc > 1 && !ctl_check_id(argv[1])))
                return STATUS_USAGE;
        if (argc > 1)
                id = xstrdup(argv[1]);
        else if (find_last(ctl, argv[0], &id) < 0)
                return STATUS_FAILED;

        path = xasprintf("/v1/sessions/%s/execs/%s", argv[0], id);
        if (ctl_call(ctl, &(Call){ .method = "GET", .path = path }, &exec) < 0)
                return STATUS_FAILED;
        Reader r = reader_open(exec);
        const char *encoding = reader_text(&r, "encoding", OPTIONAL);
        bool kept = reader_unsigned(&r, "output_next", OPTIONAL, &next);
        if (reader_finish(&r, "exec") < 0)
                return STATUS_FAILED;
        if (!kept || (next == 0 && !ctl->options.follow))
                return 0;

        free(take_ptr(path));
        path = xasprintf("/v1/sessions/%s/execs/%s/output", argv[0], id);
        Call call = {
                .method = "GET",
                .path = path,
                .timeout = ctl->options.follow ? USEC_INFINITY : REQUEST_TIMEOUT,
        };
        bool base64 = encoding && strcmp(encoding, "base64") == 0;
        return follow_output(ctl, &call, base64, ctl->options.follow ? UINT64_MAX : next, &end) < 0 ? STATUS_FAILED : 0;
}

int command_signal(Ctl *ctl, int argc, char **argv) {
        _cleanup_free_ char *path = NULL;
        _cleanup_json_ json_t *body = NULL;
        uint64_t number;

        (void) argc; /* three, by the table */
        if (!ctl_check_id(argv[0]) || !ctl_check_id(argv[1]))
                return STATUS_USAGE;
        if (parse_unsigned(argv[2], &number) == 0)
                body = json_pack("{s:I}", "signal", (json_int_t) MIN(number, (uint64_t) INT32_MAX));
        else
                body = json_pack("{s:s}", "signal", argv[2]);
        if (!body) {
                print_error("The signal's name is not valid UTF-8");
                return STATUS_USAGE;
        }
        path = xasprintf("/v1/sessions/%s/execs/%s/signal", argv[0], argv[1]);
        return ctl_call(ctl, &(Call){ .method = "POST", .path = path, .body = body }, NULL) < 0 ? STATUS_FAILED : 0;
}
