/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "http/files.h"
#include "http/range.h"

/* GET of one file: whole, a part of it, or nothing when the client has it already. */

#define WIDE_FROM (256 * KIB)
#define BLOCK (256 * KIB)

typedef struct Download {
        HttpRequest *request;
        Operation *operation; /* owned */
        FileReader reader;
        char *path; /* owned */
        bool asks;  /* it waits for a FileRange */
        bool begun, waiting, ended, failed;
        bool unknown;  /* how much it is shows at its end */
        uint64_t left; /* bytes */
} Download;

static void download_free(Download *d) {
        (void) operation_drop(d->operation);
        file_reader_close(&d->reader);
        free(d->path);
        free(d);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        download_free(userdata);
}

/* --- contents --- */

static ssize_t on_read(HttpRequest *r, char *buf, size_t size, void *userdata) {
        Download *d = userdata;
        ssize_t n;

        (void) r;
        if (!d->unknown)
                size = MIN(size, d->left);
        n = d->ended ? OPERATION_END : operation_read(d->operation, buf, size);
        if (n > 0) {
                d->left -= d->unknown ? 0 : (uint64_t) n;
                return n;
        }
        if (n == OPERATION_END && (!d->unknown || d->ended)) {
                /* it became shorter, or could not be read to its end */
                bool whole = d->unknown ? !d->failed : d->left == 0;
                download_free(d);
                return whole ? HTTP_STREAM_END : HTTP_STREAM_BROKEN;
        }
        d->waiting = true;
        return 0;
}

static void wake(Download *d) {
        if (!d->waiting)
                return;
        d->waiting = false;
        http_stream_wake(d->request);
}

/* --- head --- */

/* The client has what there is, or wants something else. Returns true after having answered. */
static bool answer_condition(Download *d, const char *tag) {
        const char *match = http_request_header(d->request, "If-Match"),
                   *none = http_request_header(d->request, "If-None-Match");
        Error error = { 0 };

        if (match && !etag_list_has(match, tag, false)) {
                int k = error_set_field(
                        &error, ERROR_CONDITION_FAILED, "If-Match", NULL, "The file is not the one that is meant.");
                http_answer_error(d->request, &error, k);
                return true;
        }
        if (!none || !etag_list_has(none, tag, true))
                return false;
        http_answer_empty(d->request, 304);
        return true;
}

/* Is the range meant for the file as it is now? */
static bool range_applies(const Download *d, const FileRecord *node, const char *tag) {
        const char *condition = http_request_header(d->request, "If-Range");
        char given[FILE_TAG_MAX], date[HTTP_DATE_MAX];

        if (!condition)
                return true;
        if (etag_read(condition, given, sizeof given))
                return strcmp(given, tag) == 0;
        return http_date((usec_t) MAX(node->mtime, 0) / 1000, date) && strcmp(condition, date) == 0;
}

/* Returns the status, or 0 after having answered. */
static unsigned choose_range(Download *d, const FileRecord *node, const char *tag, FileRange *ret) {
        const char *header = http_request_header(d->request, "Range");
        Error error = { 0 };
        char text[80];
        int k = 0;

        if (header && range_applies(d, node, tag))
                k = range_parse(header, node->size, &ret->start, &ret->length);
        if (k == 0)
                return 200;
        if (k > 0) {
                (void) snprintf(text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, ret->start,
                        ret->start + ret->length - 1, node->size);
                http_request_set_header(d->request, "Content-Range", text);
                return 206;
        }
        (void) snprintf(text, sizeof text, "bytes */%" PRIu64, node->size);
        http_request_set_header(d->request, "Content-Range", text);
        (void) snprintf(text, sizeof text, "%" PRIu64 " bytes", node->size);
        k = error_set_field(&error, ERROR_RANGE, "Range", text, "The file has %s.", text);
        http_answer_error(d->request, &error, k);
        return 0;
}

/* Is all of it there? */
static bool answer_whole(Download *d, unsigned status) {
        size_t offset, length;
        void *memory = operation_take_rest(d->operation, &offset, &length);

        if (!memory)
                return false;
        if (length == d->left)
                http_answer_memory(d->request, status, "application/octet-stream", memory, offset, length);
        else {
                Error error = { 0 };
                free(memory);
                http_answer_error(d->request, &error, -EIO);
        }
        download_free(d);
        return true;
}

static void begin(Download *d, const FileRecord *node) {
        HttpRequest *r = d->request;
        FileRange range = { .length = node->size };
        char tag[FILE_TAG_MAX];
        unsigned status = 200;

        (void) file_tag(node, tag);
        http_set_file_headers(r, node);
        d->unknown = node->flags & FILE_SIZE_UNKNOWN;
        if (!d->unknown) {
                http_request_set_header(r, "Accept-Ranges", "bytes");
                if (answer_condition(d, tag)) {
                        download_free(d);
                        return;
                }
                status = choose_range(d, node, tag, &range);
                if (status == 0) {
                        download_free(d);
                        return;
                }
        }
        http_request_set_header(r, "X-Content-Type-Options", "nosniff");
        bool body = strcmp(http_request_method(r), "HEAD") != 0;
        if (!body)
                range.length = d->unknown ? 0 : range.length;
        if (d->asks && body)
                (void) operation_write(d->operation, &range, sizeof range);
        d->left = range.length;
        if (d->left > WIDE_FROM || d->unknown)
                operation_widen(d->operation);
        if (answer_whole(d, status))
                return;
        d->begun = true;
        if (d->left > WIDE_FROM)
                http_stream_block(r, BLOCK);
        http_stream_begin(r, status, "application/octet-stream", d->unknown ? HTTP_LENGTH_UNKNOWN : d->left, on_read,
                on_cancelled, d);
}

static void read_head(Download *d) {
        const FileRecord *node;

        if (file_reader_next(&d->reader, d->operation, &node) > 0)
                begin(d, node);
}

static void on_readable(Operation *o, void *userdata) {
        Download *d = userdata;

        (void) o;
        if (d->begun)
                wake(d);
        else
                read_head(d);
}

static void on_ended(Operation *o, void *userdata) {
        Download *d = userdata;

        d->ended = true;
        d->failed = operation_result(o) != OPERATION_DONE;
        if (d->begun) {
                wake(d);
                return;
        }
        http_answer_file_error(d->request, o, d->path);
        download_free(d);
}

static const OperationHandlers handlers = { .readable = on_readable, .ended = on_ended };

void http_file_get(HttpRequest *r, void *userdata) {
        static const char *const known[] = { "path", NULL }, *const asking[] = { "Range", "If-Match", "If-None-Match" };
        Session *s = http_find_session(r, userdata);
        const char *path = s ? http_path(r, "path", known) : NULL;
        Error error = { 0 };

        if (!path)
                return;
        bool asks = strcmp(http_request_method(r), "HEAD") == 0;
        for (size_t i = 0; i < ELEMENTSOF(asking); i++)
                asks = asks || http_request_header(r, asking[i]);

        const char *argv[] = { "read", path, asks ? "ask" : "all", NULL };
        Download *d = calloc(1, sizeof *d);
        OperationSpec spec = {
                .argv = argv,
                .quick = !asks,
                .input = asks,
                .patience = FILE_PATIENCE_USEC,
                .handlers = &handlers,
                .userdata = d,
        };
        int k = d ? file_reader_open(&d->reader, FILE_RECORD_SIZE_MAX, true) : -ENOMEM;
        if (k == 0) {
                d->request = r;
                d->asks = asks;
                d->path = strdup(path);
                k = d->path ? operation_start(s, &spec, &d->operation, &error) : -ENOMEM;
        }
        if (k < 0) {
                if (d)
                        download_free(d);
                http_answer_error(r, &error, k);
                return;
        }
        http_request_defer(r, on_cancelled, d);
        read_head(d);
}
