/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

#include <string.h>

#include "fake-backend.h"
#include "session/manager-internal.h"
#include "session/manager.h"

/* A session manager over a pool over the fake backend. */

typedef struct Outcome {
        unsigned n_done, order;
        Session *session; /* owned */
        bool attached;
        ErrorKind error;
        unsigned retry_after;
        Creation *takes_along; /* given up when this one is done, or NULL */
} Outcome;

typedef struct Fixture {
        sd_event *event;
        FakeBackend *backend;
        Pool *pool;
        Registry *registry;
        SessionManager *manager;
        SessionSettings settings;
        unsigned events[SESSION_EVENT_EXEC + 8];
        SessionEndReason last_reason;
        unsigned n_outcomes;
        ImageConfig *config; /* owned: of the image "demo", or NULL */
} Fixture;

typedef struct Request {
        const char *key, *owner, *image, *env;
        usec_t wait, timeout;
        uint64_t memory; /* 0: as the pool has it */
} Request;

extern const Request plain;

int setup(void **state);
int teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Has the pool hold @size members. */
void use_pool(Fixture *f, unsigned size);
void max_sessions(Fixture *f, unsigned max);

/* Returns what session_create() returned; what is known at once is in @o. */
int create(Fixture *f, const Request *q, Outcome *o, Creation **ret_creation);
/* Creates one, however long it takes. */
void make(Fixture *f, const Request *q, Outcome *o);
void outcome_clear(Outcome *o);
#define _cleanup_outcome_ _cleanup_(outcome_clear)

void assert_ended(Fixture *f, const char *id, const char *owner, const char *reason);
void assert_unknown(Fixture *f, const char *id, const char *owner);
