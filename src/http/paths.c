/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "http/files.h"
#include "http/range.h"

/* What is done to a path in one step: stat, mkdir, move, delete. And what all routes for files have in common. */

#define DELETE_PATIENCE_USEC (600 * USEC_PER_SEC)

/* --- arguments --- */

typedef struct ArgumentCheck {
        const char *const *known;
        const char *unknown;
} ArgumentCheck;

static int check_argument(const char *name, const char *value, void *userdata) {
        ArgumentCheck *c = userdata;

        (void) value;
        for (const char *const *k = c->known; *k; k++)
                if (strcmp(*k, name) == 0)
                        return 0;
        c->unknown = name;
        return -EINVAL;
}

const char *http_path(HttpRequest *r, const char *name, const char *const *known) {
        ArgumentCheck c = { .known = known };
        Error error = { 0 };
        size_t length = 0;

        int k = http_request_each_argument(r, check_argument, &c);
        if (k < 0)
                k = error_set_field(
                        &error, ERROR_MALFORMED, c.unknown, NULL, "There is no parameter \"%.60s\" here.", c.unknown);
        const char *path = http_request_argument_bytes(r, name, &length);
        if (k == 0)
                k = file_path_check(name, path, length, &error);
        if (k == 0)
                return path;
        http_answer_error(r, &error, k);
        return NULL;
}

bool http_switch(HttpRequest *r, const char *name, bool *ret) {
        const char *text = http_request_argument(r, name);
        Error error = { 0 };

        if (!text || parse_boolean(text, ret) == 0)
                return true;
        int k = error_set_field(&error, ERROR_INVALID_VALUE, name, "0 or 1", "\"%s\" has to be 0 or 1.", name);
        http_answer_error(r, &error, k);
        return false;
}

bool http_number(HttpRequest *r, const char *name, uint64_t min, uint64_t max, uint64_t *ret) {
        const char *text = http_request_argument(r, name);
        Error error = { 0 };
        uint64_t number;
        char limit[48];

        if (!text)
                return true;
        if (parse_unsigned(text, &number) == 0 && number >= min && number <= max) {
                *ret = number;
                return true;
        }
        (void) snprintf(limit, sizeof limit, "%llu to %llu", (unsigned long long) min, (unsigned long long) max);
        int k = error_set_field(&error, ERROR_INVALID_VALUE, name, limit, "\"%s\" is out of range: %s.", name, limit);
        http_answer_error(r, &error, k);
        return false;
}

const char *http_mode(HttpRequest *r, const char *fallback) {
        const char *text = http_request_argument(r, "mode");
        Error error = { 0 };

        if (!text)
                return fallback;
        size_t n = strspn(text, "01234567");
        if (text[n] == '\0' && n >= 1 && n <= 4 && strtoul(text, NULL, 8) <= 0777)
                return text;
        int k = error_set_field(&error, ERROR_INVALID_VALUE, "mode", "0000 to 0777",
                "\"mode\" has to be the permissions in octal digits, 0000 to 0777.");
        http_answer_error(r, &error, k);
        return NULL;
}

/* --- answers --- */

void http_set_file_headers(HttpRequest *r, const FileRecord *node) {
        char tag[FILE_TAG_MAX], quoted[FILE_TAG_MAX + 2], date[HTTP_DATE_MAX], mode[8];

        (void) snprintf(quoted, sizeof quoted, "\"%s\"", file_tag(node, tag));
        (void) snprintf(mode, sizeof mode, "%04o", node->mode & 07777);
        http_request_set_header(r, "ETag", quoted);
        http_request_set_header(r, "X-File-Mode", mode);
        if (http_date(node->mtime > 0 ? (usec_t) node->mtime / 1000 : 0, date))
                http_request_set_header(r, "Last-Modified", date);
}

void http_answer_file_error(HttpRequest *r, const Operation *o, const char *path) {
        Error error = { 0 };
        int k = file_error(o, path, &error);

        http_answer_error(r, &error, k);
}

/* --- one question, one record --- */

typedef struct Task {
        HttpRequest *request;
        Operation *operation; /* owned */
        FileReader reader;
        char *path;        /* owned: that the answer is about */
        char *shown;       /* owned: that errors are about */
        bool with_created; /* 201 for what was not there before */
} Task;

static void task_free(Task *t) {
        (void) operation_drop(t->operation);
        file_reader_close(&t->reader);
        free(t->path);
        free(t->shown);
        free(t);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        task_free(userdata);
}

static void answer(Task *t, const FileRecord *record) {
        if (record->type != FILE_RECORD_NODE) {
                http_answer_empty(t->request, 204);
                task_free(t);
                return;
        }
        http_set_file_headers(t->request, record);
        http_answer_json_text(t->request, t->with_created && (record->flags & FILE_WAS_CREATED) ? 201 : 200,
                file_describe(record, t->path));
        task_free(t);
}

static void on_readable(Operation *o, void *userdata) {
        Task *t = userdata;
        const FileRecord *record;

        if (file_reader_next(&t->reader, o, &record) > 0)
                answer(t, record);
}

static void on_ended(Operation *o, void *userdata) {
        Task *t = userdata;

        http_answer_file_error(t->request, o, t->shown);
        task_free(t);
}

static const OperationHandlers task_handlers = { .readable = on_readable, .ended = on_ended };

/* @path: that the answer, a NODE, is about. @patience: 0 for what is quick. */
static void start(HttpRequest *r, Session *s, const char *const *argv, const char *path, const char *shown,
        bool with_created, usec_t patience) {
        OperationSpec spec = {
                .argv = argv,
                .quick = patience == 0,
                .patience = MAX(patience, FILE_PATIENCE_USEC),
                .handlers = &task_handlers,
        };
        Task *t = calloc(1, sizeof *t);
        Error error = { 0 };
        const FileRecord *record;

        int k = t ? file_reader_open(&t->reader, FILE_RECORD_SIZE_MAX, true) : -ENOMEM;
        if (k == 0) {
                t->request = r;
                t->path = strdup(path);
                t->shown = strdup(shown);
                t->with_created = with_created;
                k = t->path && t->shown ? 0 : -ENOMEM;
        }
        spec.userdata = t;
        if (k == 0)
                k = operation_start(s, &spec, &t->operation, &error);
        if (k < 0) {
                if (t)
                        task_free(t);
                http_answer_error(r, &error, k);
                return;
        }
        http_request_defer(r, on_cancelled, t);
        if (file_reader_next(&t->reader, t->operation, &record) > 0)
                answer(t, record);
}

/* --- the routes --- */

void http_file_stat(HttpRequest *r, void *userdata) {
        static const char *const known[] = { "path", "follow", NULL };
        Session *s = http_find_session(r, userdata);
        const char *path = s ? http_path(r, "path", known) : NULL;
        bool follow = true;

        if (!path || !http_switch(r, "follow", &follow))
                return;
        const char *argv[] = { "stat", path, follow ? "follow" : "link", NULL };
        start(r, s, argv, path, path, false, 0);
}

void http_file_delete(HttpRequest *r, void *userdata) {
        static const char *const known[] = { "path", "recursive", NULL };
        Session *s = http_find_session(r, userdata);
        const char *path = s ? http_path(r, "path", known) : NULL;
        bool recursive = false;

        if (!path || !http_switch(r, "recursive", &recursive))
                return;
        const char *argv[] = { "delete", path, recursive ? "tree" : "one", NULL };
        start(r, s, argv, path, path, false, recursive ? DELETE_PATIENCE_USEC : 0);
}

void http_folder_make(HttpRequest *r, void *userdata) {
        static const char *const known[] = { "path", "mode", NULL };
        Session *s = http_find_session(r, userdata);
        const char *path = s ? http_path(r, "path", known) : NULL, *mode = path ? http_mode(r, "0755") : NULL;

        if (!mode)
                return;
        const char *argv[] = { "mkdir", path, mode, NULL };
        start(r, s, argv, path, path, true, 0);
}

/* --- move --- */

typedef struct Move {
        const char *from, *to; /* borrowed from the document */
        size_t from_length, to_length;
        bool replace;
} Move;

static int parse_from(const char *name, const json_t *value, void *target, Error *error) {
        Move *m = target;

        m->from = json_string_value(value);
        m->from_length = json_string_length(value);
        return file_path_check(name, m->from, m->from_length, error);
}

static int parse_to(const char *name, const json_t *value, void *target, Error *error) {
        Move *m = target;

        m->to = json_string_value(value);
        m->to_length = json_string_length(value);
        return file_path_check(name, m->to, m->to_length, error);
}

void http_file_move(HttpRequest *r, void *userdata) {
        static const JsonField fields[] = {
                { "from", parse_from, 0 },
                { "to", parse_to, 0 },
                { "replace", json_parse_boolean, offsetof(Move, replace) },
                { 0 },
        };
        Session *s = http_find_session(r, userdata);
        _cleanup_json_ json_t *object = NULL;
        _cleanup_free_ char *shown = NULL;
        Move m = { .replace = true };
        Error error = { 0 };
        size_t length;
        const char *body = http_request_body(r, &length);

        if (!s)
                return;
        int k = json_read_object(body, length, &object, &error);
        if (k == 0)
                k = json_apply(object, fields, &m, &error);
        if (k == 0)
                k = file_path_check("from", m.from, m.from_length, &error);
        if (k == 0)
                k = file_path_check("to", m.to, m.to_length, &error);
        if (k == 0 && asprintf(&shown, "%.90s to %.90s", m.from, m.to) < 0)
                k = -ENOMEM;
        if (k < 0) {
                http_answer_error(r, &error, k);
                return;
        }
        const char *argv[] = { "move", m.from, m.to, m.replace ? "replace" : "keep", NULL };
        start(r, s, argv, m.to, shown, false, DELETE_PATIENCE_USEC);
}
