/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "session/manager.h"

/* Shared by session.c, manager.c and creation.c only. */

#define ENDED_REMEMBERED 4096U /* ids that answer "ended, and why" instead of "unknown" */

typedef struct EndedSession {
        char id[UUID_TEXT_MAX];
        SessionEndReason reason;
        char *owner; /* owned or NULL */
        UT_hash_handle hh;
} EndedSession;

typedef struct Announcement {
        Session *session; /* owned */
        Exec *exec;       /* owned or NULL */
        SessionEvent event;
        TAILQ_ENTRY(Announcement) entry;
} Announcement;

struct SessionManager {
        sd_event *event;
        Backend *backend; /* borrowed */
        Pool *pool;       /* borrowed */
        SessionSettings settings;
        SessionNotify *notify;
        ImageResolve *resolve;
        void *userdata;
        bool draining;
        bool strained; /* the machine has no room for more just now */

        Session *by_id, *by_key; /* hash tables; @by_id is in order of creation */
        uint64_t last_sequence;
        unsigned n_sessions, n_ending;
        unsigned n_empty; /* of those that are ending: nothing runs in them any more, which has been told */
        unsigned descriptors_max; /* sessions that our descriptors are enough for */

        EndedSession *ended; /* hash table in order of ending */

        TAILQ_HEAD(, Announcement) announcements;
        sd_event_source *announce;
        bool is_announcing; /* @announce is set */

        TAILQ_HEAD(, Creation) creations; /* that wait or start, oldest first */
        Creation *next_retry; /* of them: borrowed while they are gone through */
        unsigned n_creations;
        unsigned n_starting; /* of them, whose sandbox is being made: as good as sessions */
        sd_event_source *retry;

        Registry *registry; /* borrowed */

        Snapshots *snapshots; /* borrowed or NULL */
        RecordTable *records; /* borrowed or NULL */
        void (*on_restored)(SessionManager *m, void *userdata);
        unsigned n_inheriting, n_inherited;
        bool all_told, restored;

        usec_t memory_checked;
        bool memory_low;
};

/* creation.c */
void creations_retry(SessionManager *m);
void creations_fail(SessionManager *m, ErrorKind kind, const char *text);
unsigned creations_of(const SessionManager *m, const char *owner);

/* manager.c: a session over a sandbox that is ready (taken on success). What @spec owns is taken. */
int session_new(
        SessionManager *m, CreateSpec *spec, const char *owner, Sandbox *sandbox, bool from_pool, Session **ret);
/* May there be one more? @before: how many wait for a place and were here before. */
int session_check_capacity(SessionManager *m, unsigned before, Error *error);
/* Is all that is missing the place of one that has ended and is being cleared away? */
bool session_fits_soon(const SessionManager *m, unsigned before);
/* May @owner have one more? Returns 0, or -EDQUOT with @error set. */
int session_check_owner(const SessionManager *m, const char *owner, Error *error);
/* The session with @spec's id, or with its key and owner: somebody was faster. NULL: there is none. */
Session *session_find_twin(SessionManager *m, const CreateSpec *spec, const char *owner, bool *ret_attached);
Session *session_find_key(SessionManager *m, const char *owner, const char *key);
/* An empty one with one reference. */
Session *session_alloc(SessionManager *m);
/* Puts a session, complete with its sandbox, among those that can be found. */
int session_enter(Session *s);
void session_removed(Session *s);
void session_add_exec(Session *s, Exec *e);
void session_announce_exec(Session *s, Exec *e);
void session_announce_change(Session *s);

/* restore.c: writes the session's record. */
void session_save(const Session *s);
