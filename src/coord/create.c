/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/create.h"

#include <stdio.h>
#include <string.h>

#include "coord/ask.h"
#include "coord/find.h"
#include "coord/record.h"
#include "coord/revoke.h"
#include "coord/spread.h"
#include "spec/create.h"

#define TARGET "/v1/sessions"
#define TRY_PATIENCE_USEC (12 * USEC_PER_SEC) /* a worker has ten for a sandbox that it has to make first */
#define SETTLE_STEP_USEC (50 * USEC_PER_MSEC)

static Create *create_free(Create *x) {
        if (!x)
                return NULL;
        x->call = call_free(x->call);
        x->timer = sd_event_source_disable_unref(x->timer);
        (void) store_call_cancel(x->store_call);
        recording_detach(x->recording);
        create_release(x);
        x->places = quota_release(x->places);
        x->spread = spread_free(x->spread);
        x->ask = ask_free(x->ask);
        job_done(&x->job);
        json_decref(x->spec);
        free(x->owner);
        free(x->body);
        free(x->patient_body);
        free(x->answer);
        free(x->stale);
        free(x->failure);
        free(x);
        return NULL;
}

void create_fail(Create *x, Error *error, int result) {
        HttpRequest *r = x->request;

        (void) create_free(x);
        http_answer_error(r, error, result);
}

/* The attempt that goes on is given up; what comes of it is taken back. */
static void give_up(Create *x) {
        if (!x->call)
                return;
        x->call->worker->n_pending--;
        revoke_session(x->job.coord->revocations, x->call->worker->id, x->id);
        x->call = call_free(x->call);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        Create *x = userdata;

        (void) r;
        give_up(x);
        (void) create_free(x);
}

void create_take_back(Create *x, KnownSession *k) {
        if (!k || !k->worker || x->status != 201)
                return;
        revoke_session(x->job.coord->revocations, k->worker->id, k->id);
        record_drop(x->job.coord, k);
        sessions_drop(k);
}

/* --- the answer --- */

/* "READY SIZE ACTIVE MAX": how the worker is now, which is newer than its last report. */
static void take_load(Worker *w, const char *load) {
        unsigned ready, size, active, max;

        if (load && sscanf(load, "%9u %9u %9u %9u", &ready, &size, &active, &max) == 4) {
                w->report.pool_ready = ready;
                w->report.pool_size = size;
                w->report.active_sessions = active;
                w->report.max_sessions = max;
        } else
                worker_session_added(w, true);
}

void create_finish(Create *x) {
        if (x->recording || x->store_call || quota_is_pending(x->places))
                return; /* the answer waits for it */

        HttpRequest *r = x->request;
        char *answer = take_ptr(x->answer);
        size_t length = x->answer_length;
        unsigned status = x->status;

        http_request_set_header(r, "Location", x->location);
        (void) create_free(x);
        http_answer_bytes(r, status, "application/json", answer, length);
}

static void on_recorded(void *userdata) {
        Create *x = userdata;

        x->recording = NULL;
        create_finish(x);
}

static void succeed(Create *x, Call *c, Worker *w) {
        Coordinator *coord = x->job.coord;
        _cleanup_json_ json_t *j = json_loadb(c->body ? c->body : "", c->body_used, JSON_REJECT_DUPLICATES, NULL);
        KnownSession *k;
        Error error = { 0 };

        x->status = call_status(c);
        if (!j || learn_session(coord, w, x->owner, j, &k) < 0) {
                revoke_session(coord->revocations, w->id, x->id);
                x->call = call_free(c);
                int r = error_set(&error, ERROR_WORKER_LOST, "Worker %s answered nonsense.", worker_name(w));
                error.retry_after = 1;
                create_fail(x, &error, r);
                return;
        }
        if (x->status == 201) {
                coord->counters.created++;
                take_load(w, call_header(c, HEADER_LOAD));
        } else
                coord->counters.attached++;
        (void) snprintf(x->session_id, sizeof x->session_id, "%s", k->id);
        (void) snprintf(x->location, sizeof x->location, TARGET "/%s", k->id);
        x->answer = take_ptr(c->body);
        x->answer_length = c->body_used;
        x->call = call_free(c);
        /* Who asks another coordinator before the store has the record is sent on to the workers by it. A session that
         * counts among those of its key has to be in the store: it could end there before it counts. */
        if (x->places)
                x->recording = record_put(coord, k, x->answer, x->places, on_recorded, x);
        else
                (void) record_put(coord, k, x->answer, NULL, NULL, NULL);
        create_settle(x, k);
}

/* What the worker refuses is the answer, as it is. */
static void pass_on(Create *x, Call *c) {
        HttpRequest *r = x->request;
        unsigned status = call_status(c);
        char *body = take_ptr(c->body);
        size_t length = c->body_used;
        const char *type = call_header(c, "Content-Type"), *retry = call_header(c, "Retry-After");

        if (retry)
                http_request_set_header(r, "Retry-After", retry);
        if (type)
                http_request_set_header(r, "Content-Type", type);
        (void) create_free(x);
        if (length == 0) {
                free(body);
                http_answer_empty(r, status);
        } else
                http_answer_bytes(r, status, NULL, body, length);
}

/* --- a place among the sessions of the key --- */

static void on_place(QuotaPlaces *p, int result, Error *error, void *userdata) {
        Create *x = userdata;

        (void) p;
        if (result < 0) {
                KnownSession *k = x->answer ? sessions_find(x->job.coord->sessions, x->session_id) : NULL;
                give_up(x);
                if (k)
                        create_unsettle(x, k);
                create_take_back(x, k);
                create_fail(x, error, result);
                return;
        }
        if (x->answer)
                create_finish(x);
        else if (x->waits_for_place) {
                x->waits_for_place = false;
                create_try(x);
        }
}

/* Returns 1 when nothing is to be made before the store has answered. It is asked while the worker is: who has no place
 * is rare, and then the session is taken back. */
static int take_place(Create *x, Error *error) {
        Coordinator *c = x->job.coord;

        if (x->places)
                return 0;
        int r = quota_reserve(c, x->owner, 1, on_place, x, &x->places, error);
        x->waits_for_place = r > 0 && quota_is_tight(c);
        return x->waits_for_place ? 1 : MIN(r, 0);
}

/* --- attempts --- */

/* Was the attempt that is over now at the one worker that has the key's session? */
static bool take_pinned(Create *x) {
        bool pinned = x->is_pinned;

        x->is_pinned = false;
        return pinned;
}

static size_t tries_max(const Create *x) {
        return x->n_lacking > 0 ? CREATE_IMAGE_TRIES_MAX : CREATE_TRIES_MAX;
}

/* Is there nobody else to ask? */
static bool is_last(const Create *x) {
        if (x->waiting)
                return true;
        if (x->snapshot_id[0])
                return !x->patient_body;
        return !x->patient_body && (x->n_tried >= tries_max(x) || x->n_tried >= fleet_n_ready(x->job.coord->fleet));
}

/* No refusal: the worker, or a proxy in front of it, could not. */
static bool is_failure(unsigned status) {
        return status == 500 || status == 502 || status == 504;
}

/* Keeps what it says, in case that nobody else can. */
static void keep_failure(Create *x, const Call *c, const Worker *w) {
        _cleanup_json_ json_t *j = c->body ? json_loadb(c->body, c->body_used, JSON_REJECT_DUPLICATES, NULL) : NULL;
        const char *detail = json_string_value(json_object_get(j, "detail"));

        free(x->failure);
        if (asprintf(&x->failure, "Worker %s answered with status %u%s%.200s", worker_name(w), call_status(c),
                    detail ? ": " : ".", detail ? detail : "") < 0)
                x->failure = NULL; /* then it is not told */
}

/* Not every worker needs to have every image. */
static bool lacks_image(const Create *x, const Call *c) {
        if (!x->has_image || call_status(c) != 422)
                return false;
        _cleanup_json_ json_t *j = c->body ? json_loadb(c->body, c->body_used, JSON_REJECT_DUPLICATES, NULL) : NULL;
        const char *field = json_string_value(json_object_get(j, "field"));
        return field && strcmp(field, "image") == 0;
}

/* The workers without it come first among those that were tried. Returns whether others may be asked. */
static bool count_lacking(Create *x) {
        if (x->n_lacking < x->n_tried - 1) {
                char id[ID_MAX + 1], *last = x->tried[x->n_tried - 1], *place = x->tried[x->n_lacking];
                memcpy(id, last, sizeof id);
                memcpy(last, place, sizeof id);
                memcpy(place, id, sizeof id);
        }
        x->n_lacking = MIN(x->n_lacking + 1, x->n_tried);
        return ask_is_allowed(x->job.coord, 1);
}

static int refuse_image(const Create *x, bool unsure, Error *error) {
        if (!unsure)
                return error_set_field(error, ERROR_INVALID_VALUE, "image", NULL,
                        "None of the %zu workers that were asked has the image \"%.255s\".", x->n_tried,
                        json_string_value(json_object_get(x->spec, "image")));
        int r = error_set_field(error, ERROR_NO_CAPACITY, "image", NULL, "Not all workers can be asked for this image now.");
        error->retry_after = 1;
        return r;
}

static void on_answer(Call *c, int result, void *userdata) {
        Create *x = userdata;
        Coordinator *coord = x->job.coord;
        Worker *w = c->worker;
        unsigned status = result == 0 ? call_status(c) : 0;
        bool pinned = take_pinned(x);

        w->n_pending--;
        if (status == 201 || status == 200) {
                succeed(x, c, w);
                return;
        }
        if (result < 0 || status == 421)
                worker_doubt(w);
        else if (is_failure(status))
                keep_failure(x, c, w);
        else if (!pinned && lacks_image(x, c)) {
                if (!count_lacking(x)) {
                        Error error = { 0 };
                        x->call = call_free(c);
                        create_fail(x, &error, refuse_image(x, true, &error));
                        return;
                }
        } else if (status != 503 || (!pinned && is_last(x))) {
                pass_on(x, c);
                return;
        }
        if ((result < 0 && c->was_sent) || is_failure(status))
                revoke_session(coord->revocations, w->id, x->id); /* it may have been made */
        x->call = call_free(c);
        coord->counters.create_retries++;
        if (pinned)
                create_unpin(x, w, status);
        else
                create_try(x);
}

static int ask_worker(Create *x, Worker *w, Error *error) {
        CallRequest q = { .method = "POST", .target = TARGET };
        size_t length;

        uuid_make(x->id);
        int r = outgoing_make(&x->head, x->job.coord, x->request, w, error);
        if (r >= 0 && outgoing_add(&x->head, HEADER_SESSION, x->id) < 0)
                r = error_set(error, ERROR_HEADERS_TOO_LARGE, "The request has too many headers.");
        if (r < 0)
                return r;
        q.headers = x->head.headers;
        q.n_headers = x->head.n;
        q.body = x->waiting ? x->patient_body : x->body;
        if (q.body)
                q.body_size = strlen(q.body);
        else {
                q.body = http_request_body(x->request, &length);
                q.body_size = length;
        }
        q.patience = TRY_PATIENCE_USEC + (x->waiting ? (usec_t) (x->wait * USEC_PER_SEC) : 0);
        r = call_start(w, &q, on_answer, x, &x->call);
        if (r >= 0)
                w->n_pending++;
        return r;
}

static int refuse_none(const Create *x, Error *error) {
        int r = error_set(error, ERROR_NO_CAPACITY, "%s%s%s",
                x->n_tried > 0                             ? "No worker can take the session now."
                : fleet_first(x->job.coord->fleet) == NULL ? "There are no workers."
                                                           : "No worker can be reached now.",
                x->failure ? " " : "", x->failure ? x->failure : "");

        error->retry_after = 1;
        return r;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        create_try(userdata);
        return 0;
}

/* Waits for a worker, for a moment: when the only one is restarted. */
static bool wait_for_worker(Create *x) {
        Fleet *f = x->job.coord->fleet;

        if (fleet_n_ready(f) > 0 || !fleet_may_recover(f) || clock_monotonic() > x->started + WORKER_RECOVERY_USEC)
                return false;
        x->n_tried = x->n_lacking = 0;
        if (!x->timer)
                return sd_event_add_time_relative(x->job.coord->event, &x->timer, CLOCK_MONOTONIC, SETTLE_STEP_USEC,
                               USEC_PER_MSEC, on_timer, x) >= 0;
        return sd_event_source_set_time_relative(x->timer, SETTLE_STEP_USEC) >= 0 &&
               sd_event_source_set_enabled(x->timer, SD_EVENT_ONESHOT) >= 0;
}

/* --- a session out of a snapshot --- */

static void on_snapshot(Spread *spread, Call *c, int result, void *userdata) {
        Create *x = userdata;
        Error error = { 0 };

        (void) spread;
        if (c && call_status(c) == 200 && c->worker)
                memcpy(x->snapshot_worker, c->worker->id, sizeof x->snapshot_worker);
        else if (result == -EAGAIN) {
                result = error_set_field(&error, ERROR_WORKER_LOST, "image", NULL,
                        "Not all workers can be asked for this snapshot now.");
                error.retry_after = 1;
        } else
                result = error_set_field(
                        &error, ERROR_INVALID_VALUE, "image", NULL, "There is no snapshot \"%s\".", x->snapshot_id);
        x->spread = spread_free(x->spread);
        if (x->snapshot_worker[0])
                create_try(x);
        else
                create_fail(x, &error, result);
}

/* A snapshot lies at one worker, and only that can make a session of it. Returns 1 when it is being looked for. */
static int find_snapshot(Create *x) {
        char target[sizeof "/v1/snapshots/" + ID_MAX];

        if (!x->snapshot_id[0] || x->snapshot_worker[0])
                return 0;
        (void) snprintf(target, sizeof target, "/v1/snapshots/%s", x->snapshot_id);
        int r = spread_start(x->job.coord, x->request, "GET", target, on_snapshot, x, &x->spread);
        return r < 0 ? r : 1;
}

void create_try(Create *x) {
        Fleet *fleet = x->job.coord->fleet;
        Worker *tried[CREATE_IMAGE_TRIES_MAX] = { 0 }, *w = x->pinned;
        Error error = { 0 };
        size_t n = 0, n_lacking = 0;

        int r = w ? 0 : find_snapshot(x);
        if (r == 0 && !w)
                r = take_place(x, &error); /* what is there already has its place */
        if (r < 0)
                create_fail(x, &error, r);
        if (r != 0)
                return;
        for (size_t i = 0; i < x->n_tried; i++) {
                Worker *t = fleet_find(fleet, x->tried[i]);
                if (t)
                        tried[n++] = t;
                if (i < x->n_lacking)
                        n_lacking = n;
        }
        x->is_pinned = w != NULL;
        x->pinned = NULL;
        if (!w && x->snapshot_id[0]) {
                w = x->n_tried == 0 || (x->patient_body && !x->waiting) ? fleet_find(fleet, x->snapshot_worker) : NULL;
                w = w && worker_is_reachable(w) ? w : NULL;
                x->waiting = x->n_tried > 0;
        } else if (!w && x->n_tried < tries_max(x))
                w = fleet_choose(fleet, tried, n);
        if (!w && x->n_lacking > 0 && x->n_lacking == x->n_tried) {
                r = refuse_image(x, fleet_may_recover(fleet), &error);
                create_fail(x, &error, r);
                return;
        }
        if (!w && n > 0 && x->patient_body && !x->waiting) {
                /* all are full: the client waits at the best of them */
                x->waiting = true;
                w = fleet_choose(fleet, tried, n_lacking);
        }
        if (!w && wait_for_worker(x))
                return;
        if (!w) {
                r = refuse_none(x, &error);
                create_fail(x, &error, r);
                return;
        }
        if (x->n_tried < tries_max(x))
                memcpy(x->tried[x->n_tried++], w->id, sizeof w->id);
        r = ask_worker(x, w, &error);
        if (r < 0)
                create_fail(x, &error, r);
}

/* --- the request --- */

static int remake_body(Create *x) {
        x->patient_body = json_dumps(x->spec, JSON_COMPACT);
        if (json_object_del(x->spec, "wait") < 0)
                return -ENOMEM;
        x->body = json_dumps(x->spec, JSON_COMPACT);
        return x->body && x->patient_body ? 0 : -ENOMEM;
}

static bool key_is_valid(const char *key) {
        size_t n = strlen(key);

        return n > 0 && n <= 64 &&
               strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

/* Only what decides where it goes is looked at; the worker looks at the rest, and at this again. */
static int read_spec(Create *x, Error *error) {
        size_t length;
        const char *body = http_request_body(x->request, &length);

        if (length == 0)
                return 0;
        int r = json_read_object(body, length, &x->spec, error);
        if (r < 0)
                return r;
        const char *key = json_string_value(json_object_get(x->spec, "key"));
        if (key && key_is_valid(key))
                x->key = key;
        const char *image = json_string_value(json_object_get(x->spec, "image"));
        if (image && strncmp(image, "snapshot:", 9) == 0 && id_is_valid(image + 9))
                (void) snprintf(x->snapshot_id, sizeof x->snapshot_id, "%s", image + 9);
        else
                x->has_image = image != NULL;
        x->wait = json_number_value(json_object_get(x->spec, "wait"));
        x->wait = x->wait > 0 && x->wait <= WAIT_MAX / (double) USEC_PER_SEC ? x->wait : 0;
        return x->wait > 0 ? remake_body(x) : 0;
}

void coord_session_create(HttpRequest *r, void *userdata) {
        Coordinator *c = userdata;
        const char *owner = http_request_owner(r);
        Error error = { 0 };

        Create *x = calloc(1, sizeof *x);
        if (!x) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        x->request = r;
        x->started = clock_monotonic();
        uuid_make(x->claim_id);
        job_begin(c, &x->job, NULL);
        int k = owner && !(x->owner = strdup(owner)) ? -ENOMEM : read_spec(x, &error);
        if (k < 0) {
                create_fail(x, &error, k);
                return;
        }
        http_request_defer(r, on_cancelled, x);
        if (x->key)
                create_claim(x);
        else
                create_try(x);
}
