/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "session/language.h"
#include "session/run.h"
#include "session/session.h"
#include "spec/image.h"

/*
 * An interpreter that keeps its state, in a session: an ordinary command whose standard input is a socket on which the
 * driver around the interpreter talks with us (driver.h). One run at a time; others wait.
 */

#define CONTEXTS_MAX 16U      /* of a session */
#define CONTEXT_QUEUE_MAX 32U /* runs that wait */

#define CONTEXT_STATES(S) S(STARTING, "starting") S(IDLE, "idle") S(RUNNING, "running") S(ENDED, "ended")

typedef enum ContextState {
#define CONTEXT_STATE_ENUM(name, text) CONTEXT_##name,
        CONTEXT_STATES(CONTEXT_STATE_ENUM)
#undef CONTEXT_STATE_ENUM
                CONTEXT_STATE_MAX_,
} ContextState;

const char *context_state_text(ContextState state);

/* Someone who waits until it has started or could not be started, or else for its end. Unlinked before @changed. */
typedef struct ContextWaiter ContextWaiter;
struct ContextWaiter {
        bool for_end;
        void (*changed)(ContextWaiter *w);
        LIST_ENTRY(ContextWaiter) entry;
};

struct Context {
        unsigned n_ref;
        sd_event *event;  /* borrowed */
        Session *session; /* borrowed; NULL: it belongs to none yet, or not any more */
        char id[UUID_TEXT_MAX];
        const Language *language;
        ContextSpec spec; /* what it was asked for */
        usec_t created;   /* wall clock */
        ContextState state;
        Exec *exec;                 /* owned: the interpreter, the last one when it has ended */
        bool ready;                 /* the driver has said so */
        bool restarting;            /* it is started anew once it has ended */
        bool leaving;               /* its session forgets it once it has ended */
        bool hung_up;               /* the driver's end of the socket is closed */
        bool closed;                /* and all has been read */
        ExecReader starter;         /* waits for its pid */
        TAILQ_ENTRY(Context) entry; /* in its session's list */
        LIST_HEAD(, ContextWaiter) waiters;

        int channel; /* owned */
        sd_event_source *io, *timer;
        DriverReader reader;
        char *out; /* owned: what is being written */
        size_t out_length, out_sent, out_size;
        bool holds;      /* @frame waits until the output before it has come */
        bool owes_taken; /* how many results have come is to be told, once what was told before has left */
        DriverFrame frame;
        bool signalling; /* an interrupt is on its way: nothing new begins before it has been sent */

        uint64_t n_runs;         /* since the interpreter was started */
        Run *run;                /* owned: that runs, or NULL */
        TAILQ_HEAD(, Run) queue; /* each with a reference */
        unsigned n_queue;
};

Context *context_ref(Context *c);
Context *context_unref(Context *c);
DEFINE_CLEANUP(Context, context_unref);

/* Starts one in @s (or takes the one that waits there). @spec is taken. @ret: borrowed from the session. Whether it
 * could be started is known once its state is not CONTEXT_STARTING any more. Returns 0 or -errno with @error set. */
int context_start(Session *s, ContextSpec *spec, Context **ret, Error *error);

/* Returns false, and never tells, when what @w waits for is so already. */
bool context_wait(Context *c, ContextWaiter *w);
void context_waiter_cancel(ContextWaiter *w);

/* Why it could not be started, after it ended. */
int context_explain(const Context *c, Error *error);

int context_find(const Session *s, const char *id, Context **ret, Error *error);
/* Of the public contract; a new object. */
json_t *context_describe(const Context *c);

/* Runs code in it, after what was given before. @wake: something has happened, never called from within. What @spec
 * owns is taken. @ret: new reference. Returns 0 or -errno with @error set. */
int context_run(Context *c, RunSpec *spec, bool follows, void (*wake)(Run *r, void *userdata), void *userdata,
        Run **ret, Error *error);
/* Nobody wants its result any more: it is interrupted, or does not begin. @wake is not called any more. */
void context_run_cancel(Run *r);

/* Interrupts what runs. Returns 0 or -errno with @error set. */
int context_interrupt(Context *c, Error *error);

/* Ends the interpreter and starts it anew. */
int context_restart(Context *c, Error *error);

/* Ends it; the session forgets it once it has ended. */
void context_end(Context *c);

/* --- ahead of need --- */

/* Starts one in a sandbox that is nobody's yet. @ret: a new reference. Returns 0 or -errno. */
int context_prepare(Sandbox *sandbox, const Language *language, const ImageConfig *config, Context **ret);

/* The first that is asked for in @s and is such a one is @c (taken). */
void context_offer(Session *s, Context *c);

/* For session.c */
void context_forget_all(Session *s);
/* For run.c: there is room for results again. */
void context_resume(Context *c);
