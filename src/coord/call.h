/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/worker.h"

/* A small request to a worker, with an answer that is wanted as a whole. */

#define CALL_ANSWER_MAX (8U * 1024U * 1024U)

typedef struct Call Call;

/* @result: 0, the answer is there; -errno as of FetchOps.done(), also when the worker was given up. The call may be
 * freed. */
typedef void CallDone(Call *c, int result, void *userdata);

struct Call {
        Worker *worker; /* borrowed; NULL when it is gone */
        Fetch *fetch;
        WorkerWaiter waiter;
        CallDone *done;
        void *userdata;
        char *body; /* owned: of the answer, NUL-terminated, or NULL when there is none */
        size_t body_used, body_size;
        bool was_sent;
};

typedef struct CallRequest {
        const char *method, *target;
        const FetchHeader *headers;
        size_t n_headers;
        const void *body; /* borrowed until the call ends, or NULL */
        size_t body_size;
        usec_t patience;
} CallRequest;

int call_start(Worker *w, const CallRequest *q, CallDone *done, void *userdata, Call **ret);
Call *call_free(Call *c);
DEFINE_CLEANUP(Call, call_free);

unsigned call_status(const Call *c);
const char *call_header(const Call *c, const char *name);
