/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/json.h"

/* What a client asks for when it makes several sessions out of one. */

#define FORK_COUNT_MAX 64U

typedef struct ForkSpec {
        unsigned count;
        usec_t timeout, wait; /* 0: not given */
        json_t *metadata;     /* owned; NULL: not given */
} ForkSpec;

void fork_spec_clear(ForkSpec *f);
#define _cleanup_fork_spec_ _cleanup_(fork_spec_clear)

/* Returns 0 or -errno with @error set. */
int fork_spec_read(ForkSpec *f, const char *text, size_t length, usec_t timeout_max, Error *error);
