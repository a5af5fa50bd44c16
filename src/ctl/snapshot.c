/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "ctl/reader.h"
#include "ctl/session.h"
#include "ctl/table.h"

/* Sessions that stand still, are kept and are multiplied. */

#define COPY_TIMEOUT (900 * USEC_PER_SEC) /* all of a session's files may have to be copied */

/* --- pause and resume --- */

static int change_state(Ctl *ctl, int argc, char **argv, const char *verb, const json_t *body) {
        _cleanup_json_ json_t *changed = json_array();

        if (!changed)
                out_of_memory();
        for (int i = 0; i < argc; i++)
                if (!ctl_check_id(argv[i]))
                        return STATUS_USAGE;
        for (int i = 0; i < argc; i++) {
                _cleanup_free_ char *path = xasprintf("/v1/sessions/%s/%s", argv[i], verb);
                json_t *session = NULL;
                if (ctl_call(ctl, &(Call){ .method = "POST", .path = path, .body = body }, &session) < 0)
                        return STATUS_FAILED;
                if (json_array_append_new(changed, session ? session : json_null()) < 0)
                        out_of_memory();
        }
        if (ctl->options.json) {
                _cleanup_json_ json_t *document = json_pack("{s:O}", "sessions", changed);
                print_json(document);
        }
        return 0;
}

int command_pause(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *body = json_pack("{s:b}", "stop_clock", ctl->options.stop_clock);

        return change_state(ctl, argc, argv, "pause", body);
}

int command_resume(Ctl *ctl, int argc, char **argv) {
        return change_state(ctl, argc, argv, "resume", NULL);
}

/* --- snapshots --- */

int command_snapshot(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *snapshot = NULL;
        _cleanup_free_ char *path = NULL;

        (void) argc; /* one, by the table */
        if (!ctl_check_id(argv[0]))
                return STATUS_USAGE;
        path = xasprintf("/v1/sessions/%s/snapshots", argv[0]);
        if (ctl_call(ctl, &(Call){ .method = "POST", .path = path, .timeout = COPY_TIMEOUT, .shielded = true },
                    &snapshot) < 0)
                return STATUS_FAILED;
        if (ctl->options.json) {
                print_json(snapshot);
                return 0;
        }
        Reader r = reader_open(snapshot);
        const char *id = reader_id(&r, "snapshot_id", REQUIRED);
        if (reader_finish(&r, "snapshot") < 0)
                return STATUS_FAILED;
        printf("snapshot:%s\n", id);
        return 0;
}

static int add_snapshot(Table *t, const json_t *snapshot, bool quiet) {
        Reader r = reader_open(snapshot);
        const char *id = reader_id(&r, "snapshot_id", REQUIRED), *base = reader_text(&r, "base_image", OPTIONAL),
                   *worker = reader_text(&r, "worker_id", OPTIONAL), *created = reader_text(&r, "created_at", OPTIONAL);
        char size_text[SPAN_MAX];
        uint64_t size = 0;

        (void) reader_unsigned(&r, "size", OPTIONAL, &size);
        int k = reader_finish(&r, "snapshot");
        if (k < 0)
                return k;
        if (quiet) {
                printf("%s\n", id);
                return 0;
        }
        table_addf(t, COLOUR_NONE, "snapshot:%s", id);
        table_add(t, COLOUR_NONE, base);
        table_add(t, COLOUR_NONE, worker);
        table_add(t, COLOUR_NONE, created);
        table_add(t, COLOUR_NONE, format_size(size, size_text));
        return 0;
}

static int fetch_snapshots(Ctl *ctl, json_t *all) {
        _cleanup_free_ char *next = NULL;

        do {
                _cleanup_free_ char *token = next ? client_escape(next) : NULL,
                                    *path = xasprintf("/v1/snapshots%s%s", token ? "?next=" : "", token ? token : "");
                _cleanup_json_ json_t *page = NULL;
                if (ctl_call(ctl, &(Call){ .method = "GET", .path = path }, &page) < 0)
                        return -EREMOTEIO;
                Reader reader = reader_open(page);
                const json_t *list = reader_array(&reader, "snapshots", REQUIRED);
                const char *following = reader_text(&reader, "next", OPTIONAL);
                if (following && (json_array_size(list) == 0 || strlen(following) > 1024))
                        reader.bad = "next"; /* would never end */
                int r = reader_finish(&reader, "list");
                if (r < 0)
                        return r;
                if (json_array_extend(all, (json_t *) list) < 0)
                        out_of_memory();
                free(next);
                next = following ? xstrdup(following) : NULL;
        } while (next);
        return 0;
}

int command_snapshot_list(Ctl *ctl, int argc, char **argv) {
        static const char *const heads[] = { "IMAGE", "BASE", "WORKER", "CREATED", "SIZE" };
        _cleanup_json_ json_t *all = json_array();
        _cleanup_(table_freep) Table *t = NULL;
        json_t *snapshot;
        size_t i;

        (void) argc, (void) argv; /* takes none */
        if (!all)
                out_of_memory();
        if (fetch_snapshots(ctl, all) < 0)
                return STATUS_FAILED;
        if (ctl->options.json) {
                _cleanup_json_ json_t *document = json_pack("{s:O}", "snapshots", all);
                print_json(document);
                return 0;
        }
        t = table_new(heads, ELEMENTSOF(heads));
        json_array_foreach(all, i, snapshot) {
                if (add_snapshot(t, snapshot, ctl->options.quiet) < 0)
                        return STATUS_FAILED;
        }
        if (!ctl->options.quiet)
                table_print(t, stdout);
        return 0;
}

int command_snapshot_delete(Ctl *ctl, int argc, char **argv) {
        for (int i = 0; i < argc; i++) {
                const char *id = strncmp(argv[i], "snapshot:", 9) == 0 ? argv[i] + 9 : argv[i];
                if (!ctl_check_id(id))
                        return STATUS_USAGE;
                _cleanup_free_ char *path = xasprintf("/v1/snapshots/%s", id);
                if (ctl_call(ctl, &(Call){ .method = "DELETE", .path = path, .shielded = true }, NULL) < 0)
                        return STATUS_FAILED;
        }
        return 0;
}

/* --- fork --- */

int command_fork(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *answer = NULL, *body = json_object();
        _cleanup_free_ char *path = NULL;
        json_t *session;
        size_t i;

        if (!body)
                out_of_memory();
        if (!ctl_check_id(argv[0]))
                return STATUS_USAGE;
        if (argc > 1) {
                char *end;
                unsigned long n = strtoul(argv[1], &end, 10);
                if (*end || end == argv[1] || n == 0 || n > 1000000) {
                        print_error("COUNT has to be a whole number from 1 on");
                        return STATUS_USAGE;
                }
                if (json_object_set_new(body, "count", json_integer((json_int_t) n)) < 0)
                        out_of_memory();
        }
        path = xasprintf("/v1/sessions/%s/fork", argv[0]);
        if (ctl_call(ctl,
                    &(Call){ .method = "POST", .path = path, .body = body, .timeout = COPY_TIMEOUT, .shielded = true },
                    &answer) < 0)
                return STATUS_FAILED;
        if (ctl->options.json) {
                print_json(answer);
                return 0;
        }
        Reader r = reader_open(answer);
        const json_t *sessions = reader_array(&r, "sessions", REQUIRED);
        if (reader_finish(&r, "fork") < 0)
                return STATUS_FAILED;
        json_array_foreach((json_t *) sessions, i, session) {
                SessionView v;
                if (session_view(session, &v) < 0)
                        return STATUS_FAILED;
                printf("%s\n", v.id);
        }
        return 0;
}
