/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "coord/call.h"
#include "coord/coord.h"
#include "coord/outgoing.h"
#include "spec/json.h"

#define LIMIT_DEFAULT 100U
#define LIMIT_MAX 1000U
#define QUERY_MAX 4096U
#define PATIENCE_USEC (3 * USEC_PER_SEC)

typedef struct ListKind {
        const char *target, *member;
        bool whole; /* the workers' lists have no pages, and several may have the same: by name it is told once */
} ListKind;

static const ListKind sessions_kind = { "/v1/sessions", "sessions", false },
                      snapshots_kind = { "/v1/snapshots", "snapshots", false },
                      images_kind = { "/v1/images", "images", true };

/* What all workers have, one worker after the other in the order of their ids: a page ends where it is full, and the
 * token of the next says at which worker and where there. */
typedef struct List {
        Job job;
        const ListKind *kind;
        HttpRequest *request;
        Call *call;
        json_t *items, *missing; /* owned: what is there, and the workers that did not tell */
        uint64_t limit;
        char worker_id[ID_MAX + 1]; /* that is asked, or was asked last */
        char token[64];             /* of its page, or "" */
        char query[QUERY_MAX];      /* the client's, without what is ours */
        Outgoing head;
        char target[QUERY_MAX + 128];
} List;

static List *list_free(List *l) {
        if (!l)
                return NULL;
        l->call = call_free(l->call);
        job_done(&l->job);
        json_decref(l->items);
        json_decref(l->missing);
        free(l);
        return NULL;
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        (void) list_free(userdata);
}

static void fail(List *l, Error *error, int result) {
        HttpRequest *r = l->request;

        (void) list_free(l);
        http_answer_error(r, error, result);
}

/* @next: token, or "". */
static void finish(List *l, const char *next) {
        HttpRequest *r = l->request;
        json_t *answer = json_pack("{sO}", l->kind->member, l->items);

        if (answer && next[0])
                (void) json_object_set_new(answer, "next", json_string(next));
        if (answer && json_array_size(l->missing) > 0)
                (void) json_object_set(answer, "missing_workers", l->missing);
        (void) list_free(l);
        http_answer_json(r, 200, answer);
}

/* The worker with the next id. */
static Worker *next_worker(const List *l) {
        Worker *best = NULL;

        for (Worker *w = fleet_first(l->job.coord->fleet); w; w = fleet_next(w))
                if (w->id[0] && !w->alias && !w->conflict && strcmp(w->id, l->worker_id) > 0 &&
                        (!best || strcmp(w->id, best->id) < 0))
                        best = w;
        return best;
}

static void ask(List *l, Worker *w);

static void miss(List *l) {
        (void) json_array_append_new(l->missing, json_string(l->worker_id));
}

static void go_on(List *l) {
        char token[ID_MAX + 2];
        Worker *w;

        while ((w = next_worker(l))) {
                if (!l->kind->whole && json_array_size(l->items) >= l->limit) {
                        (void) snprintf(token, sizeof token, "%s.", w->id);
                        finish(l, token);
                        return;
                }
                l->token[0] = '\0';
                if (worker_is_reachable(w)) {
                        ask(l, w);
                        return;
                }
                memcpy(l->worker_id, w->id, sizeof l->worker_id); /* there may be thousands: in a loop */
                miss(l);
        }
        finish(l, "");
}

/* Adds those that are not there yet, and to all who has them. */
static void merge(List *l, json_t *items) {
        json_t *item, *there, *found;
        size_t i, k;

        json_array_foreach(items, i, item) {
                if (i == LIMIT_MAX) /* each is compared with all others */
                        return;
                const char *name = json_string_value(json_object_get(item, "name"));
                found = NULL;
                json_array_foreach(l->items, k, there) {
                        const char *other = json_string_value(json_object_get(there, "name"));
                        if (name && other && strcmp(name, other) == 0)
                                found = there;
                }
                if (!name || (!found && (json_array_size(l->items) >= LIMIT_MAX ||
                                                json_object_set_new(item, "workers", json_array()) < 0)))
                        continue;
                if (!found && json_array_append(l->items, found = item) < 0)
                        return;
                (void) json_array_append_new(json_object_get(found, "workers"), json_string(l->worker_id));
        }
}

static void on_page(Call *call, int result, void *userdata) {
        List *l = userdata;
        unsigned status = result == 0 ? call_status(call) : 0;
        _cleanup_json_ json_t *page =
                call->body ? json_loadb(call->body, call->body_used, JSON_REJECT_DUPLICATES, NULL) : NULL;

        if (status >= 400 && status < 500 && status != 421) {
                /* what it refuses all refuse */
                HttpRequest *r = l->request;
                char *body = take_ptr(call->body);
                size_t length = call->body_used;
                (void) list_free(l);
                http_answer_bytes(r, status, "application/problem+json", body, body ? length : 0);
                return;
        }
        if (result < 0)
                worker_doubt(call->worker);
        l->call = call_free(call);
        json_t *items = json_object_get(page, l->kind->member);
        if (status != 200 || !json_is_array(items)) {
                miss(l);
                go_on(l);
                return;
        }
        if (l->kind->whole)
                merge(l, items);
        else if (json_array_extend(l->items, items) < 0)
                miss(l);
        const char *next = json_string_value(json_object_get(page, "next"));
        if (next && strlen(next) < sizeof l->token) {
                char token[sizeof l->worker_id + sizeof l->token];
                (void) snprintf(token, sizeof token, "%s.%s", l->worker_id, next);
                finish(l, token);
                return;
        }
        go_on(l);
}

static void ask(List *l, Worker *w) {
        uint64_t left = l->kind->whole ? LIMIT_MAX : l->limit - json_array_size(l->items);
        Error error = { 0 };

        memcpy(l->worker_id, w->id, sizeof l->worker_id);
        (void) snprintf(l->target, sizeof l->target, "%s?limit=%llu%s%s%s%s", l->kind->target,
                (unsigned long long) left, l->token[0] ? "&next=" : "", l->token, l->query[0] ? "&" : "", l->query);
        int r = worker_is_reachable(w) ? outgoing_make(&l->head, l->job.coord, l->request, w, &error) : -EHOSTUNREACH;
        CallRequest q = {
                .method = "GET",
                .target = l->target,
                .headers = l->head.headers,
                .n_headers = l->head.n,
                .patience = PATIENCE_USEC,
        };
        if (r >= 0)
                r = call_start(w, &q, on_page, l, &l->call);
        if (r == -EHOSTUNREACH) {
                miss(l);
                go_on(l);
        } else if (r < 0)
                fail(l, &error, r);
}

/* --- the request --- */

static int take_next(List *l, const char *token, Error *error) {
        const char *dot = strchr(token, '.');
        size_t n = dot ? (size_t) (dot - token) : 0;

        if (strcmp(token, "0") == 0) /* from the start, as workers understand it */
                return 0;
        if (n > 0 && n <= ID_MAX && strlen(dot + 1) < sizeof l->token &&
                strspn(dot + 1, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") ==
                        strlen(dot + 1)) {
                memcpy(l->worker_id, token, n);
                l->worker_id[n] = '\0';
                (void) snprintf(l->token, sizeof l->token, "%s", dot + 1);
                if (id_is_valid(l->worker_id))
                        return 0;
        }
        return error_set_field(error, ERROR_INVALID_VALUE, "next", NULL, "\"next\" is not a token of a former answer.");
}

/* The query as it came, without "limit" and "next". */
static int take_query(List *l, Error *error) {
        const char *query = strchrnul(http_request_target(l->request), '?');
        size_t used = 0;

        while (*query) {
                query++;
                size_t n = strcspn(query, "&");
                if (n > 0 && strncmp(query, "limit=", 6) != 0 && strncmp(query, "next=", 5) != 0) {
                        if (used + n + 2 > sizeof l->query)
                                return error_set(error, ERROR_MALFORMED, "The query is too long.");
                        used += (size_t) snprintf(
                                l->query + used, sizeof l->query - used, "%s%.*s", used ? "&" : "", (int) n, query);
                }
                query += n;
        }
        return 0;
}

static int read_request(List *l, Error *error) {
        const char *limit = http_request_argument(l->request, "limit"),
                   *next = http_request_argument(l->request, "next");

        l->limit = LIMIT_DEFAULT;
        if (limit && (parse_unsigned(limit, &l->limit) < 0 || l->limit == 0 || l->limit > LIMIT_MAX))
                return error_set_field(
                        error, ERROR_INVALID_VALUE, "limit", "1 to 1000", "\"limit\" is out of range: 1 to 1000.");
        int r = take_query(l, error);
        return r >= 0 && next ? take_next(l, next, error) : r;
}

static void list(HttpRequest *r, Coordinator *c, const ListKind *kind) {
        Error error = { 0 };
        List *l = calloc(1, sizeof *l);

        if (!l) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        l->request = r;
        l->kind = kind;
        job_begin(c, &l->job, NULL);
        l->items = json_array();
        l->missing = json_array();
        int k = l->items && l->missing ? read_request(l, &error) : -ENOMEM;
        if (k < 0) {
                fail(l, &error, k);
                return;
        }
        http_request_defer(r, on_cancelled, l);
        Worker *w = l->worker_id[0] ? fleet_find(l->job.coord->fleet, l->worker_id) : NULL;
        if (w)
                ask(l, w);
        else
                go_on(l);
}

void coord_session_list(HttpRequest *r, void *userdata) {
        list(r, userdata, &sessions_kind);
}

void coord_snapshot_list(HttpRequest *r, void *userdata) {
        list(r, userdata, &snapshots_kind);
}

void coord_image_list(HttpRequest *r, void *userdata) {
        list(r, userdata, &images_kind);
}
