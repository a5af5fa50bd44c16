/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "session/manager-internal.h"

/*
 * Sessions over a change of the worker. Each session's record is a row of fields, {tag, length, bytes}: a worker leaves
 * out those that it does not know, and takes a default where one is missing, so that an older and a newer worker can
 * follow each other.
 */

typedef enum Tag {
        TAG_ID = 1,
        TAG_KEY,
        TAG_OWNER,
        TAG_IMAGE,
        TAG_ENV,      /* JSON */
        TAG_METADATA, /* JSON */
        TAG_LIMITS,
        TAG_TIMES,
        TAG_BASE,
        TAG_CWD,
} Tag;

typedef struct Times {
        uint64_t created, timeout, deadline, sequence;
        uint32_t from_pool, paused;
        uint64_t left;
} Times;

typedef struct Field {
        uint32_t tag, length;
} Field;

static char buffer[RECORD_MAX]; /* one thread, used up before each function returns */

static bool put(size_t *used, Tag tag, const void *bytes, size_t length) {
        Field f = { .tag = tag, .length = (uint32_t) length };

        if (length > sizeof buffer || *used + sizeof f + length > sizeof buffer)
                return false;
        memcpy(buffer + *used, &f, sizeof f);
        if (length > 0)
                memcpy(buffer + *used + sizeof f, bytes, length);
        *used += sizeof f + length;
        return true;
}

static bool put_text(size_t *used, Tag tag, const char *text) {
        return !text || put(used, tag, text, strlen(text));
}

static bool put_json(size_t *used, Tag tag, const json_t *j) {
        if (!j || json_object_size(j) == 0)
                return true;
        _cleanup_free_ char *text = json_dumps(j, JSON_COMPACT);
        return text && put_text(used, tag, text);
}

void session_save(const Session *s) {
        RecordTable *t = s->manager->records;
        Times times = { .created = s->created,
                .timeout = s->timeout,
                .deadline = s->deadline,
                .sequence = s->sequence,
                .from_pool = s->from_pool,
                .paused = s->paused,
                .left = s->left };
        size_t used = 0;

        if (!t)
                return;
        /* one that does not fit ends with this worker */
        if (put_text(&used, TAG_ID, s->id) && put(&used, TAG_TIMES, &times, sizeof times) &&
                put(&used, TAG_LIMITS, &s->limits, sizeof s->limits) && put_text(&used, TAG_IMAGE, s->image) &&
                put_text(&used, TAG_BASE, s->base) && put_text(&used, TAG_CWD, s->cwd) &&
                put_text(&used, TAG_KEY, s->key) && put_text(&used, TAG_OWNER, s->owner) &&
                put_json(&used, TAG_ENV, s->env) && put_json(&used, TAG_METADATA, s->metadata))
                (void) record_write(t, s->sandbox->slot, s->sandbox->generation, buffer, used);
}

static int take_text(char **to, const char *bytes, size_t length) {
        free(*to);
        *to = strndup(bytes, length);
        return *to ? 0 : -ENOMEM;
}

static int take_json(json_t **to, const char *bytes, size_t length) {
        json_decref(*to);
        *to = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
        return json_is_object(*to) ? 0 : -EBADMSG;
}

static int take_field(Session *s, Times *times, const Field *f, const char *bytes) {
        switch (f->tag) {
        case TAG_ID:
                if (f->length >= sizeof s->id)
                        return -EBADMSG;
                memcpy(s->id, bytes, f->length);
                s->id[f->length] = '\0';
                return 0;
        case TAG_KEY:
                return take_text(&s->key, bytes, f->length);
        case TAG_OWNER:
                return take_text(&s->owner, bytes, f->length);
        case TAG_IMAGE:
                return take_text(&s->image, bytes, f->length);
        case TAG_BASE:
                return take_text(&s->base, bytes, f->length);
        case TAG_CWD:
                return take_text(&s->cwd, bytes, f->length);
        case TAG_ENV:
                return take_json(&s->env, bytes, f->length);
        case TAG_METADATA:
                return take_json(&s->metadata, bytes, f->length);
        case TAG_LIMITS:
                memcpy(&s->limits, bytes, MIN(sizeof s->limits, f->length));
                return 0;
        case TAG_TIMES:
                memcpy(times, bytes, MIN(sizeof *times, f->length));
                return 0;
        default:
                return 0; /* of a later version */
        }
}

static int decode(SessionManager *m, const char *bytes, size_t length, Session **ret) {
        _cleanup_(session_unrefp) Session *s = session_alloc(m);
        Times times = { 0 };
        Field f;

        if (!s)
                return -ENOMEM;
        while (length >= sizeof f) {
                memcpy(&f, bytes, sizeof f);
                bytes += sizeof f;
                length -= sizeof f;
                if (f.length > length)
                        return -EBADMSG;
                int r = take_field(s, &times, &f, bytes);
                if (r < 0)
                        return r;
                bytes += f.length;
                length -= f.length;
        }
        if (length > 0 || !id_is_valid(s->id) || !s->image)
                return -EBADMSG;
        s->created = times.created;
        s->timeout = times.timeout;
        s->deadline = times.deadline;
        s->sequence = times.sequence;
        s->from_pool = times.from_pool;
        s->paused = times.paused;
        s->left = times.left;
        *ret = take_ptr(s);
        return 0;
}

/* --- taking over --- */

static void check_done(SessionManager *m) {
        if (m->n_inheriting > 0 || !m->all_told || m->restored)
                return;
        m->restored = true;
        creations_retry(m);
        if (m->on_restored)
                m->on_restored(m, m->userdata);
}

/* What was paused went on for as long as process 1 took to say what still runs in it. */
static void stand_still(Session *s) {
        if (!s->paused)
                return;
        if (!s->sandbox->backend->can_freeze) {
                (void) session_resume(s);
                return;
        }
        if (s->left > 0)
                (void) sd_event_source_set_enabled(s->deadline_source, SD_EVENT_OFF);
        sandbox_freeze(s->sandbox, true);
}

static void on_inherited(Sandbox *sandbox, void *userdata) {
        Session *s = userdata;
        SessionManager *m = s->manager;

        m->n_inheriting--;
        if (sandbox->state == SANDBOX_READY && session_enter(s) >= 0) {
                m->n_inherited++;
                stand_still(s);
        } else {
                /* it died meanwhile: its id answers that it is lost */
                backend_kill(sandbox->backend, sandbox);
                sandbox_set_owner(sandbox, NULL, NULL);
                record_clear(m->records, sandbox->slot);
                (void) session_unref(s);
        }
        check_done(m);
}

static bool adopt(Sandbox *sandbox, void *userdata) {
        SessionManager *m = userdata;
        uint64_t generation;
        const char *bytes;
        size_t length;
        Session *s;

        if (m->restored || !m->records || !record_read(m->records, sandbox->slot, &generation, &bytes, &length) ||
                generation != sandbox->generation || decode(m, bytes, length, &s) < 0)
                return false;
        s->sandbox = sandbox_ref(sandbox);
        if (s->paused && sandbox->backend->ops->freeze) /* process 1 has to answer */
                sandbox->backend->ops->freeze(sandbox->backend, sandbox, false);
        sandbox_set_owner(sandbox, on_inherited, s);
        m->n_inheriting++;
        return true;
}

static void kept(Sandbox *sandbox, uint32_t number, uint32_t flags, int fds[static KEPT_MAX], void *userdata) {
        Session *s = sandbox->userdata;
        Exec *e;

        (void) flags;
        (void) userdata;
        if (exec_restore(s->manager->event, sandbox, number, fds, &e) >= 0)
                session_add_exec(s, e);
}

/* Records that nobody belongs to any more are of sessions that died with their sandboxes. */
static void all_told(void *userdata) {
        SessionManager *m = userdata;

        m->all_told = true;
        check_done(m);
}

void session_manager_inherit(
        SessionManager *m, RecordTable *records, void (*restored)(SessionManager *m, void *userdata)) {
        m->records = records;
        m->on_restored = restored;
        m->backend->heir = (BackendHeir){ .adopt = adopt, .kept = kept, .done = all_told, .userdata = m };
}

void session_manager_set_records(SessionManager *m, RecordTable *records) {
        m->records = records;
}

unsigned session_n_inherited(const SessionManager *m) {
        return m->n_inherited;
}
