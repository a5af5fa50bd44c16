/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "http/fleet.h"
#include "log/log.h"

#define LIST_MAX 1000U
#define LIST_DEFAULT 100U
#define FILTERS_MAX 8U

/* --- create --- */

typedef struct PendingCreate {
        HttpApi *api;
        HttpRequest *request;
        Creation *creation;
} PendingCreate;

static void answer_session(HttpRequest *r, unsigned status, const HttpApi *api, const Session *s, bool attached) {
        http_answer_json_text(r, status, session_describe_text(s, api->worker_id, attached));
}

static void answer_created(HttpRequest *r, HttpApi *api, const Session *s, bool attached) {
        char location[sizeof "/v1/sessions/" + UUID_TEXT_MAX];

        if (!attached)
                api->n_created++;
        http_fleet_add_load(r, api);
        (void) snprintf(location, sizeof location, "/v1/sessions/%s", s->id);
        http_request_set_header(r, "Location", location);
        answer_session(r, attached ? 200 : 201, api, s, attached);
}

static void on_created(Creation *c, Session *s, bool attached, Error *error, void *userdata) {
        PendingCreate *p = userdata;

        (void) c;
        if (s)
                answer_created(p->request, p->api, s, attached);
        else
                http_answer_error(p->request, error, -EIO);
        free(p);
}

static void on_create_cancelled(HttpRequest *r, void *userdata) {
        PendingCreate *p = userdata;

        (void) r;
        creation_cancel(p->creation);
        free(p);
}

void http_session_create(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        const SessionSettings *settings = session_manager_settings(api->sessions);
        _cleanup_create_spec_ CreateSpec spec = { .limits = settings->limits };
        Error error = { 0 };
        Session *s = NULL;
        bool attached;
        size_t length;
        const char *body = http_request_body(r, &length);

        int k = create_spec_read(&spec, body, length, settings->timeout_max, &error);
        if (k >= 0)
                k = http_fleet_session_id(r, spec.id, &error);
        if (k < 0) {
                http_answer_error(r, &error, k);
                return;
        }
        spec.request_id = http_request_id(r);
        spec.caller = http_request_caller(r);
        PendingCreate *p = malloc(sizeof *p);
        if (!p) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        *p = (PendingCreate){ .api = api, .request = r };
        k = session_create(
                api->sessions, &spec, http_request_owner(r), on_created, p, &s, &attached, &p->creation, &error);
        if (k > 0) {
                http_request_defer(r, on_create_cancelled, p);
                return;
        }
        free(p);
        if (k < 0)
                http_answer_error(r, &error, k);
        else
                answer_created(r, api, s, attached);
}

/* --- list --- */

typedef struct ListQuery {
        Error *error;
        const char *names[FILTERS_MAX], *values[FILTERS_MAX];
        unsigned n_filters;
        const char *state;
        uint64_t limit, after;
} ListQuery;

static int list_argument(const char *name, const char *value, void *userdata) {
        ListQuery *q = userdata;

        if (strncmp(name, "metadata.", 9) == 0) {
                if (q->n_filters == FILTERS_MAX)
                        return error_set_field(
                                q->error, ERROR_INVALID_VALUE, "metadata", "8 filters", "Too many filters.");
                q->names[q->n_filters] = name + 9;
                q->values[q->n_filters++] = value;
                return 0;
        }
        if (strcmp(name, "state") == 0) {
                if (strcmp(value, "running") != 0 && strcmp(value, "paused") != 0)
                        return error_set_field(q->error, ERROR_INVALID_VALUE, "state", "running or paused",
                                "\"state\" is \"running\" or \"paused\".");
                q->state = value;
                return 0;
        }
        if (strcmp(name, "limit") == 0) {
                if (parse_unsigned(value, &q->limit) < 0 || q->limit == 0 || q->limit > LIST_MAX)
                        return error_set_field(q->error, ERROR_INVALID_VALUE, "limit", "1 to 1000",
                                "\"limit\" is out of range: 1 to 1000.");
                return 0;
        }
        if (strcmp(name, "next") == 0) {
                if (parse_unsigned(value, &q->after) < 0)
                        return error_set_field(q->error, ERROR_INVALID_VALUE, "next", NULL,
                                "\"next\" is not a token of a former answer.");
                return 0;
        }
        return error_set_field(q->error, ERROR_MALFORMED, name, NULL, "There is no parameter \"%.60s\" here.", name);
}

static bool list_matches(const ListQuery *q, const Session *s) {
        if (q->state && strcmp(q->state, s->paused ? "paused" : "running") != 0)
                return false;
        for (unsigned i = 0; i < q->n_filters; i++) {
                const char *value = json_string_value(json_object_get(s->metadata, q->names[i]));
                if (!value || strcmp(value, q->values[i]) != 0)
                        return false;
        }
        return true;
}

/* Writes the page that @q asks for. Returns 0 or -ENOMEM. */
static int write_list(FILE *out, const ListQuery *q, const HttpRequest *r, const HttpApi *api) {
        Session *s = session_next(api->sessions, q->after, http_request_owner(r));
        uint64_t last = q->after, n = 0;

        (void) fputs("{\"sessions\":[", out);
        for (; s; s = session_after(s, http_request_owner(r))) {
                if (!list_matches(q, s))
                        continue;
                if (n == q->limit) {
                        (void) fprintf(out, "],\"next\":\"%llu\"}", (unsigned long long) last);
                        return 0;
                }
                _cleanup_free_ char *text = session_describe_text(s, api->worker_id, false);
                if (!text)
                        return -ENOMEM;
                (void) fprintf(out, "%s%s", n > 0 ? "," : "", text);
                last = s->sequence;
                n++;
        }
        (void) fputs("]}", out);
        return 0;
}

void http_session_list(HttpRequest *r, void *userdata) {
        Error error = { 0 };
        ListQuery q = { .error = &error, .limit = LIST_DEFAULT };
        char *text = NULL;
        size_t length;

        int k = http_request_each_argument(r, list_argument, &q);
        if (k < 0) {
                http_answer_error(r, &error, k);
                return;
        }
        FILE *out = open_memstream(&text, &length);
        k = out ? write_list(out, &q, r, userdata) : -ENOMEM;
        if (out && fclose(out) != 0)
                k = -ENOMEM;
        if (k == 0)
                http_answer_json_text(r, 200, text);
        else {
                free(text);
                http_answer_error(r, &error, k);
        }
}

/* --- one --- */

void http_session_show(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        Session *s = http_find_session(r, api);

        if (!s)
                return;
        json_t *j = session_describe(s, api->worker_id, false), *usage = session_usage(s);
        if (j && usage)
                (void) json_object_set_new(j, "usage", usage);
        else
                json_decref(usage);
        http_answer_json(r, 200, j);
}

void http_session_patch(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        _cleanup_patch_spec_ PatchSpec spec = { 0 };
        Error error = { 0 };
        size_t length;
        const char *body = http_request_body(r, &length);
        Session *s = http_find_session(r, api);

        if (!s)
                return;
        int k = patch_spec_read(&spec, body, length, session_manager_settings(api->sessions)->timeout_max, &error);
        if (k == 0 && spec.timeout)
                k = session_set_timeout(s, spec.timeout);
        if (k < 0) {
                http_answer_error(r, &error, k);
                return;
        }
        if (spec.metadata)
                session_set_metadata(s, spec.metadata);
        answer_session(r, 200, api, s, false);
}

/* --- delete --- */

typedef struct PendingDelete {
        HttpRequest *request; /* NULL: the client has gone */
        Session *session;     /* owned */
        SessionEndWaiter waiter;
} PendingDelete;

static void pending_delete_free(PendingDelete *p) {
        session_end_waiter_cancel(&p->waiter);
        (void) session_unref(p->session);
        free(p);
}

static void on_session_ended(SessionEndWaiter *w) {
        PendingDelete *p = CONTAINER_OF(w, PendingDelete, waiter);

        if (p->session->sandbox->state < SANDBOX_EMPTY)
                log_event(LOG_WARNING, NULL, LOG_FIELDS({ "SESSION_ID", p->session->id }),
                        "Something of session %s cannot be killed. Its place stays taken until that ends.",
                        p->session->id);
        http_answer_empty(p->request, 204);
        pending_delete_free(p);
}

static void on_delete_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        pending_delete_free(userdata); /* the session ends all the same */
}

void http_session_delete(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        Error error = { 0 };

        if (http_request_header(r, HEADER_REVOKE) && !http_request_owner(r) &&
                id_is_valid(http_request_parameter(r, 0))) {
                session_revoke(api->sessions, http_request_parameter(r, 0), SESSION_DELETED);
                http_answer_empty(r, 204);
                return;
        }
        Session *s = http_find_session(r, api);
        if (!s)
                return;
        PendingDelete *p = calloc(1, sizeof *p);
        if (!p) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        p->request = r;
        p->session = session_ref(s);
        p->waiter.ended = on_session_ended;
        session_end(s, SESSION_DELETED);
        if (!session_wait_end(s, &p->waiter)) {
                pending_delete_free(p);
                http_answer_empty(r, 204);
                return;
        }
        http_request_defer(r, on_delete_cancelled, p);
}

/* --- pause and resume --- */

void http_session_pause(HttpRequest *r, void *userdata) {
        static const JsonField fields[] = { { "stop_clock", json_parse_boolean, 0 }, { 0 } };
        HttpApi *api = userdata;
        _cleanup_json_ json_t *object = NULL;
        Error error = { 0 };
        size_t length;
        const char *body = http_request_body(r, &length);
        bool stop_clock = false;
        Session *s = http_find_session(r, api);

        if (!s)
                return;
        int k = json_read_object(body, length, &object, &error);
        if (k == 0)
                k = json_apply(object, fields, &stop_clock, &error);
        if (k == 0)
                k = session_pause(s, stop_clock, &error);
        if (k < 0)
                http_answer_error(r, &error, k);
        else
                answer_session(r, 200, api, s, false);
}

void http_session_resume(HttpRequest *r, void *userdata) {
        static const JsonField fields[] = { { 0 } }; /* many clients send an empty object */
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
                k = json_apply(object, fields, NULL, &error);
        if (k < 0) {
                http_answer_error(r, &error, k);
                return;
        }
        (void) session_resume(s);
        answer_session(r, 200, api, s, false);
}
