/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool/pool.h"
#include "session/record.h"
#include "session/registry.h"
#include "session/session.h"
#include "session/snapshot.h"
#include "spec/image.h"

/* All sessions of a worker: creating, finding, listing, ending. Knows nothing of HTTP or the bus. */

typedef struct SessionSettings {
        usec_t timeout; /* when the client asks for none */
        usec_t timeout_max;
        unsigned sessions_max; /* 0: as many as the machine allows */
        unsigned sessions_per_owner; /* 0: no limit */
        char image[IMAGE_REF_MAX + 1];
        Limits limits;
        const char *archiver; /* borrowed: path of the program for archives */
        uint64_t output_max;  /* of a command, bytes a stream */
} SessionSettings;

typedef enum SessionEvent {
        SESSION_EVENT_NEW,
        SESSION_EVENT_CHANGED, /* its state, its deadline or its metadata */
        SESSION_EVENT_REMOVED, /* @s->end_reason says why */
        SESSION_EVENT_EXEC,    /* @e has ended */
} SessionEvent;

/* Called after the client's answer has left. @e: the command, or NULL. */
typedef void SessionNotify(SessionManager *m, SessionEvent event, Session *s, const Exec *e, void *userdata);

/* Finds the folder of the image that a client named, and what it says of commands (borrowed for now, or NULL). Returns
 * 0, or -errno with @error set. */
typedef int ImageResolve(const char *name, SandboxSpec *spec, ImageConfig **ret_config, void *userdata, Error *error);

typedef struct Creation Creation;

/* Called once, never from within session_create(): @s (borrowed) or @error. */
typedef void CreationDone(Creation *c, Session *s, bool attached, Error *error, void *userdata);

/* @registry: borrowed; what it knows of ended sessions is told to those who ask for them. */
int session_manager_new(sd_event *event, Backend *backend, Pool *pool, const SessionSettings *settings,
        SessionNotify *notify, ImageResolve *resolve, Registry *registry, void *userdata, SessionManager **ret);
SessionManager *session_manager_free(SessionManager *m);
DEFINE_CLEANUP(SessionManager, session_manager_free);

/* Takes over what a former worker left: @records, by which its sessions are found again in the backend's sandboxes, and
 * which is kept up from now on (NULL: nothing is handed on). Call it before the backend is ready. @restored: called
 * once, when all that there was is usable again. */
void session_manager_inherit(
        SessionManager *m, RecordTable *records, void (*restored)(SessionManager *m, void *userdata));
void session_manager_set_records(SessionManager *m, RecordTable *records);
unsigned session_n_inherited(const SessionManager *m);

void session_manager_configure(SessionManager *m, const SessionSettings *settings);
const SessionSettings *session_manager_settings(const SessionManager *m);

/* Where snapshots are kept: borrowed. */
void session_manager_set_snapshots(SessionManager *m, Snapshots *snapshots);
Snapshots *session_manager_snapshots(const SessionManager *m);

/* Draining: no new sessions, those that live go on. */
void session_manager_set_draining(SessionManager *m, bool draining);
bool session_manager_is_draining(const SessionManager *m);

/* While the machine is strained no session is created. */
void session_manager_set_strained(SessionManager *m, bool strained);

/* To be called when the backend's status changed: what waits for it is tried again. */
void session_manager_backend_changed(SessionManager *m);

/* Creates a session, or attaches to the one with the same key and owner. What @spec owns is taken.
 * Returns 0 with @ret_session (borrowed) and @ret_attached; 1 when it takes a while: @done will be called, and
 * creation_cancel(@ret_creation) gives it up; -errno with @error set. */
int session_create(SessionManager *m, CreateSpec *spec, const char *owner, CreationDone *done, void *userdata,
        Session **ret_session, bool *ret_attached, Creation **ret_creation, Error *error);
void creation_cancel(Creation *c);

/* Ends the session @id, or sees to it that none of this id will be created: its maker has lost interest. */
void session_revoke(SessionManager *m, const char *id, SessionEndReason reason);

/* Finds a session that @owner may use (NULL: all). Returns 0, or -ENOENT (unknown, not @owner's) or -EOWNERDEAD (it has
 * ended, @error says why) with @error set. @ret: borrowed. */
int session_find(SessionManager *m, const char *id, const char *owner, Session **ret, Error *error);

/* The first session after @sequence that @owner may see, or NULL. In order of creation. */
Session *session_next(SessionManager *m, uint64_t sequence, const char *owner);

/* The one after @s that @owner may see, or NULL. */
Session *session_after(const Session *s, const char *owner);

unsigned session_count(const SessionManager *m);
unsigned session_max(const SessionManager *m);

/* Ends all. */
void session_end_all(SessionManager *m, SessionEndReason reason);

/* How many have ended but still have processes. */
unsigned session_n_ending(const SessionManager *m);
