/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/audit.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/ctl.h"
#include "ctl/terminal.h"
#include "ctl/unit.h"

#define WORDS_MAX 24U

/* The messages that say what somebody did: ids as in the service's catalog. */
typedef struct AuditMessage {
        const char *id;
        const char *action; /* NULL: the entry names it */
} AuditMessage;

/* clang-format off */
static const AuditMessage messages[] = {
        { "8f7c5b70f9374d56a54f8fd3e4987683", "create" },
        { "7ad054a49fa641a688fe666be933e5aa", "end" },
        { "91c72538e6f9442daa7078972abebfa7", "exec" },
        { "de70289539e14dd098b6bf467ab9cdb8", "refused" },
        { "5d5a4f3c1e9b4f0c9d0c6a7b2f8e1d34", NULL },
};
/* clang-format on */

static const char *field(const json_t *entry, const char *name) {
        return json_string_value(json_object_get(entry, name));
}

const char *audit_action(const json_t *entry) {
        const char *id = field(entry, "MESSAGE_ID");

        for (size_t i = 0; id && i < ELEMENTSOF(messages); i++)
                if (strcmp(messages[i].id, id) == 0)
                        return messages[i].action ?: field(entry, "SANDBOXD_ACTION");
        return NULL;
}

static usec_t entry_time(const json_t *entry) {
        const char *text = field(entry, "__REALTIME_TIMESTAMP");
        uint64_t value = 0;

        return text && parse_unsigned(text, &value) == 0 ? value : 0;
}

/* What else there is to say: pairs of a word and a field. */
static char *details(const json_t *entry) {
        static const char *const pairs[][2] = { { "EXEC_ID", "command" }, { "SANDBOXD_PATH", "path" },
                { "REASON", "reason" }, { "EXIT_CODE", "exit" }, { "SANDBOXD_STATUS", "status" },
                { "REQUEST_ID", "request" }, { "SANDBOXD_HIDDEN", "not shown before" } };
        char *text = xstrdup("");

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                const char *value = field(entry, pairs[i][0]);
                _cleanup_free_ char *safe = NULL, *before = text;
                if (!value)
                        text = take_ptr(before);
                else {
                        safe = terminal_escape_string(value);
                        text = xasprintf("%s%s%s=%s", before, *before ? " " : "", pairs[i][1], safe);
                }
        }
        return text;
}

static char *shown(const json_t *entry, const char *name) {
        return terminal_escape_string(field(entry, name) ?: "-");
}

char *audit_line(const json_t *entry) {
        const char *action = audit_action(entry);
        _cleanup_free_ char *worker = NULL, *owner = NULL, *caller = NULL, *session = NULL, *rest = NULL, *safe = NULL;
        char time[TIMESTAMP_MAX];

        if (!action)
                return NULL;
        safe = terminal_escape_string(action);
        worker = shown(entry, "WORKER_ID");
        owner = shown(entry, "SANDBOXD_OWNER");
        caller = shown(entry, "SANDBOXD_CALLER");
        session = shown(entry, "SESSION_ID");
        rest = details(entry);
        return xasprintf("%s  %-8s  %-10s  %-22s  %-8s  %s  %s", format_timestamp(entry_time(entry), time), worker,
                owner, caller, safe, session, rest);
}

json_t *audit_object(const json_t *entry) {
        static const char *const pairs[][2] = { { "WORKER_ID", "worker_id" }, { "SANDBOXD_OWNER", "owner" },
                { "SANDBOXD_CALLER", "caller" }, { "SESSION_ID", "session_id" }, { "EXEC_ID", "exec_id" },
                { "SANDBOXD_PATH", "path" }, { "REASON", "reason" }, { "EXIT_CODE", "exit_code" },
                { "SANDBOXD_STATUS", "status" }, { "REQUEST_ID", "request_id" }, { "SANDBOXD_HIDDEN", "hidden" } };
        const char *action = audit_action(entry);
        char time[TIMESTAMP_MAX];

        if (!action)
                return NULL;
        json_t *o = json_pack("{s:s, s:s}", "time", format_timestamp(entry_time(entry), time), "action", action);
        for (size_t i = 0; o && i < ELEMENTSOF(pairs); i++) {
                const char *value = field(entry, pairs[i][0]);
                if (value && json_object_set_new(o, pairs[i][1], json_string(value)) < 0)
                        out_of_memory();
        }
        if (!o)
                out_of_memory();
        return o;
}

static void print_entry(const Ctl *ctl, const char *text, size_t length) {
        _cleanup_json_ json_t *entry = json_loadb(text, length, 0, NULL), *object = NULL;
        _cleanup_free_ char *line = NULL;

        if (!entry) /* none of ours */
                return;
        if (ctl->options.json) {
                object = audit_object(entry);
                line = object ? json_dumps(object, JSON_COMPACT) : NULL;
        } else
                line = audit_line(entry);
        if (line)
                printf("%s\n", line);
}

static int read_journal(const Ctl *ctl, const char *const *argv) {
        _cleanup_free_ char *text = NULL;
        size_t room = 0;
        pid_t pid;
        FILE *f;

        int r = program_open(argv, &f, &pid);
        if (r < 0) {
                print_error("journalctl: %s", strerror(-r));
                return STATUS_FAILED;
        }
        for (ssize_t n; (n = getline(&text, &room, f)) > 0;) {
                print_entry(ctl, text, (size_t) n);
                if (ctl->options.follow_audit && (fflush(stdout) != 0 || ferror(stdout)))
                        break; /* nobody reads any more */
        }
        (void) fclose(f);
        r = program_wait(pid);
        if (r < 0 || (r > 0 && !ctl->options.follow_audit)) {
                print_error("journalctl could not read the journal (status %d)", r);
                return STATUS_FAILED;
        }
        return 0;
}

int command_audit(Ctl *ctl, int argc, char **argv) {
        _cleanup_free_ char *session = NULL, *owner = NULL, *since = NULL;
        char *ids[ELEMENTSOF(messages)];
        const char *words[WORDS_MAX] = { "journalctl", "-q", "-o", "json", "--no-pager" };
        size_t n = 5;

        if (ctl_names_server(ctl)) {
                print_error("audit reads this machine's journal; run it on the server");
                return STATUS_USAGE;
        }
        if (argc > 0 && !ctl_check_id(argv[0]))
                return STATUS_USAGE;
        if (ctl->options.follow_audit) {
                words[n++] = "-f";
                words[n++] = ctl->options.since ? "--no-tail" : "-n0";
        }
        if (ctl->options.since)
                words[n++] = since = xasprintf("--since=%s", ctl->options.since);
        for (size_t i = 0; i < ELEMENTSOF(messages); i++)
                words[n++] = ids[i] = xasprintf("MESSAGE_ID=%s", messages[i].id);
        if (argc > 0)
                words[n++] = session = xasprintf("SESSION_ID=%s", argv[0]);
        if (ctl->options.owner)
                words[n++] = owner = xasprintf("SANDBOXD_OWNER=%s", ctl->options.owner);
        words[n] = NULL;

        int status = read_journal(ctl, words);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                free(ids[i]);
        return status;
}
