/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "base/hash.h"
#include "runtime/sandbox.h"
#include "session/exec.h"
#include "session/registry.h"
#include "spec/create.h"

/* What a client holds: a sandbox of its own with an id, a deadline and what was asked for. */

typedef struct Session Session;
typedef struct SessionManager SessionManager;
typedef struct Context Context;
typedef struct PortUse PortUse;

#define SESSION_END_REASONS(R) R(DELETED, "deleted") R(EXPIRED, "expired") R(LOST, "lost") R(STOPPED, "stopped")

typedef enum SessionEndReason {
#define SESSION_END_ENUM(name, text) SESSION_##name,
        SESSION_END_REASONS(SESSION_END_ENUM)
#undef SESSION_END_ENUM
                SESSION_END_REASON_MAX_,
} SessionEndReason;

const char *session_end_reason_text(SessionEndReason reason);

/* Someone who waits until nothing of a session runs any more. Unlinked before @ended is called. */
typedef struct SessionEndWaiter SessionEndWaiter;
struct SessionEndWaiter {
        void (*ended)(SessionEndWaiter *w);
        LIST_ENTRY(SessionEndWaiter) entry;
};

struct Session {
        unsigned n_ref;
        SessionManager *manager; /* borrowed */
        char id[UUID_TEXT_MAX];
        uint64_t sequence;      /* in order of creation */
        char *key;              /* owned: of create-or-attach, or NULL */
        char *owner;            /* owned: name of the API key that made it, or NULL */
        char *request_id, *caller; /* owned: of the request that made it, for the log, or NULL */
        char *image;            /* owned: as the client named it */
        char *base;             /* owned: whose root file system it has when that is another, or NULL */
        json_t *env, *metadata; /* owned or NULL */
        bool has_own_env;       /* @env is not just the image's */
        char *cwd;              /* owned: where commands start that say nothing else, or NULL for the home folder */
        Limits limits;
        Sandbox *sandbox; /* owned */
        bool from_pool;
        bool ended, paused;
        bool is_empty; /* counted in the manager's n_empty */
        usec_t left; /* of its time when the clock was stopped; 0: it goes on */
        SessionEndReason end_reason;
        usec_t created; /* wall clock */
        usec_t timeout;
        usec_t deadline; /* monotonic */
        sd_event_source *deadline_source; /* after its end: for how long others wait for that */
        LIST_HEAD(, SessionEndWaiter) end_waiters;
        TAILQ_HEAD(, Exec) execs; /* that run, and those that ended last; each with a reference */
        unsigned n_execs;
        TAILQ_HEAD(, Context) contexts; /* each with a reference */
        unsigned n_contexts;
        Context *prepared; /* owned: an interpreter that waits for its first use, or NULL */
        UT_hash_handle by_id, by_key;
        char *key_index; /* owned: owner and key */
        LIST_HEAD(, PortUse) port_uses; /* connections to servers inside */
        unsigned n_port_uses;
        struct Attendant *attendant; /* owned: for small operations on files, or NULL */
        RegistryEntry *entry;
        bool change_announced;
};

Session *session_ref(Session *s);
Session *session_unref(Session *s);
DEFINE_CLEANUP(Session, session_unref);

/* Sets another deadline, @timeout from now. Returns 0 or -errno. */
int session_set_timeout(Session *s, usec_t timeout);

/* Of one that was restored: at the deadline that it has. */
int session_arm_deadline(Session *s);

void session_set_metadata(Session *s, json_t *metadata);

/* Stops all that runs in it, until session_resume() or the next request for it. @stop_clock: its deadline does not come
 * nearer meanwhile. Returns 0 or -errno with @error set. */
int session_pause(Session *s, bool stop_clock, Error *error);
int session_resume(Session *s);

/* Runs a command in it; see exec_start(). @follow: its output will be read as it comes. -EOWNERDEAD with @error set
 * when the session has ended. */
int session_exec(Session *s, ExecSpec *spec, bool follow, ExecDone *done, void *userdata, Exec **ret, Error *error);

/* Finds one of its commands. @ret: borrowed. Returns 0 or -ENOENT with @error set. */
int session_find_exec(const Session *s, const char *id, Exec **ret, Error *error);

/* Ends it and all that runs in it. It is not found any more from here on. */
void session_end(Session *s, SessionEndReason reason);

/* @w is told when nothing of it, which has ended, runs any more, or after SESSION_END_PATIENCE_USEC: a process that
 * waits in the kernel for a device that is broken cannot be killed. Returns false, and never tells, when nothing runs
 * already. */
#define SESSION_END_PATIENCE_USEC (5 * USEC_PER_SEC)
bool session_wait_end(Session *s, SessionEndWaiter *w);
void session_end_waiter_cancel(SessionEndWaiter *w);

const char *session_state_text(const Session *s);

/* When it ends by itself: wall clock. */
usec_t session_expires(const Session *s);

/* describe.c: the public description, as JSON. @worker_id: of this worker. Returns a new string or object, NULL when out
 * of memory. */
char *session_describe_text(const Session *s, const char *worker_id, bool attached);
json_t *session_describe(const Session *s, const char *worker_id, bool attached);

/* Its current use {"memory","cpu_usec","pids","disk"} without what is not counted here, or NULL when nothing is. */
json_t *session_usage(const Session *s);
