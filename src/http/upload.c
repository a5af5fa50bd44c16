/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "http/files.h"
#include "http/range.h"

/* Bodies that go inside as they come: one file, which takes its name once all of it is there, or an archive. */

#define WIDE_FROM (256 * KIB)

typedef struct Upload {
        HttpRequest *request;
        Operation *operation; /* owned */
        FileReader reader;
        char *path; /* owned */
        bool commits, complete;
} Upload;

static void upload_free(Upload *u) {
        (void) operation_drop(u->operation);
        file_reader_close(&u->reader);
        free(u->path);
        free(u);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        upload_free(userdata);
}

static void read_result(Upload *u) {
        const FileRecord *r;

        if (file_reader_next(&u->reader, u->operation, &r) <= 0)
                return;
        if (r->type == FILE_RECORD_NODE) {
                http_set_file_headers(u->request, r);
                http_answer_json_text(u->request, r->flags & FILE_WAS_CREATED ? 201 : 200, file_describe(r, u->path));
        } else
                http_answer_json(u->request, 200, json_pack("{sI}", "entries", (json_int_t) (r->size & INT64_MAX)));
        upload_free(u);
}

static void on_readable(Operation *o, void *userdata) {
        (void) o;
        read_result(userdata);
}

static void on_writable(Operation *o, void *userdata) {
        Upload *u = userdata;

        (void) o;
        http_body_wake(u->request);
}

static void on_ended(Operation *o, void *userdata) {
        Upload *u = userdata;

        http_answer_file_error(u->request, o, u->path);
        upload_free(u);
}

static const OperationHandlers handlers = {
        .readable = on_readable,
        .writable = on_writable,
        .ended = on_ended,
};

static size_t on_body(HttpRequest *r, const char *data, size_t size, void *userdata) {
        Upload *u = userdata;

        (void) r;
        if (size > 0)
                return operation_write(u->operation, data, size);
        if (!u->complete) {
                u->complete = true;
                operation_finish(u->operation, u->commits);
                read_result(u);
        }
        return 0;
}

/* What has to be there before, for the builtin. Returns NULL after having answered. */
static const char *read_condition(HttpRequest *r, char buf[static FILE_TAG_MAX]) {
        const char *match = http_request_header(r, "If-Match"), *none = http_request_header(r, "If-None-Match");
        Error error = { 0 };

        if (!match && !none)
                return "any";
        if (none && !match && strcmp(none, "*") == 0)
                return "new";
        if (match && !none) {
                if (strcmp(match, "*") == 0)
                        return "old";
                if (etag_read(match, buf, FILE_TAG_MAX))
                        return buf;
        }
        int k = error_set_field(&error, ERROR_MALFORMED, match ? "If-Match" : "If-None-Match", NULL,
                "To write a file give one strong tag or * as If-Match, or * as If-None-Match.");
        http_answer_error(r, &error, k);
        return NULL;
}

static bool refuse_part(HttpRequest *r) {
        Error error = { 0 };

        if (!http_request_header(r, "Content-Range"))
                return false;
        int k = error_set_field(&error, ERROR_MALFORMED, "Content-Range", NULL,
                "A file is written as a whole; to change a part of one run a command.");
        http_answer_error(r, &error, k);
        return true;
}

/* Starts what @spec says but for what is the same for all. */
static void receive(HttpRequest *r, Session *s, const OperationSpec *spec, const char *path) {
        const char *length = http_request_header(r, "Content-Length");
        OperationSpec whole = *spec;
        Upload *u = calloc(1, sizeof *u);
        Error error = { 0 };

        whole.input = true;
        whole.patience = FILE_PATIENCE_USEC;
        whole.handlers = &handlers;
        whole.userdata = u;
        int k = u ? file_reader_open(&u->reader, FILE_RECORD_SIZE_MAX, true) : -ENOMEM;
        if (k == 0) {
                u->request = r;
                u->commits = spec->control;
                u->path = strdup(path);
                k = u->path ? operation_start(s, &whole, &u->operation, &error) : -ENOMEM;
        }
        if (k < 0) {
                if (u)
                        upload_free(u);
                http_answer_error(r, &error, k);
                return;
        }
        if (!length || strtoull(length, NULL, 10) > WIDE_FROM)
                operation_widen(u->operation);
        http_request_defer(r, on_cancelled, u);
        http_body_receive(r, on_body, u);
}

void http_file_put(HttpRequest *r, void *userdata) {
        static const char *const known[] = { "path", "mode", NULL };
        const char *length = http_request_header(r, "Content-Length");
        Session *s = http_find_session(r, userdata);
        const char *path = s ? http_path(r, "path", known) : NULL, *mode = path ? http_mode(r, "-") : NULL;
        char tag[FILE_TAG_MAX];
        const char *condition = mode ? read_condition(r, tag) : NULL;

        if (!condition || refuse_part(r))
                return;
        const char *argv[] = { "write", path, length ? length : "-", mode, condition, NULL };
        bool small = length && strtoull(length, NULL, 10) <= FILE_SMALL_MAX;
        receive(r, s, &(OperationSpec){ .argv = argv, .control = true, .quick = small }, path);
}

void http_archive_put(HttpRequest *r, void *userdata) {
        static const char *const known[] = { "path", NULL }, *const unpack[] = { "unpack", NULL };
        Session *s = http_find_session(r, userdata);
        const char *path = s ? http_path(r, "path", known) : NULL;

        if (!path)
                return;
        const char *argv[] = { "unpack", path, NULL };
        receive(r, s, &(OperationSpec){ .argv = argv, .filter = OPERATION_FILTER_INPUT, .filter_argv = unpack }, path);
}
