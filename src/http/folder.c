/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "http/files.h"
#include "http/pieces.h"

/* GET of a folder: the entries go to the client as they come, however many there are. */

#define LIMIT_DEFAULT 100000U
#define LIMIT_MAX 100000000U
#define READER_SIZE (32 * KIB)

typedef struct Listing {
        HttpPieces pieces;
        Operation *operation; /* owned */
        FileReader reader;
        char *path; /* owned */
        uint64_t n;
        bool begun, complete, ended;
} Listing;

static void listing_free(Listing *l) {
        (void) operation_drop(l->operation);
        file_reader_close(&l->reader);
        http_pieces_clear(&l->pieces);
        free(l->path);
        free(l);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        listing_free(userdata);
}

static void on_over(HttpPieces *p) {
        listing_free(CONTAINER_OF(p, Listing, pieces));
}

static int put_entry(Listing *l, const FileRecord *node) {
        _cleanup_free_ char *text = file_describe(node, l->path);
        char *whole;

        return http_pieces_put(
                &l->pieces, text && asprintf(&whole, "%s%s", l->n++ > 0 ? "," : "", text) >= 0 ? whole : NULL);
}

static int put_end(Listing *l, const FileRecord *end) {
        char *text;
        int n = asprintf(&text, "],\"count\":%llu,\"truncated\":%s,\"unreadable\":%s}", (unsigned long long) l->n,
                end->flags & FILE_TRUNCATED ? "true" : "false", end->flags & FILE_UNREADABLE ? "true" : "false");

        l->complete = true;
        return http_pieces_put(&l->pieces, n < 0 ? NULL : text);
}

static int put_begin(Listing *l) {
        _cleanup_free_ char *whole = file_path_join(l->path, "", 0), *text = NULL;
        _cleanup_json_ json_t *j = json_object();
        char *begin;

        if (!whole || !j || file_set_text(j, "path", whole, strlen(whole)) < 0)
                return http_pieces_put(&l->pieces, NULL);
        text = json_dumps(j, JSON_COMPACT);
        if (!text)
                return http_pieces_put(&l->pieces, NULL);
        int n = asprintf(&begin, "%.*s,\"entries\":[", (int) strlen(text) - 1, text); /* without its brace */
        return http_pieces_put(&l->pieces, n < 0 ? NULL : begin);
}

static int next_piece(HttpPieces *p) {
        Listing *l = CONTAINER_OF(p, Listing, pieces);
        const FileRecord *record;

        if (l->complete)
                return HTTP_STREAM_END;
        int r = l->ended ? OPERATION_END : file_reader_next(&l->reader, l->operation, &record);
        if (r == 0)
                return 0;
        if (r > 0 && record->type == FILE_RECORD_NODE)
                return put_entry(l, record);
        if (r > 0 && record->type == FILE_RECORD_END)
                return put_end(l, record);
        return HTTP_STREAM_BROKEN;
}

/* The folder itself comes first: it is there and may be read. */
static void begin(Listing *l) {
        const FileRecord *record;
        Error error = { 0 };

        if (file_reader_next(&l->reader, l->operation, &record) <= 0)
                return;
        l->begun = true;
        if (put_begin(l) < 0) {
                http_answer_error(l->pieces.request, &error, -ENOMEM);
                listing_free(l);
                return;
        }
        http_pieces_begin(&l->pieces, 200, "application/json");
}

static void on_readable(Operation *o, void *userdata) {
        Listing *l = userdata;

        (void) o;
        if (l->begun)
                http_pieces_wake(&l->pieces);
        else
                begin(l);
}

static void on_ended(Operation *o, void *userdata) {
        Listing *l = userdata;

        l->ended = true;
        if (l->begun) {
                http_pieces_wake(&l->pieces);
                return;
        }
        http_answer_file_error(l->pieces.request, o, l->path);
        listing_free(l);
}

static const OperationHandlers handlers = { .readable = on_readable, .ended = on_ended };

void http_folder_list(HttpRequest *r, void *userdata) {
        static const char *const known[] = { "path", "depth", "limit", NULL };
        uint64_t depth = 1, limit = LIMIT_DEFAULT;
        Session *s = http_find_session(r, userdata);
        const char *path = s ? http_path(r, "path", known) : NULL;
        char depth_text[24], limit_text[24];
        Error error = { 0 };

        if (!path || !http_number(r, "depth", 1, FILE_DEPTH_MAX, &depth) ||
                !http_number(r, "limit", 1, LIMIT_MAX, &limit))
                return;
        (void) snprintf(depth_text, sizeof depth_text, "%llu", (unsigned long long) depth);
        (void) snprintf(limit_text, sizeof limit_text, "%llu", (unsigned long long) limit);
        const char *argv[] = { "list", path, depth_text, limit_text, NULL };
        Listing *l = calloc(1, sizeof *l);
        OperationSpec spec = {
                .argv = argv,
                .patience = FILE_PATIENCE_USEC,
                .handlers = &handlers,
                .userdata = l,
        };
        int k = l ? file_reader_open(&l->reader, READER_SIZE, false) : -ENOMEM;
        if (k == 0) {
                l->pieces = (HttpPieces){ .request = r, .next = next_piece, .over = on_over };
                l->path = strdup(path);
                k = l->path ? operation_start(s, &spec, &l->operation, &error) : -ENOMEM;
        }
        if (k < 0) {
                if (l)
                        listing_free(l);
                http_answer_error(r, &error, k);
                return;
        }
        http_request_defer(r, on_cancelled, l);
        begin(l);
}
