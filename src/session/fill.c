/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/fill.h"

#include "session/file.h"

#define PATIENCE_USEC (600 * USEC_PER_SEC)

struct Fill {
        Operation *operation; /* owned */
        FileReader reader;
        bool complete;
        FillDone *done;
        void *userdata;
};

Fill *fill_free(Fill *f) {
        if (!f)
                return NULL;
        f->operation = operation_drop(f->operation);
        file_reader_close(&f->reader);
        free(f);
        return NULL;
}

static void on_readable(Operation *o, void *userdata) {
        Fill *f = userdata;
        const FileRecord *r;

        while (file_reader_next(&f->reader, o, &r) > 0)
                f->complete = r->type == FILE_RECORD_END;
}

static void on_ended(Operation *o, void *userdata) {
        Fill *f = userdata;
        FillDone *done = f->done;
        void *data = f->userdata;
        _cleanup_error_ Error error = { 0 };
        int r = 0;

        if (operation_result(o) != OPERATION_DONE)
                r = file_error(o, "/", &error);
        else if (!f->complete)
                r = error_set(&error, ERROR_INTERNAL, "Not all of the files could be written.");
        (void) fill_free(f);
        done(r, &error, data);
}

static const OperationHandlers handlers = { .readable = on_readable, .ended = on_ended };

int fill_start(Session *s, int archive, FillDone *done, void *userdata, Fill **ret, Error *error) {
        static const char *const argv[] = { "unpack", "/", NULL }, *const filter[] = { "unpack", NULL };
        Fill *f = calloc(1, sizeof *f);

        if (!f)
                return -ENOMEM;
        f->done = done;
        f->userdata = userdata;
        OperationSpec spec = {
                .argv = argv,
                .filter = OPERATION_FILTER_INPUT,
                .filter_argv = filter,
                .filter_fd = archive,
                .patience = PATIENCE_USEC,
                .handlers = &handlers,
                .userdata = f,
        };
        int r = file_reader_open(&f->reader, FILE_RECORD_SIZE_MAX, true);
        if (r == 0)
                r = operation_start(s, &spec, &f->operation, error);
        if (r < 0) {
                (void) fill_free(f);
                return r;
        }
        on_readable(f->operation, f);
        *ret = f;
        return 0;
}
