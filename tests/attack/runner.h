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

/* Runs a case of each kind in fresh sessions, which are ended again. */
void run_kind(Runner *x, const Case *c, Verdict *v);
