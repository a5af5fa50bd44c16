/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "http/files.h"

/* GET of a folder as an archive. It begins to be answered once there are bytes of it: a folder that cannot be read puts
 * out none. */

#define BLOCK (256 * KIB)

typedef struct Packing {
        HttpRequest *request;
        Operation *operation; /* owned */
        char *path;           /* owned */
        bool gzip, begun, waiting, ended, failed;
        char first[4096];
        size_t n_first, first_sent;
} Packing;

static void packing_free(Packing *p) {
        (void) operation_drop(p->operation);
        free(p->path);
        free(p);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        packing_free(userdata);
}

static ssize_t on_read(HttpRequest *r, char *buf, size_t size, void *userdata) {
        Packing *p = userdata;
        ssize_t n;

        (void) r;
        if (p->first_sent < p->n_first) {
                n = (ssize_t) MIN(size, p->n_first - p->first_sent);
                memcpy(buf, p->first + p->first_sent, (size_t) n);
                p->first_sent += (size_t) n;
                return n;
        }
        n = p->ended ? OPERATION_END : operation_read(p->operation, buf, size);
        if (n > 0)
                return n;
        if (p->ended) {
                bool whole = !p->failed;
                packing_free(p);
                return whole ? HTTP_STREAM_END : HTTP_STREAM_BROKEN;
        }
        p->waiting = true; /* for more, or to know how it ended */
        return 0;
}

static void begin(Packing *p) {
        ssize_t n = operation_read(p->operation, p->first, sizeof p->first);

        if (n <= 0)
                return;
        p->n_first = (size_t) n;
        p->begun = true;
        http_request_set_header(p->request, "X-Content-Type-Options", "nosniff");
        http_stream_block(p->request, BLOCK);
        http_stream_begin(p->request, 200, p->gzip ? "application/gzip" : "application/x-tar", HTTP_LENGTH_UNKNOWN,
                on_read, on_cancelled, p);
}

static void on_readable(Operation *o, void *userdata) {
        Packing *p = userdata;

        (void) o;
        if (!p->begun)
                begin(p);
        else if (p->waiting) {
                p->waiting = false;
                http_stream_wake(p->request);
        }
}

static void on_ended(Operation *o, void *userdata) {
        Packing *p = userdata;

        p->ended = true;
        p->failed = operation_result(o) != OPERATION_DONE;
        if (!p->begun) {
                http_answer_file_error(p->request, o, p->path);
                packing_free(p);
        } else if (p->waiting) {
                p->waiting = false;
                http_stream_wake(p->request);
        }
}

static const OperationHandlers handlers = { .readable = on_readable, .ended = on_ended };

/* "tar" or "tar.gz". Returns false after having answered. */
static bool read_format(HttpRequest *r, bool *ret_gzip) {
        const char *format = http_request_argument(r, "format");
        Error error = { 0 };

        *ret_gzip = format && strcmp(format, "tar.gz") == 0;
        if (!format || *ret_gzip || strcmp(format, "tar") == 0)
                return true;
        int k = error_set_field(
                &error, ERROR_INVALID_VALUE, "format", "tar, tar.gz", "\"format\" has to be \"tar\" or \"tar.gz\".");
        http_answer_error(r, &error, k);
        return false;
}

void http_archive_get(HttpRequest *r, void *userdata) {
        static const char *const known[] = { "path", "format", NULL };
        Session *s = http_find_session(r, userdata);
        const char *path = s ? http_path(r, "path", known) : NULL;
        Error error = { 0 };
        bool gzip;

        if (!path || !read_format(r, &gzip))
                return;
        const char *argv[] = { "pack", path, NULL }, *filter[] = { "pack", gzip ? "gzip" : NULL, NULL };
        Packing *p = calloc(1, sizeof *p);
        OperationSpec spec = {
                .argv = argv,
                .filter = OPERATION_FILTER_OUTPUT,
                .filter_argv = filter,
                .patience = FILE_PATIENCE_USEC,
                .handlers = &handlers,
                .userdata = p,
        };
        int k = -ENOMEM;
        if (p) {
                p->request = r;
                p->gzip = gzip;
                p->path = strdup(path);
                k = p->path ? operation_start(s, &spec, &p->operation, &error) : -ENOMEM;
        }
        if (k < 0) {
                if (p)
                        packing_free(p);
                http_answer_error(r, &error, k);
                return;
        }
        operation_widen(p->operation);
        http_request_defer(r, on_cancelled, p);
        begin(p);
}
