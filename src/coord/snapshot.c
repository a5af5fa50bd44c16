/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "coord/coord.h"
#include "coord/spread.h"

/* A request about one snapshot: its worker answers. */
typedef struct SnapshotRequest {
        Job job;
        HttpRequest *request;
        Spread *spread;
} SnapshotRequest;

static SnapshotRequest *snapshot_request_free(SnapshotRequest *s) {
        s->spread = spread_free(s->spread);
        job_done(&s->job);
        free(s);
        return NULL;
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        (void) snapshot_request_free(userdata);
}

static void fail(SnapshotRequest *s, int result) {
        HttpRequest *r = s->request;
        Error error = { 0 };

        (void) snapshot_request_free(s);
        if (result == -ENOENT)
                result = error_set(&error, ERROR_NOT_FOUND, "There is no snapshot with this id.");
        else if (result == -EAGAIN) {
                result = error_set(&error, ERROR_WORKER_LOST, "Not all workers can be asked for this snapshot now.");
                error.retry_after = 1;
        }
        http_answer_error(r, &error, result);
}

static void on_done(Spread *spread, Call *c, int result, void *userdata) {
        SnapshotRequest *s = userdata;
        HttpRequest *r = s->request;

        (void) spread;
        if (!c) {
                fail(s, result);
                return;
        }
        unsigned status = call_status(c);
        const char *type = call_header(c, "Content-Type");
        char *body = take_ptr(c->body);
        size_t length = body ? c->body_used : 0;
        if (type)
                http_request_set_header(r, "Content-Type", type);
        (void) snapshot_request_free(s);
        if (length == 0) {
                free(body);
                http_answer_empty(r, status);
        } else
                http_answer_bytes(r, status, NULL, body, length);
}

void coord_snapshot(HttpRequest *r, void *userdata) {
        const char *id = http_request_parameter(r, 0);
        char target[sizeof "/v1/snapshots/" + ID_MAX];
        Error error = { 0 };

        SnapshotRequest *s = calloc(1, sizeof *s);
        if (!s) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        s->request = r;
        job_begin(userdata, &s->job, NULL);
        (void) snprintf(target, sizeof target, "/v1/snapshots/%s", id_is_valid(id) ? id : "");
        int k = id_is_valid(id) ? spread_start(userdata, r, http_request_method(r), target, on_done, s, &s->spread)
                                : -ENOENT;
        if (k < 0)
                fail(s, k);
        else
                http_request_defer(r, on_cancelled, s);
}
