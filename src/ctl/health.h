/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl/client.h"
#include "ctl/terminal.h"

/* What /health tells; texts are borrowed from the document. */
typedef struct HealthView {
        const char *status;
        const char *worker_id; /* or NULL: a coordinator */
        const char *version;   /* or NULL */
        const char *limits;    /* or NULL */
        const char *store;     /* or NULL */
        uint64_t pool_size;
        uint64_t pool_ready;
        uint64_t active_sessions;
        const json_t *workers; /* or NULL */
} HealthView;

/* 0, or -EPROTO after an error was printed. */
int health_view(const json_t *health, HealthView *ret);

Colour health_colour(const char *status);

/* Is @a an answer to GET /health? A server that accepts no sessions answers with status 503, but in the same form. */
bool health_is(const Answer *a);
