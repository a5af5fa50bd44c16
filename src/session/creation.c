/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "session/fill.h"
#include "session/manager-internal.h"

/* The way from a request to a session, when it takes longer than taking one from the pool. */

#define CREATIONS_MAX 1024U /* that wait or start at once */
#define START_PATIENCE_USEC (10 * USEC_PER_SEC)
#define CLEARING_PATIENCE_USEC USEC_PER_SEC /* for the place of one that has ended; mostly it takes less than 1 ms */
#define FILL_PATIENCE_USEC (600 * USEC_PER_SEC)

struct Creation {
        SessionManager *manager;
        CreateSpec spec;
        SandboxSpec sandbox_spec;
        char *owner;
        CreationDone *done;
        void *userdata;
        Sandbox *sandbox; /* owned: that is being made for it, or filled; NULL while it waits */
        Session *vessel;  /* owned: holds the sandbox while it is filled, found by nobody */
        Fill *fill;
        Snapshot *snapshot; /* owned: whose files it gets, or NULL */
        bool from_pool;
        usec_t deadline;  /* monotonic */
        sd_event_source *timer;
        TAILQ_ENTRY(Creation) entry;
};

static Creation *creation_free(Creation *c) {
        if (!c)
                return NULL;
        if (c->entry.tqe_prev) {
                if (c->manager->next_retry == c)
                        c->manager->next_retry = TAILQ_NEXT(c, entry);
                TAILQ_REMOVE(&c->manager->creations, c, entry);
                c->manager->n_creations--;
                creations_retry(c->manager); /* its place may be free, or its key taken */
        }
        c->fill = fill_free(c->fill);
        c->vessel = session_unref(c->vessel);
        if (c->sandbox) {
                c->manager->n_starting--;
                sandbox_set_owner(c->sandbox, NULL, NULL);
                backend_kill(c->manager->backend, c->sandbox);
                (void) sandbox_unref(c->sandbox);
        }
        c->timer = sd_event_source_disable_unref(c->timer);
        create_spec_clear(&c->spec);
        c->snapshot = snapshot_unref(c->snapshot);
        free(c->owner);
        free(c);
        return NULL;
}
DEFINE_CLEANUP(Creation, creation_free);

void creation_cancel(Creation *c) {
        (void) creation_free(c);
}

static void fail(Creation *c, Error *error) {
        c->done(c, NULL, false, error, c->userdata);
        error_clear(error);
        (void) creation_free(c);
}

static void succeed(Creation *c, Session *s, bool attached) {
        Error none = { 0 };

        c->done(c, s, attached, &none, c->userdata);
        (void) creation_free(c);
}

static void complete(Creation *c, Sandbox *sandbox, bool from_pool) {
        bool attached;
        Session *s = session_find_twin(c->manager, &c->spec, c->owner, &attached);
        Error error = { 0 };

        if (s) { /* another request was faster */
                sandbox_set_owner(sandbox, NULL, NULL);
                backend_kill(c->manager->backend, sandbox);
                (void) sandbox_unref(sandbox);
                succeed(c, s, attached);
                return;
        }
        int r = session_new(c->manager, &c->spec, c->owner, sandbox, from_pool, &s);
        if (r < 0) {
                sandbox_set_owner(sandbox, NULL, NULL);
                backend_kill(c->manager->backend, sandbox);
                (void) sandbox_unref(sandbox);
                (void) error_set_errno(&error, r);
                fail(c, &error);
                return;
        }
        succeed(c, s, false);
}

static void on_filled(int result, Error *error, void *userdata) {
        Creation *c = userdata;

        c->fill = NULL;
        if (result < 0) {
                fail(c, error);
                return;
        }
        c->vessel = session_unref(c->vessel);
        c->manager->n_starting--;
        complete(c, take_ptr(c->sandbox), c->from_pool);
}

static void on_sandbox(Sandbox *s, void *userdata);

/* Nobody sees the session before its files are there. */
static int begin_fill(Creation *c, Sandbox *sandbox, bool from_pool, Error *error) {
        c->sandbox = sandbox;
        c->manager->n_starting++;
        c->from_pool = from_pool;
        sandbox_set_owner(sandbox, on_sandbox, c);
        c->vessel = session_alloc(c->manager);
        if (!c->vessel)
                return -ENOMEM;
        c->vessel->sandbox = sandbox_ref(sandbox);
        (void) sd_event_source_set_time_relative(c->timer, FILL_PATIENCE_USEC);
        return fill_start(c->vessel, c->spec.files, on_filled, c, &c->fill, error);
}

/* @sandbox: taken. */
static void finish(Creation *c, Sandbox *sandbox, bool from_pool) {
        Error error = { 0 };

        if (c->spec.files <= 0) {
                complete(c, sandbox, from_pool);
                return;
        }
        int r = begin_fill(c, sandbox, from_pool, &error);
        if (r == 0)
                return;
        (void) error_set_errno(&error, r);
        fail(c, &error);
}

static void on_sandbox(Sandbox *s, void *userdata) {
        Creation *c = userdata;
        Error error = { 0 };

        if (s->state == SANDBOX_READY) {
                c->sandbox = NULL;
                c->manager->n_starting--;
                finish(c, s, false);
                return;
        }
        if (s->state < SANDBOX_ENDED)
                return; /* that follows, with the reason */
        (void) error_set(&error, s->error == -EAGAIN || s->error == -ENOTCONN ? ERROR_NO_CAPACITY : ERROR_INTERNAL,
                "A sandbox could not be made: %s: %s.", s->error_text, strerror(-s->error));
        error.retry_after = error.kind == ERROR_NO_CAPACITY ? 1 : 0;
        fail(c, &error);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Creation *c = userdata;
        Error error = { 0 };

        (void) source;
        (void) usec;
        if (session_check_capacity(c->manager, 0, &error) >= 0) {
                (void) error_set(&error, ERROR_NO_CAPACITY, "No sandbox could be made in time.");
                error.retry_after = 1;
        }
        fail(c, &error);
        return 0;
}

/* Takes a sandbox from the pool. @before: how many wait longer. Returns 1 with @ret, 0 when there is none now, or
 * -errno with @error when there may be no more sessions. */
static int take_pooled(SessionManager *m, const SandboxSpec *spec, unsigned before, Sandbox **ret, Error *error) {
        int r = session_check_capacity(m, before, error);

        if (r < 0)
                return r;
        Pool *pool = m->backend->status == BACKEND_READY ? pool_find(m->pool, spec) : NULL;
        *ret = pool ? pool_take(pool) : NULL;
        return *ret ? 1 : 0;
}

/* Has one made. Returns 0, also when it has to be tried again later, or -errno with @error set. */
static int start(Creation *c, Error *error) {
        if (c->manager->backend->status != BACKEND_READY)
                return 0;
        int r = backend_start(c->manager->backend, &c->sandbox_spec, on_sandbox, c, &c->sandbox);
        if (r == -ENOTCONN || r == -EAGAIN)
                return 0;
        if (r < 0)
                return error_set_errno(error, r);
        c->manager->n_starting++;
        return 0;
}

static void retry(Creation *c) {
        Sandbox *pooled = NULL;
        Error error = { 0 };

        if (c->sandbox)
                return;
        Session *twin = c->spec.key ? session_find_key(c->manager, c->owner, c->spec.key) : NULL;
        if (twin) {
                succeed(c, twin, true);
                return;
        }
        int r = take_pooled(c->manager, &c->sandbox_spec, 0, &pooled, &error);
        if (r > 0) {
                finish(c, pooled, true);
                return;
        }
        if (r == 0)
                r = start(c, &error);
        if (r < 0 && error.kind != ERROR_NO_CAPACITY)
                fail(c, &error);
        else
                error_clear(&error);
}

static int on_retry(sd_event_source *source, void *userdata) {
        SessionManager *m = userdata;
        Creation *c;

        (void) source;
        /* who is told of the end of one may give up others, the next among them */
        m->next_retry = TAILQ_FIRST(&m->creations);
        while ((c = m->next_retry)) {
                m->next_retry = TAILQ_NEXT(c, entry);
                retry(c);
        }
        return 0;
}

void creations_retry(SessionManager *m) {
        if (TAILQ_EMPTY(&m->creations))
                return;
        if (!m->retry && sd_event_add_defer(m->event, &m->retry, on_retry, m) < 0)
                return; /* they run into their time limits */
        (void) sd_event_source_set_enabled(m->retry, SD_EVENT_ONESHOT);
}

unsigned creations_of(const SessionManager *m, const char *owner) {
        const Creation *c;
        unsigned n = 0;

        TAILQ_FOREACH(c, &m->creations, entry)
        n += c->owner && strcmp(c->owner, owner) == 0;
        return n;
}

void creations_fail(SessionManager *m, ErrorKind kind, const char *text) {
        Creation *c;

        while ((c = TAILQ_FIRST(&m->creations))) {
                Error error = { 0 };
                (void) error_set(&error, kind, "%s", text);
                fail(c, &error);
        }
}

static int creation_new(SessionManager *m, CreateSpec *spec, const SandboxSpec *sandbox_spec, Snapshot *snapshot,
        const char *owner, usec_t patience, CreationDone *done, void *userdata, Creation **ret) {
        _cleanup_(creation_freep) Creation *c = calloc(1, sizeof *c);

        if (!c)
                return -ENOMEM;
        c->manager = m;
        c->sandbox_spec = *sandbox_spec;
        c->done = done;
        c->userdata = userdata;
        if (owner) {
                c->owner = strdup(owner);
                if (!c->owner)
                        return -ENOMEM;
        }
        int r = sd_event_add_time_relative(m->event, &c->timer, CLOCK_MONOTONIC, patience, 0, on_timer, c);
        if (r < 0)
                return r;
        c->spec = *spec;
        *spec = (CreateSpec){ 0 };
        if (snapshot)
                c->snapshot = snapshot_ref(snapshot);
        TAILQ_INSERT_TAIL(&m->creations, c, entry);
        m->n_creations++;
        *ret = take_ptr(c);
        return 0;
}

/* Where the image is a snapshot, its files and its image. @ret: borrowed, untouched where it is none. */
static int take_snapshot(SessionManager *m, CreateSpec *spec, const char *owner, Snapshot **ret, Error *error) {
        size_t prefix = strlen(SNAPSHOT_PREFIX);
        Snapshot *snapshot;

        if (spec->files > 0 || !spec->image || strncmp(spec->image, SNAPSHOT_PREFIX, prefix) != 0)
                return 0;
        if (!m->snapshots || snapshots_find(m->snapshots, spec->image + prefix, owner, &snapshot, NULL) < 0)
                return error_set_field(error, ERROR_INVALID_VALUE, "image", NULL, "There is no snapshot \"%s\".",
                        spec->image + prefix);
        spec->base = strdup(snapshot->image);
        spec->files = snapshot_open(m->snapshots, snapshot);
        *ret = snapshot;
        if (spec->base && spec->files > 0)
                return 0;
        return error_set(error, ERROR_INTERNAL, "The files of the snapshot cannot be read.");
}

static int fill_pooled(SessionManager *m, CreateSpec *spec, const SandboxSpec *sandbox_spec, Snapshot *snapshot,
        const char *owner, Sandbox *pooled, CreationDone *done, void *userdata, Creation **ret, Error *error) {
        _cleanup_(creation_freep) Creation *c = NULL;

        int r = creation_new(m, spec, sandbox_spec, snapshot, owner, FILL_PATIENCE_USEC, done, userdata, &c);
        if (r < 0) {
                backend_kill(m->backend, pooled);
                (void) sandbox_unref(pooled);
                return r;
        }
        r = begin_fill(c, pooled, true, error);
        if (r < 0)
                return r;
        *ret = take_ptr(c);
        return 1;
}

/* What the image says of commands holds where the client says nothing else. */
static int take_config(CreateSpec *spec, const ImageConfig *config) {
        spec->has_own_env = json_object_size(spec->env) > 0;
        if (!config)
                return 0;
        if (config->env && spec->has_own_env) {
                json_t *both = json_copy(config->env);
                if (!both || json_object_update(both, spec->env) < 0) {
                        json_decref(both);
                        return -ENOMEM;
                }
                json_decref(spec->env);
                spec->env = both;
        } else if (config->env) {
                json_decref(spec->env);
                spec->env = json_incref(config->env);
        }
        if (config->files >= 0 && spec->files <= 0) { /* a snapshot has all of it */
                char path[32];
                (void) snprintf(path, sizeof path, "/proc/self/fd/%d", config->files); /* each with a place of its own */
                spec->files = open(path, O_RDONLY | O_CLOEXEC);
                if (spec->files < 0)
                        return -errno;
        }
        if (!config->cwd || spec->cwd)
                return 0;
        spec->cwd = strdup(config->cwd);
        return spec->cwd ? 0 : -ENOMEM;
}

int session_create(SessionManager *m, CreateSpec *spec, const char *owner, CreationDone *done, void *userdata,
        Session **ret_session, bool *ret_attached, Creation **ret_creation, Error *error) {
        SandboxSpec sandbox_spec = { .limits = spec->limits };
        _cleanup_(creation_freep) Creation *c = NULL;
        Sandbox *pooled = NULL;
        Snapshot *snapshot = NULL;
        Error full = { 0 };

        *ret_attached = false;
        Session *twin = session_find_twin(m, spec, owner, ret_attached);
        if (twin) {
                *ret_session = twin;
                return 0;
        }
        Session *unused;
        if (spec->id[0] && session_find(m, spec->id, NULL, &unused, NULL) == -EOWNERDEAD)
                return error_set(error, ERROR_SESSION_ENDED, "The session has been given up before it was created.");
        int r = session_check_owner(m, owner, error);
        if (r == 0)
                r = take_snapshot(m, spec, owner, &snapshot, error);
        const char *image = spec->base ? spec->base : spec->image ? spec->image : m->settings.image;
        ImageConfig *config = NULL;
        if (r == 0)
                r = m->resolve(image, &sandbox_spec, &config, m->userdata, error);
        if (r == 0)
                r = take_config(spec, config);
        if (r < 0)
                return r;

        unsigned before = m->n_creations - m->n_starting;
        r = take_pooled(m, &sandbox_spec, before, &pooled, &full);
        if (r > 0 && spec->files > 0)
                return fill_pooled(
                        m, spec, &sandbox_spec, snapshot, owner, pooled, done, userdata, ret_creation, error);
        if (r > 0) {
                r = session_new(m, spec, owner, pooled, true, ret_session);
                if (r < 0) {
                        backend_kill(m->backend, pooled);
                        (void) sandbox_unref(pooled);
                }
                return r;
        }
        usec_t patience = spec->wait;
        if (patience == 0 && session_fits_soon(m, before))
                patience = CLEARING_PATIENCE_USEC;
        if (r < 0 && (full.kind != ERROR_NO_CAPACITY || patience == 0)) {
                *error = full;
                return r;
        }
        error_clear(&full);
        if (m->n_creations >= CREATIONS_MAX) {
                r = error_set_field(error, ERROR_NO_CAPACITY, "", "1024 requests", "Too many requests wait already.");
                error->retry_after = 1;
                return r;
        }
        bool is_full = r < 0;
        r = creation_new(m, spec, &sandbox_spec, snapshot, owner,
                is_full ? patience : MAX(patience, START_PATIENCE_USEC), done, userdata, &c);
        if (r < 0)
                return r;
        r = is_full ? 0 : start(c, error);
        if (r < 0)
                return r;
        *ret_creation = take_ptr(c); /* goes on when a sandbox is ready, the backend is back or a session ends */
        return 1;
}
