/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "session/driver.h"
#include "session/exec.h"
#include "spec/context.h"

/* One piece of code that runs in a context: what it prints, what it results in, its end. */

typedef struct Context Context;

#define RUN_STATUSES(S)                                                                                                \
        S(OK, "ok") S(ERROR, "error") S(INTERRUPTED, "interrupted") S(TIMEOUT, "timeout") S(ENDED, "ended")

typedef enum RunStatus {
#define RUN_STATUS_ENUM(name, text) RUN_##name,
        RUN_STATUSES(RUN_STATUS_ENUM)
#undef RUN_STATUS_ENUM
                RUN_STATUS_MAX_,
} RunStatus;

typedef struct RunResult {
        json_t *object;  /* owned */
        uint64_t offset; /* the output before it comes first */
        size_t bytes;
        TAILQ_ENTRY(RunResult) entry;
} RunResult;

typedef struct Run Run;
struct Run {
        unsigned n_ref;
        Context *context;                     /* owned */
        void (*wake)(Run *r, void *userdata); /* there is something new; NULL: nobody is interested any more */
        void *userdata;
        uint64_t number; /* in its context, from 1; 0: others are before it */
        char *code;      /* owned, until it is sent */
        usec_t timeout;
        char *request_id;       /* owned or NULL */
        TAILQ_ENTRY(Run) entry; /* in its context's queue */

        Exec *exec; /* owned: the interpreter, once it is this run's turn */
        ExecReader reader;
        uint64_t end; /* of its output, UINT64_MAX: not known yet */
        sd_event_source *timer;
        bool begun, told_started, over;
        bool interrupt_wanted, interrupted, timed_out;
        usec_t started, ended; /* monotonic */

        bool follows; /* what comes is taken as it comes; else it is kept for the one answer */
        Capture capture[2];
        TAILQ_HEAD(, RunResult) results;
        size_t results_bytes;
        uint64_t n_results, n_dropped; /* that wait or are kept, that were too much */
        uint64_t n_taken;              /* that came */

        /* what is being told */
        json_t *forms; /* owned: of the next result, or NULL */
        json_t *cut;   /* owned: names of those that were too long, or NULL */
        size_t forms_bytes;
        json_t *error; /* owned: {"name","value","traceback"}, or NULL */

        RunStatus status;
        int exit_code; /* -1: none */
};

Run *run_ref(Run *r);
Run *run_unref(Run *r);
DEFINE_CLEANUP(Run, run_unref);

typedef enum RunNews { RUN_NOTHING, RUN_STARTED, RUN_OUTPUT, RUN_RESULT, RUN_OVER } RunNews;

/* For one that follows: what comes next. RUN_STARTED comes once. RUN_OUTPUT: @ret_piece, of which what lies before
 * @ret_limit may be taken; to be acknowledged by run_advance(). RUN_RESULT: @ret_result, a new reference. */
RunNews run_next(Run *r, OutputPiece *ret_piece, uint64_t *ret_limit, json_t **ret_result);
void run_advance(Run *r, uint64_t offset);

/* The answer of the public contract; a new object, NULL when out of memory. */
json_t *run_describe(const Run *r);

const char *run_status_text(RunStatus status);

/* For context.c. */
int run_new(Context *c, RunSpec *spec, bool follows, void (*wake)(Run *r, void *userdata), void *userdata, Run **ret);
void run_begin(Run *r, uint64_t number, Exec *exec); /* it is its turn */
/* Takes what the driver says of a result or an error. Returns 0 or -errno. */
int run_take(Run *r, const DriverFrame *f);
/* The forms that came are a result. */
int run_take_result(Run *r, const DriverFrame *f);
/* So much waits to be taken that no more should come. */
bool run_is_full(const Run *r);
void run_finish(Run *r, RunStatus status, int exit_code);
