/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/find.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "coord/ask.h"
#include "coord/record.h"
#include "spec/json.h"

#define EXPIRES_FALLBACK (24 * 3600 * USEC_PER_SEC) /* of a session that does not say */

struct Finding {
        Job job;
        FindDone *done;
        void *userdata;
        const HttpRequest *request; /* borrowed: who asks */
        char *owner;                /* owned or NULL */
        StoreCall *store_call;
        Ask *ask;
        char id[SESSION_ID_MAX + 1];
        char worker_id[ID_MAX + 1]; /* that has it, as the store says; or "" */
};

Finding *finding_free(Finding *f) {
        if (!f)
                return NULL;
        (void) store_call_cancel(f->store_call);
        f->ask = ask_free(f->ask);
        job_done(&f->job);
        free(f->owner);
        free(f);
        return NULL;
}

/* --- what workers say --- */

usec_t read_timestamp(const char *text) {
        struct tm tm = { 0 };
        unsigned milliseconds = 0;
        const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

        if (!rest || (sscanf(rest, ".%3uZ", &milliseconds) != 1 && strcmp(rest, "Z") != 0))
                return 0;
        time_t seconds = timegm(&tm);
        return seconds < 0 ? 0 : (usec_t) seconds * USEC_PER_SEC + milliseconds * USEC_PER_MSEC;
}

int learn_session(Coordinator *c, Worker *w, const char *owner, const json_t *object, KnownSession **ret) {
        const char *id = json_string_value(json_object_get(object, "session_id")),
                   *key = json_string_value(json_object_get(object, "key")),
                   *said = json_string_value(json_object_get(object, "owner"));
        usec_t created = read_timestamp(json_string_value(json_object_get(object, "created_at"))),
               expires = read_timestamp(json_string_value(json_object_get(object, "expires_at")));

        if (!id || !id_is_valid(id))
                return -EPROTO;
        const KnownSession *k = sessions_find(c->sessions, id);
        if (k && !k->lost && k->worker && k->worker != w && worker_is_reachable(k->worker))
                return -EEXIST;
        return sessions_put(c->sessions, id, w, said ? said : owner, key, created,
                expires ? expires : clock_realtime() + EXPIRES_FALLBACK, ret);
}

void forget_session(Coordinator *c, const char *id) {
        KnownSession *k = sessions_find(c->sessions, id);

        if (!k || k->lost)
                return;
        if (k->worker)
                worker_session_removed(k->worker);
        record_drop(c, k);
        sessions_drop(k);
}

/* --- may it be used --- */

static int not_found(Error *error) {
        return error_set(error, ERROR_NOT_FOUND, "There is no session with this id.");
}

static int set_lost(const char *id, Error *error) {
        int r = error_set(error, ERROR_SESSION_ENDED, "The session's worker is gone, and the session with it.");

        (void) snprintf(error->reason, sizeof error->reason, "lost");
        (void) snprintf(error->session_id, sizeof error->session_id, "%s", id);
        return r;
}

int find_check(Coordinator *c, KnownSession *k, Error *error) {
        if (k->lost)
                return set_lost(k->id, error);
        if (!k->worker || k->worker->given_up) {
                /* from now on: what was said has to stay true */
                give_away(c, k->id, k->worker ? k->worker->id : k->former);
                return set_lost(k->id, error);
        }
        if (worker_is_reachable(k->worker))
                return 0;
        int r = error_set(error, ERROR_WORKER_LOST, "Worker %s cannot be reached now; the session may be back soon.",
                worker_name(k->worker));
        error->retry_after = 1;
        (void) snprintf(error->session_id, sizeof error->session_id, "%s", k->id);
        return r;
}

static bool owns(const Coordinator *c, const char *owner, const KnownSession *k) {
        if (c->config->keys.n == 0 || !k->owner)
                return true; /* nobody has it, or its worker knows */
        return owner && strcmp(owner, k->owner) == 0;
}

/* --- the search --- */

/* The store knows of it, but its worker is none that is known here. */
static void say_away(Finding *f, Error *error) {
        Coordinator *c = f->job.coord;

        if (clock_monotonic() > c->started + c->config->give_up) {
                give_away(c, f->id, f->worker_id); /* from now on: what was said has to stay true */
                (void) set_lost(f->id, error);
                return;
        }
        (void) error_set(error, ERROR_WORKER_LOST, "Worker %s cannot be reached now; the session may be back soon.",
                f->worker_id);
        error->retry_after = 1;
        (void) snprintf(error->session_id, sizeof error->session_id, "%s", f->id);
}

static void on_asked(Ask *a, int result, const char *reason, void *userdata) {
        Finding *f = userdata;
        Coordinator *c = f->job.coord;
        KnownSession *k = result == 0 ? sessions_find(c->sessions, f->id) : NULL, *own = NULL;
        Error error = { 0 };

        (void) a;
        f->ask = ask_free(f->ask);
        if (k && owns(c, f->owner, k))
                own = k;
        else if (result == -EOWNERDEAD) {
                (void) error_set(&error, ERROR_SESSION_ENDED, "The session has ended: %s.", reason);
                (void) snprintf(error.reason, sizeof error.reason, "%s", reason);
                (void) snprintf(error.session_id, sizeof error.session_id, "%s", f->id);
        } else if (result == -EAGAIN || result == -ENOMEM) {
                (void) error_set(&error, ERROR_WORKER_LOST, "Not all workers can be asked for this session now.");
                error.retry_after = 1;
        } else if (k || !f->worker_id[0])
                (void) not_found(&error);
        else
                say_away(f, &error);
        f->done(f, own, &error, f->userdata);
}

static int ask(Finding *f) {
        return ask_workers(f->job.coord, f->id, f->request, on_asked, f, &f->ask);
}

/* What another coordinator wrote. Returns 1 when that is the answer, 0 when the workers are to be asked. */
static int use_record(Finding *f, const char *text, KnownSession **ret, Error *error) {
        Coordinator *c = f->job.coord;
        _cleanup_json_ json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        const char *id = json_string_value(json_object_get(j, "session_id")),
                   *worker = json_string_value(json_object_get(j, "worker_id")),
                   *state = json_string_value(json_object_get(j, "state"));

        const json_t *owner = json_object_get(j, "owner");

        if (!id || !worker || strcmp(id, f->id) != 0 || !id_is_valid(worker) ||
                (owner && !json_is_string(owner) && !json_is_null(owner)))
                return 0; /* garbage: whoever has it says so, and it is replaced */
        if (state && strcmp(state, "lost") == 0) {
                set_lost(f->id, error);
                return 1;
        }
        Worker *w = fleet_find(c->fleet, worker);
        if (!w) {
                (void) snprintf(f->worker_id, sizeof f->worker_id, "%s", worker);
                return 0;
        }
        if (read_timestamp(json_string_value(json_object_get(j, "expires_at"))) == 0 ||
                learn_session(c, w, NULL, j, ret) < 0)
                return 0;
        if (!owns(c, f->owner, *ret)) {
                *ret = NULL;
                (void) not_found(error);
        }
        return 1;
}

static void on_record(const StoreReply *reply, void *userdata) {
        Finding *f = userdata;
        KnownSession *k = NULL;
        Error error = { 0 };

        f->store_call = NULL;
        if (reply->result == 0 && use_record(f, reply->text, &k, &error) > 0) {
                f->done(f, k, &error, f->userdata);
                return;
        }
        int r = ask(f);
        if (r == 0)
                return;
        if (r == -EAGAIN) {
                (void) error_set(&error, ERROR_WORKER_LOST, "Not all workers can be asked for this session now.");
                error.retry_after = 1;
        } else
                (void) error_set(&error, ERROR_INTERNAL, "Out of memory.");
        f->done(f, NULL, &error, f->userdata);
}

/* In the store, when there may be something that is not known here; else at the workers. */
static int look_up(Finding *f) {
        Store *s = f->job.coord->store;
        char name[sizeof RECORD_PREFIX + SESSION_ID_MAX];

        (void) snprintf(name, sizeof name, RECORD_PREFIX "%s", f->id);
        if (s->ops->is_shared && s->available && s->ops->get(s, name, on_record, f, &f->store_call) == 0)
                return 0;
        return ask(f);
}

static void end_job(Job *job) {
        (void) job; /* who waits for it ends it */
}

int find_session(Coordinator *c, const char *id, const HttpRequest *r, FindDone *done, void *userdata,
        KnownSession **ret_session, Finding **ret_finding, Error *error) {
        const char *owner = http_request_owner(r);
        KnownSession *k = sessions_find(c->sessions, id);

        if (k) {
                if (!owns(c, owner, k))
                        return not_found(error);
                *ret_session = k;
                return 0;
        }

        Finding *f = calloc(1, sizeof *f);
        if (!f)
                return -ENOMEM;
        job_begin(c, &f->job, end_job);
        f->done = done;
        f->userdata = userdata;
        (void) snprintf(f->id, sizeof f->id, "%s", id);
        f->request = r;
        int q = owner && !(f->owner = strdup(owner)) ? -ENOMEM : look_up(f);
        if (q < 0) {
                (void) finding_free(f);
                return q == -ENOENT ? not_found(error) : q;
        }
        *ret_finding = f;
        return 1;
}
