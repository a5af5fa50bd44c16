/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/json.h"

/* What a client asks for when it wants an interpreter that keeps its state, and code run in it. */

#define RUN_CODE_MAX MIB

typedef struct ContextSpec {
        char *language; /* owned; as the client named it */
        char *cwd;      /* owned; NULL: the home folder */
        json_t *env;    /* owned or NULL */
} ContextSpec;

void context_spec_clear(ContextSpec *c);
#define _cleanup_context_spec_ _cleanup_(context_spec_clear)

/* Returns 0 or -errno with @error set. */
int context_spec_read(ContextSpec *c, const char *text, size_t length, Error *error);
int context_spec_parse(ContextSpec *c, const json_t *object, Error *error);

typedef struct RunSpec {
        char *code; /* owned */
        usec_t timeout;
        uint64_t output_max;    /* bytes a stream of the one answer */
        const char *request_id; /* borrowed: for the log, or NULL */
} RunSpec;

void run_spec_clear(RunSpec *r);
#define _cleanup_run_spec_ _cleanup_(run_spec_clear)

/* Fills @r, whose output_max holds the default. Returns 0 or -errno with @error set. */
int run_spec_read(RunSpec *r, const char *text, size_t length, Error *error);
int run_spec_parse(RunSpec *r, const json_t *object, Error *error);
