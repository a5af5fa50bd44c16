/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "ctl/reader.h"
#include "ctl/session.h"
#include "ctl/table.h"

/* Most sessions that list takes in, over all pages. */
#define SESSIONS_MAX 100000U

static Colour state_colour(const char *state) {
        if (strcmp(state, "running") == 0)
                return COLOUR_GOOD;
        if (strcmp(state, "paused") == 0)
                return COLOUR_WARN;
        return strcmp(state, "lost") == 0 ? COLOUR_BAD : COLOUR_NONE;
}

/* How far @text lies from now, or the text itself when it is no time. */
static char *distance(const char *text, bool future) {
        char buf[SPAN_MAX];
        usec_t then, now = clock_realtime();

        if (!text)
                return NULL;
        if (parse_timestamp(text, &then) < 0)
                return xstrdup(text);
        if (future)
                return xstrdup(then > now ? format_span(then - now, buf) : "now");
        return xstrdup(format_span(now > then ? now - then : 0, buf));
}

static void add_row(Table *t, const SessionView *v) {
        _cleanup_free_ char *age = distance(v->created_at, false), *rest = distance(v->expires_at, true);

        table_add(t, COLOUR_NONE, v->id);
        table_add(t, state_colour(v->state), v->state);
        table_add(t, COLOUR_NONE, v->image);
        table_add(t, COLOUR_NONE, v->worker_id);
        table_add(t, COLOUR_NONE, age);
        table_add(t, COLOUR_NONE, rest);
        table_add(t, COLOUR_NONE, v->key);
}

static void query_add(char **query, const char *prefix, const char *name, const char *value) {
        _cleanup_free_ char *n = client_escape(name), *v = client_escape(value), *old = *query;

        *query = xasprintf("%s%c%s%s=%s", old, *old ? '&' : '?', prefix, n, v);
}

/* "?state=...&metadata.NAME=VALUE&next=...", or "". */
static char *list_query(const Options *o, const char *next) {
        char *query = xstrdup("");
        const char *name;
        json_t *value;

        if (o->state)
                query_add(&query, "", "state", o->state);
        json_object_foreach(o->metadata, name, value) query_add(&query, "metadata.", name, json_string_value(value));
        if (next)
                query_add(&query, "", "next", next);
        return query;
}

/* Appends all pages' sessions to @all. */
static int fetch_all(Ctl *ctl, json_t *all) {
        _cleanup_free_ char *next = NULL;

        do {
                _cleanup_free_ char *query = list_query(&ctl->options, next),
                                    *path = xasprintf("/v1/sessions%s", query);
                _cleanup_json_ json_t *page = NULL;
                int r;

                r = ctl_call(ctl, &(Call){ .method = "GET", .path = path }, &page);
                if (r < 0)
                        return r;

                Reader reader = reader_open(page);
                const json_t *sessions = reader_array(&reader, "sessions", REQUIRED);
                const char *token = reader_text(&reader, "next", OPTIONAL);
                if (token && (json_array_size(sessions) == 0 || strlen(token) > 1024))
                        reader.bad = "next"; /* would never end */
                r = reader_finish(&reader, "list");
                if (r < 0)
                        return r;
                if (json_array_extend(all, (json_t *) sessions) < 0)
                        out_of_memory();
                if (token && json_array_size(all) >= SESSIONS_MAX) {
                        print_note("Only the first %zu sessions are shown", json_array_size(all));
                        break;
                }
                free(next);
                next = token ? xstrdup(token) : NULL;
        } while (next);
        return 0;
}

int command_list(Ctl *ctl, int argc, char **argv) {
        static const char *const heads[] = { "ID", "STATE", "IMAGE", "WORKER", "AGE", "EXPIRES IN", "NAME" };
        _cleanup_json_ json_t *all = json_array();
        _cleanup_(table_freep) Table *t = NULL;
        SessionView v;
        size_t i;
        json_t *session;

        (void) argc, (void) argv; /* takes none */
        if (!all)
                out_of_memory();
        if (fetch_all(ctl, all) < 0)
                return STATUS_FAILED;

        if (ctl->options.json) {
                _cleanup_json_ json_t *document = json_pack("{s:O}", "sessions", all);
                print_json(document);
                return 0;
        }
        t = table_new(heads, ELEMENTSOF(heads));
        json_array_foreach(all, i, session) {
                if (session_view(session, &v) < 0)
                        return STATUS_FAILED;
                if (ctl->options.quiet)
                        printf("%s\n", v.id);
                else
                        add_row(t, &v);
        }
        if (!ctl->options.quiet)
                table_print(t, stdout);
        return 0;
}

static void print_line(const char *label, const char *text) {
        _cleanup_free_ char *safe = NULL;

        if (!text)
                return;
        safe = terminal_escape_string(text);
        printf("%12s: %s\n", label, safe);
}

static void print_time(const char *label, const char *text, bool future) {
        _cleanup_free_ char *span = distance(text, future), *line = NULL;

        if (!text)
                return;
        line = xasprintf("%s (%s%s%s)", text, future ? "in " : "", span, future ? "" : " ago");
        print_line(label, line);
}

/* One member of an object of limits, usage or metadata: "memory 512M". NULL for what is no number or text. */
static char *describe_member(const char *name, const json_t *value) {
        uint64_t n = (uint64_t) json_integer_value(value);
        const char *suffix = strstr(name, "_limit");
        int length = (int) (suffix ? (size_t) (suffix - name) : strlen(name));
        char buf[SPAN_MAX];

        if (json_is_string(value))
                return xasprintf("%s=%s", name, json_string_value(value));
        if (json_is_integer(value) && (strncmp(name, "memory", 6) == 0 || strncmp(name, "disk", 4) == 0))
                return xasprintf("%.*s %s", length, name, format_size(n, buf));
        if (json_is_integer(value) && strcmp(name, "cpu_usec") == 0)
                return xasprintf("cpu %.3fs", (double) n / (double) USEC_PER_SEC);
        if (json_is_integer(value) && strcmp(name, "cpu_quota") == 0)
                return xasprintf("cpu %g%%", (double) n / 1000);
        if (json_is_number(value))
                return xasprintf("%.*s %g", length, name, json_number_value(value));
        return NULL;
}

static void print_members(const char *label, const json_t *object) {
        _cleanup_free_ char *line = NULL;
        const char *name;
        json_t *value;

        json_object_foreach((json_t *) object, name, value) {
                _cleanup_free_ char *item = describe_member(name, value), *old = NULL;

                if (!item)
                        continue;
                old = line;
                line = old ? xasprintf("%s, %s", old, item) : take_ptr(item);
        }
        print_line(label, line);
}

int command_show(Ctl *ctl, int argc, char **argv) {
        _cleanup_free_ char *path = NULL;
        _cleanup_json_ json_t *session = NULL;
        SessionView v;

        (void) argc; /* one, by the table */
        if (!ctl_check_id(argv[0]))
                return STATUS_USAGE;
        path = xasprintf("/v1/sessions/%s", argv[0]);
        if (ctl_call(ctl, &(Call){ .method = "GET", .path = path }, &session) < 0)
                return STATUS_FAILED;
        if (ctl->options.json) {
                print_json(session);
                return 0;
        }
        if (session_view(session, &v) < 0)
                return STATUS_FAILED;

        print_line("Session", v.id);
        print_line("State", v.state);
        print_line("Worker", v.worker_id);
        print_line("Image", v.image);
        print_line("User", v.user);
        print_line("Name", v.key);
        print_time("Created", v.created_at, false);
        print_time("Expires", v.expires_at, true);
        print_members("Limits", v.limits);
        print_members("Usage", v.usage);
        print_members("Metadata", v.metadata);
        return 0;
}
