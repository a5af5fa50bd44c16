/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "http/api.h"
#include "session/snapshot-take.h"
#include "spec/fork.h"

/* Several sessions with the files of one: either all of them come to be, or none. */

typedef struct Fork Fork;

typedef struct Child {
        Fork *fork;
        Creation *creation; /* while it is made */
        Session *session;   /* owned, once it is there */
} Child;

struct Fork {
        HttpApi *api;
        HttpRequest *request;
        Session *parent; /* owned */
        SnapshotTake *take; /* owned: while the files are read, and for as long as children may need them */
        ForkSpec spec;
        unsigned n_pending;
        Child children[FORK_COUNT_MAX];
};

/* @keep: the sessions that have been made. */
static void fork_free(Fork *f, bool keep) {
        for (size_t i = 0; i < ELEMENTSOF(f->children); i++) {
                Child *c = &f->children[i];
                if (c->creation)
                        creation_cancel(c->creation);
                if (c->session && !keep)
                        session_end(c->session, SESSION_DELETED);
                (void) session_unref(c->session);
        }
        f->take = snapshot_take_free(f->take);
        (void) session_unref(f->parent);
        fork_spec_clear(&f->spec);
        free(f);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        fork_free(userdata, false); /* nobody will know of them */
}

static void fail(Fork *f, Error *error, int result) {
        HttpRequest *r = f->request;

        fork_free(f, false);
        http_answer_error(r, error, result);
}

static void answer(Fork *f) {
        HttpRequest *r = f->request;
        json_t *list = json_array();

        for (unsigned i = 0; i < f->spec.count; i++)
                (void) json_array_append_new(list, session_describe(f->children[i].session, f->api->worker_id, false));
        f->api->n_created += f->spec.count;
        fork_free(f, true);
        http_answer_json(r, 201, json_pack("{so}", "sessions", list));
}

static void on_created(Creation *creation, Session *s, bool attached, Error *error, void *userdata) {
        Child *c = userdata;
        Fork *f = c->fork;

        (void) creation;
        (void) attached;
        c->creation = NULL;
        if (!s) {
                fail(f, error, -EIO);
                return;
        }
        c->session = session_ref(s);
        if (--f->n_pending == 0)
                answer(f);
}

static json_t *copy(json_t *object) {
        return object ? json_deep_copy(object) : NULL;
}

/* As the parent is, but for what was asked for. */
static int begin_child(Child *c, int files, Error *error) {
        const Session *parent = c->fork->parent;
        const ForkSpec *given = &c->fork->spec;
        HttpApi *api = c->fork->api;
        _cleanup_create_spec_ CreateSpec spec = {
                .limits = parent->limits,
                .timeout = given->timeout ? given->timeout : parent->timeout,
                .wait = given->wait,
                .image = strdup(parent->image),
                .base = strdup(parent->base ? parent->base : parent->image),
                .env = copy(parent->env),
                .metadata = copy(given->metadata ? given->metadata : parent->metadata),
                .request_id = http_request_id(c->fork->request),
                .caller = http_request_caller(c->fork->request),
        };
        char path[40];
        bool attached;
        Session *s;

        /* each reads it for itself, from its start */
        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", files);
        spec.files = open(path, O_RDONLY | O_CLOEXEC);
        if (spec.files < 0 || !spec.image || !spec.base)
                return -ENOMEM;
        int k = session_create(api->sessions, &spec, parent->owner, on_created, c, &s, &attached, &c->creation, error);
        return k < 0 ? k : 0; /* files are put into it, so it takes a while */
}

static void on_taken(int result, Snapshot *snapshot, int files, Error *error, void *userdata) {
        Fork *f = userdata;
        Error own = { 0 };

        (void) snapshot;
        if (result < 0) {
                f->take = NULL;
                fail(f, error, result);
                return;
        }
        f->n_pending = f->spec.count;
        for (unsigned i = 0; i < f->spec.count; i++) {
                f->children[i].fork = f;
                int k = begin_child(&f->children[i], files, &own);
                if (k < 0) {
                        fail(f, &own, k);
                        return;
                }
        }
}

void http_session_fork(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        usec_t timeout_max = session_manager_settings(api->sessions)->timeout_max;
        Error error = { 0 };
        size_t length;
        const char *body = http_request_body(r, &length);
        Session *s = http_find_session(r, api);

        if (!s)
                return;
        Fork *f = calloc(1, sizeof *f);
        if (!f) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        f->api = api;
        f->request = r;
        f->parent = session_ref(s);
        int k = fork_spec_read(&f->spec, body, length, timeout_max, &error);
        if (k == 0)
                k = snapshot_take(s, s->owner, false, on_taken, f, &f->take, &error);
        if (k < 0) {
                fail(f, &error, k);
                return;
        }
        http_request_defer(r, on_cancelled, f);
}
