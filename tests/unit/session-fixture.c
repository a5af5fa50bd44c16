/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-fixture.h"

static const Limits limits = { .memory = 512 * MIB, .disk = MIB, .cpu_quota = 50000, .pids = 100 };

static void on_session(SessionManager *m, SessionEvent event, Session *s, const Exec *e, void *userdata) {
        Fixture *f = userdata;

        (void) m;
        (void) e;
        f->events[event]++;
        if (event == SESSION_EVENT_REMOVED)
                f->last_reason = s->end_reason;
}

static int resolve(const char *name, SandboxSpec *spec, ImageConfig **ret_config, void *userdata,
        Error *error) {
        Fixture *f = userdata;

        if (strcmp(name, "demo") == 0) {
                (void) strcpy(spec->image, "demo-1");
                *ret_config = f->config;
                return 0;
        }
        if (strcmp(name, "base") != 0)
                return error_set_field(error, ERROR_INVALID_VALUE, "image", NULL, "There is no image of this name.");
        (void) strcpy(spec->image, "base-1");
        return 0;
}

void use_pool(Fixture *f, unsigned size) {
        PoolSettings p = { .size = size, .min = size, .max = size, .spec = { .image = "base-1", .limits = limits } };

        pool_configure(f->pool, &p);
        pool_start(f->pool);
        RUN_UNTIL(f->event, pool_n_ready(f->pool) == size);
}

int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        PoolSettings none = { .spec = { .image = "base-1", .limits = limits } };

        clock_shift_for_test(0);
        if (!f || sd_event_new(&f->event) < 0)
                return -1;
        f->settings = (SessionSettings){
                .timeout = 3600 * USEC_PER_SEC,
                .timeout_max = 86400 * USEC_PER_SEC,
                .sessions_max = 100,
                .image = "base",
                .limits = limits,
                .output_max = MIB,
        };
        f->backend = fake_backend_new(f->event);
        if (pool_new(f->event, &f->backend->backend, &none, NULL, NULL, &f->pool) < 0 ||
                registry_open(NULL, &f->registry) < 0 ||
                session_manager_new(f->event, &f->backend->backend, f->pool, &f->settings, on_session, resolve,
                        f->registry, f, &f->manager) < 0)
                return -1;
        *state = f;
        return 0;
}

/* As the worker does: the backend goes first. */
int teardown(void **state) {
        Fixture *f = *state;

        run_ready(f->event);
        f->backend = fake_backend_free(f->backend);
        f->pool = pool_free(f->pool);
        f->manager = session_manager_free(f->manager);
        f->registry = registry_free(f->registry);
        f->config = image_config_unref(f->config);
        f->event = sd_event_unref(f->event);
        free(f);
        return 0;
}

void max_sessions(Fixture *f, unsigned max) {
        f->settings.sessions_max = max;
        session_manager_configure(f->manager, &f->settings);
}

static Fixture *current; /* of the outcome's order */

static void on_created(Creation *c, Session *s, bool attached, Error *error, void *userdata) {
        Outcome *o = userdata;

        (void) c;
        o->n_done++;
        o->order = ++current->n_outcomes;
        o->session = s ? session_ref(s) : NULL;
        o->attached = attached;
        o->error = error->kind;
        o->retry_after = error->retry_after;
        if (o->takes_along)
                creation_cancel(o->takes_along);
}

void outcome_clear(Outcome *o) {
        o->session = session_unref(o->session);
}
int create(Fixture *f, const Request *q, Outcome *o, Creation **ret_creation) {
        _cleanup_create_spec_ CreateSpec spec = { .limits = limits, .timeout = q->timeout, .wait = q->wait };
        _cleanup_error_ Error error = { 0 };
        Creation *creation = NULL;
        Session *s = NULL;

        current = f;
        *o = (Outcome){ 0 };
        spec.key = q->key ? strdup(q->key) : NULL;
        spec.image = q->image ? strdup(q->image) : NULL;
        spec.env = q->env ? json_loads(q->env, 0, NULL) : NULL;
        if (q->memory)
                spec.limits.memory = q->memory;
        int r = session_create(f->manager, &spec, q->owner, on_created, o, &s, &o->attached, &creation, &error);
        if (r == 0) {
                assert_non_null(s);
                o->session = session_ref(s);
        } else if (r < 0) {
                assert_int_not_equal(error.kind, ERROR_NONE);
                o->error = error.kind;
                o->retry_after = error.retry_after;
        } else
                assert_non_null(creation);
        assert_int_equal(o->n_done, 0); /* never from within */
        if (ret_creation)
                *ret_creation = creation;
        return r;
}

void make(Fixture *f, const Request *q, Outcome *o) {
        int r = create(f, q, o, NULL);

        assert_true(r >= 0);
        if (r > 0)
                RUN_UNTIL(f->event, o->n_done == 1);
        assert_non_null(o->session);
}

const Request plain;

void assert_ended(Fixture *f, const char *id, const char *owner, const char *reason) {
        _cleanup_error_ Error error = { 0 };
        Session *s = NULL;

        assert_int_equal(session_find(f->manager, id, owner, &s, &error), -EOWNERDEAD);
        assert_null(s);
        assert_int_equal(error.kind, ERROR_SESSION_ENDED);
        assert_string_equal(error.reason, reason);
        assert_string_equal(error.session_id, id);
}

void assert_unknown(Fixture *f, const char *id, const char *owner) {
        _cleanup_error_ Error error = { 0 };
        Session *s = NULL;

        assert_int_equal(session_find(f->manager, id, owner, &s, &error), -ENOENT);
        assert_null(s);
        assert_int_equal(error.kind, ERROR_NOT_FOUND);
        assert_string_equal(error.reason, "");
}
