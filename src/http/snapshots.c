/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "http/api.h"
#include "session/snapshot-take.h"

/* Snapshots of sessions. */

#define LIST_MAX 1000U
#define LIST_DEFAULT 100U

/* --- a new one --- */

typedef struct PendingSnapshot {
        HttpApi *api;
        HttpRequest *request;
        SnapshotTake *take;
} PendingSnapshot;

static void on_taken(int result, Snapshot *snapshot, int fd, Error *error, void *userdata) {
        PendingSnapshot *p = userdata;
        char location[sizeof "/v1/snapshots/" + UUID_TEXT_MAX];

        (void) fd;
        if (result < 0)
                http_answer_error(p->request, error, result);
        else {
                (void) snprintf(location, sizeof location, "/v1/snapshots/%s", snapshot->id);
                http_request_set_header(p->request, "Location", location);
                http_answer_json(p->request, 201, snapshot_describe(snapshot, p->api->worker_id));
        }
        free(p);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        PendingSnapshot *p = userdata;

        (void) r;
        (void) snapshot_take_free(p->take);
        free(p);
}

void http_snapshot_create(HttpRequest *r, void *userdata) {
        static const JsonField none[] = { { 0 } };
        HttpApi *api = userdata;
        _cleanup_json_ json_t *object = NULL;
        Error error = { 0 };
        size_t length;
        const char *body = http_request_body(r, &length);
        Session *s = http_find_session(r, api);

        if (!s)
                return;
        int k = json_read_object(body, length, &object, &error);
        if (k == 0)
                k = json_apply(object, none, NULL, &error);
        PendingSnapshot *p = k == 0 ? malloc(sizeof *p) : NULL;
        if (p) {
                *p = (PendingSnapshot){ .api = api, .request = r };
                k = snapshot_take(s, http_request_owner(r), true, on_taken, p, &p->take, &error);
        } else if (k == 0)
                k = -ENOMEM;
        if (k < 0) {
                free(p);
                http_answer_error(r, &error, k);
                return;
        }
        http_request_defer(r, on_cancelled, p);
}

/* --- those that are there --- */

typedef struct ListQuery {
        Error *error;
        uint64_t limit;
        const char *after; /* id of the last one before, or NULL */
} ListQuery;

static int list_argument(const char *name, const char *value, void *userdata) {
        ListQuery *q = userdata;

        if (strcmp(name, "limit") == 0) {
                if (parse_unsigned(value, &q->limit) < 0 || q->limit == 0 || q->limit > LIST_MAX)
                        return error_set_field(q->error, ERROR_INVALID_VALUE, "limit", "1 to 1000",
                                "\"limit\" is out of range: 1 to 1000.");
                return 0;
        }
        if (strcmp(name, "next") == 0) {
                q->after = value;
                return 0;
        }
        return error_set_field(q->error, ERROR_MALFORMED, name, NULL, "There is no parameter \"%.60s\" here.", name);
}

void http_snapshot_list(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        Snapshots *store = session_manager_snapshots(api->sessions);
        const char *owner = http_request_owner(r);
        _cleanup_json_ json_t *list = json_array();
        Error error = { 0 };
        ListQuery q = { .error = &error, .limit = LIST_DEFAULT };
        Snapshot *last = NULL, *s;

        int k = http_request_each_argument(r, list_argument, &q);
        if (k == 0 && q.after && (!store || snapshots_find(store, q.after, owner, &last, NULL) < 0))
                k = error_set_field(&error, ERROR_INVALID_VALUE, "next", NULL,
                        "\"next\" is not a token of a former answer, or that snapshot is gone.");
        if (k < 0) {
                http_answer_error(r, &error, k);
                return;
        }
        for (s = store ? snapshots_next(store, last, owner) : NULL; s && json_array_size(list) < q.limit;
                s = snapshots_next(store, s, owner)) {
                (void) json_array_append_new(list, snapshot_describe(s, api->worker_id));
                last = s;
        }
        http_answer_json(r, 200,
                s ? json_pack("{sO ss}", "snapshots", list, "next", last->id) : json_pack("{sO}", "snapshots", list));
}

/* NULL after having answered. */
static Snapshot *find(HttpRequest *r, HttpApi *api) {
        Snapshots *store = session_manager_snapshots(api->sessions);
        Error error = { 0 };
        Snapshot *s;

        int k = store ? snapshots_find(store, http_request_parameter(r, 0), http_request_owner(r), &s, &error)
                      : -ENOENT;
        if (k == 0)
                return s;
        http_answer_error(r, &error, k);
        return NULL;
}

void http_snapshot_show(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        Snapshot *s = find(r, api);

        if (s)
                http_answer_json(r, 200, snapshot_describe(s, api->worker_id));
}

void http_snapshot_delete(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        Snapshot *s = find(r, api);

        if (!s)
                return;
        snapshots_delete(session_manager_snapshots(api->sessions), s);
        http_answer_empty(r, 204);
}
