/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <limits.h>

#include "api.h"
#include "attack.h"

typedef struct Case {
        char name[32];
        AttackKind kind;
        unsigned flags;
        char stopper[160];
} Case;

typedef struct Runner {
        Server server;
        char program[PATH_MAX];
        char *image;     /* owned; the program in base64 */
        char inside[64]; /* its path in sandboxes, with a name that nothing else has */
        bool verbose, thorough;
        Case cases[256];
        size_t n_cases;
        Health before;
        unsigned passed, failed, skipped, known;
} Runner;

/* What came of a case. The worst counts. */
typedef struct Verdict {
        enum { HELD, SKIPPED, BROKEN, KNOWN_GAP } state;
        char detail[512];
} Verdict;

void judge(Verdict *v, int state, const char *format, ...) _printf_(3, 4);
/* Takes over what a command said. @c: MAY_END makes an ended sandbox an answer too. */
void judge_result(Verdict *v, const Case *c, int r, const Result *result);

#define TIMEOUT_SEC 90
#define LASTING_TIMEOUT_SEC 580

/* A session with the program in it; @ret_id is "" when there is none. Returns 0 or -errno. */
int start_session(Runner *x, const Case *c, Verdict *v, char *ret_id);
void end_session(Runner *x, const Case *c, Verdict *v, char *id);
/* Returns 0 when the server answered. */
int run_part(Runner *x, const Case *c, const char *id, char part, Result *ret);
void part(Runner *x, const Case *c, Verdict *v, const char *id, char which);
/* After an attack on it the sandbox still has to do what it is for. */
void check_usable(Runner *x, const Case *c, Verdict *v, const char *id);

/* A part that runs while others do. */
typedef struct Background {
        pid_t pid;
        int pipe; /* its result comes here */
} Background;

int background_start(Runner *x, const Case *c, const char *id, char which, Background *ret);
bool background_runs(const Background *b);
void background_end(const Case *c, Verdict *v, Background *b);

/* Runs a shell line until it succeeds. */
bool until_done(Runner *x, const char *id, const char *line, usec_t patience, const Background *b);

/* The case file_swap. */
void run_swap(Runner *x, const Case *c, Verdict *v);

/* Runs a case of each kind in fresh sessions, which are ended again. */
void run_kind(Runner *x, const Case *c, Verdict *v);
