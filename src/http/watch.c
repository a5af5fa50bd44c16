/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "http/files.h"
#include "http/pieces.h"

/* Changes of files as an event stream: "ready" once it watches, then "created", "modified", "deleted", "moved",
 * "attributes" and, when changes came too fast to be told, "overflow". */

#define KEEP_ALIVE_USEC (15 * USEC_PER_SEC)
#define READER_SIZE (16 * KIB)

typedef struct Watching {
        HttpPieces pieces;
        Operation *operation; /* owned */
        FileReader reader;
        char *path; /* owned */
        sd_event_source *keep_alive;
        bool begun, ended, keep_alive_due;
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
        w->keep_alive = sd_event_source_disable_unref(w->keep_alive);
        file_reader_close(&w->reader);
        http_pieces_clear(&w->pieces);
        free(w->path);
        free(w);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        watching_free(userdata);
}

static void on_over(HttpPieces *p) {
        watching_free(CONTAINER_OF(p, Watching, pieces));
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
        (void) sd_event_source_set_time_relative(w->keep_alive, KEEP_ALIVE_USEC);
        return http_pieces_put_event(&w->pieces, change_names[change->change], j);
}

static int put_ready(Watching *w, const FileRecord *end) {
        json_t *j = json_pack("{sI sb}", "folders", (json_int_t) (end->size & INT64_MAX), "incomplete",
                (end->flags & FILE_TRUNCATED) != 0);

        if (j && set_path(w, j, "path", "", 0) < 0) {
                json_decref(j);
                j = NULL;
        }
        return http_pieces_put_event(&w->pieces, "ready", j);
}

static int next_piece(HttpPieces *p) {
        Watching *w = CONTAINER_OF(p, Watching, pieces);
        const FileRecord *record;

        int r = w->ended ? OPERATION_END : file_reader_next(&w->reader, w->operation, &record);
        if (r > 0)
                return record->type == FILE_RECORD_CHANGE ? put_change(w, record) : HTTP_STREAM_BROKEN;
        if (w->ended)
                return HTTP_STREAM_END;
        if (!w->keep_alive_due)
                return 0; /* an end is told once it is known how */
        w->keep_alive_due = false;
        return http_pieces_put(p, strdup(": keep-alive\n\n"));
}

static int on_keep_alive(sd_event_source *source, uint64_t usec, void *userdata) {
        Watching *w = userdata;

        (void) usec;
        w->keep_alive_due = true;
        (void) sd_event_source_set_time_relative(source, KEEP_ALIVE_USEC);
        http_pieces_wake(&w->pieces);
        return 0;
}

/* It watches: from here on nothing is missed. */
static void begin(Watching *w) {
        const FileRecord *record;
        Error error = { 0 };
        sd_event *event = http_request_event(w->pieces.request);

        if (file_reader_next(&w->reader, w->operation, &record) <= 0)
                return;
        w->begun = true;
        int r = put_ready(w, record) > 0 ? 0 : -ENOMEM;
        if (r == 0)
                r = sd_event_add_time_relative(
                        event, &w->keep_alive, CLOCK_MONOTONIC, KEEP_ALIVE_USEC, USEC_PER_SEC, on_keep_alive, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->keep_alive, SD_EVENT_ON);
        if (r < 0) {
                http_answer_error(w->pieces.request, &error, r);
                watching_free(w);
                return;
        }
        http_pieces_begin(&w->pieces, 200, "text/event-stream");
}

static void on_readable(Operation *o, void *userdata) {
        Watching *w = userdata;

        (void) o;
        if (w->begun)
                http_pieces_wake(&w->pieces);
        else
                begin(w);
}

static void on_ended(Operation *o, void *userdata) {
        Watching *w = userdata;

        w->ended = true;
        if (w->begun) {
                http_pieces_wake(&w->pieces);
                return;
        }
        http_answer_file_error(w->pieces.request, o, w->path);
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
                w->pieces = (HttpPieces){ .request = r, .next = next_piece, .over = on_over };
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
