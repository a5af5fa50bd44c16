/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/manager.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/fd.h"
#include "session/manager-internal.h"
#include "session/warm.h"

#define MEMORY_AGE_USEC (500 * USEC_PER_MSEC) /* looked at after answers, or before one when it was long ago */
#define MEMORY_AGE_MAX_USEC (5 * USEC_PER_SEC)
#define MEMORY_RESERVE_KIB (64U * 1024U)
#define DESCRIPTORS_RESERVED 1024U /* connections, commands, our own */
/* The processor that the client needs to read its answer may be the one that we run on. */
#define ANNOUNCE_DELAY_USEC USEC_PER_MSEC

static EndedSession *ended_free(EndedSession *e) {
        free(e->owner);
        free(e);
        return NULL;
}

static void announcement_free(Announcement *a) {
        (void) session_unref(a->session);
        (void) exec_unref(a->exec);
        free(a);
}

static bool memory_is_low(SessionManager *m, usec_t age);

static int on_announce(sd_event_source *source, uint64_t usec, void *userdata) {
        SessionManager *m = userdata;
        Announcement *a;

        (void) source;
        (void) usec;
        m->is_announcing = false;
        while ((a = TAILQ_FIRST(&m->announcements))) {
                TAILQ_REMOVE(&m->announcements, a, entry);
                if (a->event == SESSION_EVENT_CHANGED)
                        a->session->change_announced = false;
                if (m->notify)
                        m->notify(m, a->event, a->session, a->exec, m->userdata);
                announcement_free(a);
        }
        (void) memory_is_low(m, MEMORY_AGE_USEC);
        return 0;
}

/* Log and bus come after the answer, and for several events at once when there are many. */
static void announce(Session *s, SessionEvent event, Exec *e) {
        SessionManager *m = s->manager;
        Announcement *a = malloc(sizeof *a);

        if (!a)
                return; /* out of memory: the log misses it */
        *a = (Announcement){ .session = session_ref(s), .exec = e ? exec_ref(e) : NULL, .event = event };
        TAILQ_INSERT_TAIL(&m->announcements, a, entry);
        if (m->is_announcing)
                return;
        m->is_announcing = true;
        (void) sd_event_source_set_time_relative(m->announce, ANNOUNCE_DELAY_USEC);
        (void) sd_event_source_set_enabled(m->announce, SD_EVENT_ONESHOT);
}

void session_announce_exec(Session *s, Exec *e) {
        announce(s, SESSION_EVENT_EXEC, e);
}

/* Several changes at once are one. */
void session_announce_change(Session *s) {
        if (s->change_announced)
                return;
        s->change_announced = true;
        announce(s, SESSION_EVENT_CHANGED, NULL);
}

static unsigned count_descriptors(void);

static void remember_former(SessionManager *m);

int session_manager_new(sd_event *event, Backend *backend, Pool *pool, const SessionSettings *settings,
        SessionNotify *notify, ImageResolve *resolve, Registry *registry, void *userdata, SessionManager **ret) {
        _cleanup_(session_manager_freep) SessionManager *m = calloc(1, sizeof *m);

        if (!m)
                return -ENOMEM;
        m->event = event;
        m->backend = backend;
        m->pool = pool;
        m->settings = *settings;
        m->notify = notify;
        m->resolve = resolve;
        m->registry = registry;
        m->userdata = userdata;
        m->descriptors_max = count_descriptors();
        TAILQ_INIT(&m->announcements);
        TAILQ_INIT(&m->creations);

        int r = sd_event_add_time_relative(event, &m->announce, CLOCK_MONOTONIC, 0, 1, on_announce, m);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(m->announce, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(m->announce, SD_EVENT_PRIORITY_IDLE - 10);
        if (r < 0)
                return r;
        remember_former(m);
        *ret = take_ptr(m);
        return 0;
}

SessionManager *session_manager_free(SessionManager *m) {
        EndedSession *e, *next_ended;
        Session *s, *next;
        Announcement *a;

        if (!m)
                return NULL;
        creations_fail(m, ERROR_DRAINING, "The worker ends.");
        HASH_ITER(by_id, m->by_id, s, next)
        session_end(s, SESSION_STOPPED);
        while ((a = TAILQ_FIRST(&m->announcements))) {
                TAILQ_REMOVE(&m->announcements, a, entry);
                announcement_free(a);
        }
        HASH_ITER(hh, m->ended, e, next_ended) {
                HASH_DEL(m->ended, e);
                (void) ended_free(e);
        }
        m->announce = sd_event_source_disable_unref(m->announce);
        m->retry = sd_event_source_disable_unref(m->retry);
        free(m);
        return NULL;
}

void session_manager_configure(SessionManager *m, const SessionSettings *settings) {
        m->settings = *settings;
}

const SessionSettings *session_manager_settings(const SessionManager *m) {
        return &m->settings;
}

void session_manager_set_snapshots(SessionManager *m, Snapshots *snapshots) {
        m->snapshots = snapshots;
}

Snapshots *session_manager_snapshots(const SessionManager *m) {
        return m->snapshots;
}

void session_manager_set_draining(SessionManager *m, bool draining) {
        m->draining = draining;
        if (draining)
                creations_fail(m, ERROR_DRAINING, "This worker takes no new sessions.");
}

bool session_manager_is_draining(const SessionManager *m) {
        return m->draining;
}

void session_manager_backend_changed(SessionManager *m) {
        creations_retry(m);
}

unsigned session_count(const SessionManager *m) {
        return m->n_sessions;
}

unsigned session_n_ending(const SessionManager *m) {
        return m->n_ending;
}

unsigned session_max(const SessionManager *m) {
        if (m->settings.sessions_max > 0)
                return m->settings.sessions_max;
        return MIN(m->descriptors_max, m->backend->capacity);
}

/* Two each, for process 1 and for its files, and one for what runs in it. */
static unsigned count_descriptors(void) {
        struct rlimit files;

        if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == RLIM_INFINITY)
                return UINT_MAX;
        if (files.rlim_cur <= DESCRIPTORS_RESERVED)
                return 16;
        return (unsigned) MIN((files.rlim_cur - DESCRIPTORS_RESERVED) / 3, (rlim_t) UINT_MAX);
}

/* Asks the kernel; where that cannot be seen, there is room. */
static void look_at_memory(SessionManager *m, usec_t now) {
        char text[4096];

        m->memory_checked = now;
        m->memory_low = m->backend->memory_available > 0 && m->backend->memory_available / KIB < MEMORY_RESERVE_KIB;
        if (m->backend->memory_available > 0) /* it sees what this process may not */
                return;
        if (file_read(AT_FDCWD, "/proc/meminfo", text, sizeof text) < 0)
                return;
        const char *line = strstr(text, "MemAvailable:");
        m->memory_low = line && strtoull(line + 13, NULL, 10) < MEMORY_RESERVE_KIB;
}

/* @age: what is known may be that old. */
static bool memory_is_low(SessionManager *m, usec_t age) {
        usec_t now = clock_monotonic();

        if (m->memory_checked == 0 || now - m->memory_checked >= age)
                look_at_memory(m, now);
        return m->memory_low;
}

void session_manager_set_strained(SessionManager *m, bool strained) {
        m->strained = strained;
        if (!strained)
                creations_retry(m);
}

int session_check_capacity(SessionManager *m, unsigned before, Error *error) {
        char limit[32];
        unsigned max = session_max(m);
        int r;

        if (m->draining)
                r = error_set(error, ERROR_DRAINING, "This worker takes no new sessions.");
        else if (m->n_sessions + m->n_ending + m->n_starting + m->backend->n_clearing + before >= max &&
                 m->backend->status != BACKEND_CONNECTING) {
                (void) snprintf(limit, sizeof limit, "%u sessions", max);
                r = error_set_field(
                        error, ERROR_NO_CAPACITY, "", limit, "%u sessions live here already.", m->n_sessions);
        } else if (memory_is_low(m, MEMORY_AGE_MAX_USEC))
                r = error_set(error, ERROR_NO_CAPACITY, "The machine has too little memory left for another session.");
        else if (m->strained)
                r = error_set(error, ERROR_NO_CAPACITY, "The machine is short of memory or processor time just now.");
        else
                return 0;
        if (error)
                error->retry_after = m->strained ? 2 : 1;
        return r;
}

bool session_fits_soon(const SessionManager *m, unsigned before) {
        return m->n_empty + m->backend->n_clearing > 0 &&
               m->n_sessions + m->n_ending - m->n_empty + m->n_starting + before < session_max(m);
}

/* --- finding --- */

int session_check_owner(const SessionManager *m, const char *owner, Error *error) {
        unsigned n = 0, max = m->settings.sessions_per_owner;
        char limit[32];

        if (!owner || max == 0)
                return 0;
        for (const Session *s = m->by_id; s; s = s->by_id.next)
                n += s->owner && strcmp(s->owner, owner) == 0;
        if (n + creations_of(m, owner) < max)
                return 0;
        (void) snprintf(limit, sizeof limit, "%u sessions", max);
        return error_set_field(error, ERROR_QUOTA, "", limit, "This key has %u sessions, as many as it may have.", max);
}

/* Owners have their keys each for themselves. The owner's name has no NUL and no newline. */
static char *make_key_index(const char *owner, const char *key) {
        char *text;

        return asprintf(&text, "%s\n%s", owner ? owner : "", key) < 0 ? NULL : text;
}

Session *session_find_twin(SessionManager *m, const CreateSpec *spec, const char *owner, bool *ret_attached) {
        Session *s = NULL;

        if (spec->id[0])
                HASH_FIND(by_id, m->by_id, spec->id, strlen(spec->id), s);
        if (s && (s->owner && owner ? strcmp(s->owner, owner) == 0 : s->owner == owner)) {
                *ret_attached = false; /* the same request once more */
                return s;
        }
        s = spec->key ? session_find_key(m, owner, spec->key) : NULL;
        if (s)
                *ret_attached = true;
        return s;
}

Session *session_find_key(SessionManager *m, const char *owner, const char *key) {
        _cleanup_free_ char *index = make_key_index(owner, key);
        Session *s = NULL;

        if (index)
                HASH_FIND(by_key, m->by_key, index, strlen(index), s);
        return s;
}

static bool may_use(const char *session_owner, const char *owner) {
        return !owner || (session_owner && strcmp(session_owner, owner) == 0);
}

int session_find(SessionManager *m, const char *id, const char *owner, Session **ret, Error *error) {
        EndedSession *e = NULL;
        Session *s = NULL;

        if (!id_is_valid(id))
                return error_set_field(error, ERROR_NOT_FOUND, "session_id", NULL, "This is not the id of a session.");
        HASH_FIND(by_id, m->by_id, id, strlen(id), s);
        if (s && may_use(s->owner, owner)) {
                *ret = s;
                return 0;
        }
        HASH_FIND_STR(m->ended, id, e);
        if (e && may_use(e->owner, owner)) {
                int r = error_set(
                        error, ERROR_SESSION_ENDED, "The session has ended: %s.", session_end_reason_text(e->reason));
                if (error) {
                        (void) strncpy(error->reason, session_end_reason_text(e->reason), sizeof error->reason - 1);
                        (void) strncpy(error->session_id, id, sizeof error->session_id - 1);
                }
                return r;
        }
        return error_set_field(error, ERROR_NOT_FOUND, "session_id", NULL, "There is no session with this id.");
}

Session *session_next(SessionManager *m, uint64_t sequence, const char *owner) {
        for (Session *s = m->by_id; s; s = s->by_id.next)
                if (s->sequence > sequence && may_use(s->owner, owner))
                        return s;
        return NULL;
}

Session *session_after(const Session *s, const char *owner) {
        Session *next = s->by_id.next;

        while (next && !may_use(next->owner, owner))
                next = next->by_id.next;
        return next;
}

/* --- coming and going --- */

/* It lives after all. */
static void forget_end(SessionManager *m, const char *id, unsigned hash) {
        EndedSession *e = NULL;

        HASH_FIND_BYHASHVALUE(hh, m->ended, id, strlen(id), hash, e);
        if (!e)
                return;
        HASH_DEL(m->ended, e);
        (void) ended_free(e);
}

static void on_sandbox(Sandbox *sandbox, void *userdata) {
        if (sandbox->state >= SANDBOX_DYING)
                session_end(userdata, SESSION_LOST);
}

static int copy_text(char **to, const char *text) {
        if (!text)
                return 0;
        *to = strdup(text);
        return *to ? 0 : -ENOMEM;
}

Session *session_alloc(SessionManager *m) {
        Session *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->n_ref = 1;
        s->manager = m;
        LIST_INIT(&s->end_waiters);
        LIST_INIT(&s->port_uses);
        TAILQ_INIT(&s->execs);
        TAILQ_INIT(&s->contexts);
        return s;
}

int session_enter(Session *s) {
        SessionManager *m = s->manager;
        Session *twin = NULL;
        unsigned hash; /* of the id, in each of the tables */
        int r = 0;

        if (s->key && !s->key_index) {
                s->key_index = make_key_index(s->owner, s->key);
                if (!s->key_index)
                        return -ENOMEM;
        }
        HASH_VALUE(s->id, strlen(s->id), hash);
        HASH_FIND_BYHASHVALUE(by_id, m->by_id, s->id, strlen(s->id), hash, twin);
        if (twin)
                return -EEXIST;
        if (!s->deadline_source)
                r = session_arm_deadline(s);
        if (r < 0)
                return r;
        HASH_ADD_KEYPTR_BYHASHVALUE(by_id, m->by_id, s->id, strlen(s->id), hash, s);
        if (!HASH_HAS(by_id, s))
                return -ENOMEM;
        if (s->key_index) {
                HASH_ADD_KEYPTR(by_key, m->by_key, s->key_index, strlen(s->key_index), s);
                if (!HASH_HAS(by_key, s)) {
                        HASH_DELETE(by_id, m->by_id, s);
                        return -ENOMEM;
                }
        }
        s->sequence = s->sequence ? s->sequence : m->last_sequence + 1;
        m->last_sequence = MAX(m->last_sequence, s->sequence);
        sandbox_set_owner(s->sandbox, on_sandbox, s);
        m->n_sessions++;
        forget_end(m, s->id, hash);
        s->entry = m->restored ? NULL : registry_find(m->registry, s->id); /* one that was there before */
        if (s->entry)
                s->entry->state = REGISTRY_ALIVE;
        else
                s->entry = registry_add(m->registry, s->id, s->owner);
        warm_hand_over(s);
        session_save(s);
        if (s->key)
                creations_retry(m); /* who waits to make the same one has it */
        return 0;
}

int session_new(
        SessionManager *m, CreateSpec *spec, const char *owner, Sandbox *sandbox, bool from_pool, Session **ret) {
        _cleanup_(session_unrefp) Session *s = session_alloc(m);

        if (!s)
                return -ENOMEM;
        s->created = clock_realtime();
        s->limits = spec->limits;
        s->from_pool = from_pool;
        if (spec->id[0])
                memcpy(s->id, spec->id, sizeof s->id);
        else
                uuid_make(s->id);
        int r = copy_text(&s->owner, owner);
        if (r == 0)
                r = copy_text(&s->request_id, spec->request_id);
        if (r == 0)
                r = copy_text(&s->caller, spec->caller);
        if (r == 0)
                r = copy_text(&s->image, spec->image ? spec->image : m->settings.image);
        if (r == 0)
                r = copy_text(&s->base, spec->base);
        if (r == 0)
                r = session_set_timeout(
                        s, spec->timeout ? spec->timeout : MIN(m->settings.timeout, m->settings.timeout_max));
        if (r < 0)
                return r;

        s->key = take_ptr(spec->key);
        s->env = take_ptr(spec->env);
        s->has_own_env = spec->has_own_env;
        s->cwd = take_ptr(spec->cwd);
        s->metadata = take_ptr(spec->metadata);
        s->sandbox = sandbox;
        r = session_enter(s);
        if (r < 0) {
                s->sandbox = NULL; /* the caller's still */
                return r;
        }
        announce(s, SESSION_EVENT_NEW, NULL);
        *ret = take_ptr(s);
        return 0;
}

static void remember(SessionManager *m, const char *id, const char *owner, SessionEndReason reason) {
        EndedSession *e = calloc(1, sizeof *e);

        if (!e)
                return; /* it will be unknown */
        (void) snprintf(e->id, sizeof e->id, "%.*s", (int) sizeof e->id - 1, id);
        e->reason = reason;
        if (copy_text(&e->owner, owner) < 0) {
                free(e);
                return;
        }
        HASH_ADD_STR(m->ended, id, e);
        if (!HASH_HAS(hh, e)) {
                (void) ended_free(e);
                return;
        }
        if (HASH_COUNT(m->ended) > ENDED_REMEMBERED) {
                EndedSession *oldest = m->ended;
                HASH_DEL(m->ended, oldest);
                (void) ended_free(oldest);
        }
}

void session_revoke(SessionManager *m, const char *id, SessionEndReason reason) {
        EndedSession *e = NULL;
        Session *s = NULL;

        HASH_FIND(by_id, m->by_id, id, strlen(id), s);
        HASH_FIND_STR(m->ended, id, e);
        if (s)
                session_end(s, reason);
        else if (!e)
                remember(m, id, NULL, reason);
}

/* What former workers left: those that nobody ended died with them, unless they are found again. */
static void remember_former(SessionManager *m) {
        for (unsigned i = 0; i < registry_size(m->registry); i++) {
                RegistryEntry *e = registry_entry(m->registry, i);
                EndedSession *known = NULL;
                if (!e)
                        continue;
                unsigned reason = e->state >= REGISTRY_ENDED ? e->state - REGISTRY_ENDED : SESSION_LOST;
                if (e->state == REGISTRY_ALIVE)
                        registry_end(e, e->id, SESSION_LOST);
                HASH_FIND_STR(m->ended, e->id, known);
                if (!known)
                        remember(m, e->id, e->owner[0] ? e->owner : NULL,
                                reason < SESSION_END_REASON_MAX_ ? (SessionEndReason) reason : SESSION_LOST);
        }
}

void session_removed(Session *s) {
        SessionManager *m = s->manager;

        HASH_DELETE(by_id, m->by_id, s);
        if (s->key_index)
                HASH_DELETE(by_key, m->by_key, s);
        m->n_sessions--;
        registry_end(s->entry, s->id, s->end_reason);
        remember(m, s->id, s->owner, s->end_reason);
        if (m->records)
                record_clear(m->records, s->sandbox->slot);
        announce(s, SESSION_EVENT_REMOVED, NULL);
        (void) session_unref(s); /* the table's reference; session_end() holds another */
        creations_retry(m);
}

void session_end_all(SessionManager *m, SessionEndReason reason) {
        Session *s, *next;

        HASH_ITER(by_id, m->by_id, s, next)
        session_end(s, reason);
}
