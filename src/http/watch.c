/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "http/events.h"
#include "http/files.h"

/* Changes of files as an event stream: "ready" once it watches, then "created", "modified", "deleted", "moved",
 * "attributes" and, when changes came too fast to be told, "overflow". */

#define READER_SIZE (16 * KIB)

typedef struct Watching {
        HttpRequest *request;
        HttpEvents *events;   /* NULL until it begins */
        Operation *operation; /* owned */
        FileReader reader;
        char *path; /* owned */
        const FileRecord *first;
        bool ended;
} Watching;

static const char *const change_names[FILE_CHANGE_MAX_] = {
        [FILE_CREATED] = "created",
        [FILE_MODIFIED] = "modified",
        [FILE_DELETED] = "deleted",
        [FILE_MOVED] = "moved",
        [FILE_ATTRIBUTES] = "attributes",
        [FILE_OVERFLOW] = "overflow",
};

static void watching_free(Watching *w) {
        (void) operation_drop(w->operation);
        file_reader_close(&w->reader);
        free(w->path);
        free(w);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        watching_free(userdata);
}

static void on_over(bool gone, void *userdata) {
        (void) gone;
        watching_free(userdata);
}

static int set_path(Watching *w, json_t *j, const char *member, const char *name, size_t length) {
        _cleanup_free_ char *whole = file_path_join(w->path, name, length);

        return whole ? file_set_text(j, member, whole, strlen(whole)) : -ENOMEM;
}

static int put_change(Watching *w, const FileRecord *change) {
        json_t *j = json_object();
        int r = j ? 0 : -ENOMEM;

        if (r == 0)
                r = set_path(w, j, "path", file_record_name(change), change->name_length);
        if (r == 0 && change->change == FILE_MOVED)
                r = set_path(w, j, "from", file_record_target(change), change->target_length);
        if (r == 0 && change->change != FILE_OVERFLOW)
                r = json_object_set_new(j, "type", json_string(file_type_text(change->mode)));
        if (r < 0) {
                json_decref(j);
                j = NULL;
        }
        return http_events_put(w->events, change_names[change->change], j);
}

static int put_ready(Watching *w, const FileRecord *end) {
        json_t *j = json_pack("{sI sb}", "folders", (json_int_t) (end->size & INT64_MAX), "incomplete",
                (end->flags & FILE_TRUNCATED) != 0);

        if (j && set_path(w, j, "path", "", 0) < 0) {
                json_decref(j);
                j = NULL;
        }
        return http_events_put(w->events, "ready", j);
}

static int next_event(HttpEvents *e, void *userdata) {
        Watching *w = userdata;
        const FileRecord *record = take_ptr(w->first);

        (void) e;
        if (record)
                return put_ready(w, record);
        int r = w->ended ? OPERATION_END : file_reader_next(&w->reader, w->operation, &record);
        if (r > 0)
                return record->type == FILE_RECORD_CHANGE ? put_change(w, record) : -EBADMSG;
        return w->ended ? HTTP_STREAM_END : 0; /* an end is told once it is known how */
}

static const HttpEventsHandlers events_handlers = { .next = next_event, .ended = on_over };

/* It watches: from here on nothing is missed. */
static void begin(Watching *w) {
        Error error = { 0 };

        if (file_reader_next(&w->reader, w->operation, &w->first) <= 0)
                return;
        if (http_events_begin(w->request, http_request_event(w->request), &events_handlers, w, &w->events) == 0)
                return;
        http_answer_error(w->request, &error, -ENOMEM);
        watching_free(w);
}

static void on_readable(Operation *o, void *userdata) {
        Watching *w = userdata;

        (void) o;
        if (w->events)
                http_events_wake(w->events);
        else
                begin(w);
}

static void on_ended(Operation *o, void *userdata) {
        Watching *w = userdata;

        w->ended = true;
        if (w->events) {
                http_events_wake(w->events);
                return;
        }
        http_answer_file_error(w->request, o, w->path);
        watching_free(w);
}

static const OperationHandlers handlers = { .readable = on_readable, .ended = on_ended };

void http_file_watch(HttpRequest *r, void *userdata) {
        static const char *const known[] = { "path", "recursive", NULL };
        Session *s = http_find_session(r, userdata);
        const char *path = s ? http_path(r, "path", known) : NULL;
        bool recursive = false;
        Error error = { 0 };

        if (!path || !http_switch(r, "recursive", &recursive))
                return;
        const char *argv[] = { "watch", path, recursive ? "tree" : "one", NULL };
        Watching *w = calloc(1, sizeof *w);
        OperationSpec spec = {
                .argv = argv,
                .patience = USEC_INFINITY,
                .handlers = &handlers,
                .userdata = w,
        };
        int k = w ? file_reader_open(&w->reader, READER_SIZE, false) : -ENOMEM;
        if (k == 0) {
                w->request = r;
                w->path = strdup(path);
                k = w->path ? operation_start(s, &spec, &w->operation, &error) : -ENOMEM;
        }
        if (k < 0) {
                if (w)
                        watching_free(w);
                http_answer_error(r, &error, k);
                return;
        }
        http_request_defer(r, on_cancelled, w);
        begin(w);
}
