/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/snapshot-take.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "session/file.h"
#include "session/manager-internal.h"

#define PATIENCE_USEC (600 * USEC_PER_SEC)
#define OVERHEAD (64 * MIB) /* of an archive over the files in it: more is refused */

struct SnapshotTake {
        Session *session;     /* owned */
        Operation *operation; /* owned */
        SnapshotDraft draft;
        SnapshotTaken *taken;
        void *userdata;
};

SnapshotTake *snapshot_take_free(SnapshotTake *t) {
        if (!t)
                return NULL;
        t->operation = operation_drop(t->operation);
        snapshot_draft_clear(&t->draft);
        t->session = session_unref(t->session);
        free(t);
        return NULL;
}

static int explain(const Operation *o, Error *error) {
        const char *reason = operation_errno(o) == EBADMSG ? operation_reason(o) : NULL;

        if (reason)
                return error_set_field(error, ERROR_DISK_LIMIT, "snapshots", NULL, "%s", reason);
        return file_error(o, SANDBOX_HOME, error);
}

static void on_ended(Operation *o, void *userdata) {
        _cleanup_(snapshot_take_freep) SnapshotTake *t = userdata;
        const Session *s = t->session;
        _cleanup_error_ Error error = { 0 };
        Snapshot *snapshot = NULL;
        int r = 0;

        if (operation_result(o) != OPERATION_DONE)
                r = explain(o, &error);
        else if (t->draft.unnamed)
                r = snapshot_draft_settle(&t->draft);
        else
                r = snapshot_commit(&t->draft, s->base ? s->base : s->image, s->id, &snapshot);
        if (r < 0 && error.kind == ERROR_NONE)
                (void) error_set(&error, ERROR_DISK_LIMIT, "The snapshot cannot be written: %s.", strerror(-r));
        if (r < 0 || snapshot) {
                t->taken(r, snapshot, -EBADF, &error, t->userdata);
                return;
        }
        t->operation = operation_drop(t->operation);
        SnapshotTake *kept = take_ptr(t); /* may be freed by whom it is given to */
        kept->taken(0, NULL, kept->draft.fd, &error, kept->userdata);
}

static const OperationHandlers handlers = { .ended = on_ended };

int snapshot_take(Session *s, const char *owner, bool kept, SnapshotTaken *taken, void *userdata, SnapshotTake **ret,
        Error *error) {
        /* paths as they are below the root, where they come back to */
        static const char *const argv[] = { "pack", "/", "home/sandboxuser", "tmp", NULL };
        _cleanup_(snapshot_take_freep) SnapshotTake *t = calloc(1, sizeof *t);
        char size[24];
        const char *filter[] = { "pack", size, NULL };

        if (!t)
                return -ENOMEM;
        if (!s->manager->snapshots)
                return error_set(error, ERROR_WRONG_STATE, "This worker keeps no snapshots.");
        t->session = session_ref(s);
        t->taken = taken;
        t->userdata = userdata;
        t->draft.fd = -EBADF;
        int r = snapshot_draft(s->manager->snapshots, owner, s->limits.disk + OVERHEAD, !kept, &t->draft, error);
        if (r < 0)
                return r;
        (void) snprintf(size, sizeof size, "%llu", (unsigned long long) t->draft.room);
        OperationSpec spec = {
                .argv = argv,
                .filter = OPERATION_FILTER_OUTPUT,
                .filter_argv = filter,
                .filter_fd = t->draft.fd,
                .patience = PATIENCE_USEC,
                .handlers = &handlers,
                .userdata = t,
        };
        r = operation_start(s, &spec, &t->operation, error);
        if (r < 0)
                return r;
        *ret = take_ptr(t);
        return 0;
}
