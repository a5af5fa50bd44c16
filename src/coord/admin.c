/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "coord/call.h"
#include "coord/coord.h"
#include "coord/outgoing.h"

#define PATIENCE_USEC (5 * USEC_PER_SEC)

/* A request to one worker that an administrator names. */
typedef struct Order {
        Job job;
        HttpRequest *request;
        Call *call;
        bool drain;
        Outgoing head;
} Order;

static Order *order_free(Order *o) {
        o->call = call_free(o->call);
        job_done(&o->job);
        free(o);
        return NULL;
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        (void) order_free(userdata);
}

static void fail(Order *o, Error *error, int result) {
        HttpRequest *r = o->request;

        (void) order_free(o);
        http_answer_error(r, error, result);
}

static void on_answer(Call *call, int result, void *userdata) {
        Order *o = userdata;
        HttpRequest *r = o->request;
        Worker *w = call->worker;
        Error error = { 0 };

        if (result < 0) {
                worker_doubt(w);
                result = error_set(&error, ERROR_WORKER_LOST, "Worker %s does not answer.", worker_name(w));
                fail(o, &error, result);
                return;
        }
        unsigned status = call_status(call);
        const char *type = call_header(call, "Content-Type");
        char *body = take_ptr(call->body);
        size_t length = body ? call->body_used : 0;
        if (status == 200)
                worker_set_draining(w, o->drain); /* the next report says it too */
        http_request_set_header(r, "Content-Type", type ? type : "application/json");
        (void) order_free(o);
        http_answer_bytes(r, status, NULL, body, length);
}

static void order(HttpRequest *r, Coordinator *c, bool drain) {
        const char *id = http_request_parameter(r, 0);
        Worker *w = fleet_find(c->fleet, id);
        char target[ID_MAX + 32];
        Error error = { 0 };

        Order *o = calloc(1, sizeof *o);
        if (!o) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        o->request = r;
        o->drain = drain;
        job_begin(c, &o->job, NULL);
        int k = !w ? error_set_field(&error, ERROR_NOT_FOUND, "worker_id", NULL, "There is no worker %.64s.", id)
                : !worker_is_reachable(w)
                        ? error_set(&error, ERROR_WORKER_LOST, "Worker %s cannot be reached now.", worker_name(w))
                        : outgoing_make(&o->head, c, r, w, &error);
        if (k >= 0) {
                (void) snprintf(target, sizeof target, "/v1/workers/%s/%s", w->id, drain ? "drain" : "undrain");
                CallRequest q = {
                        .method = "POST",
                        .target = target,
                        .headers = o->head.headers,
                        .n_headers = o->head.n,
                        .patience = PATIENCE_USEC,
                };
                k = call_start(w, &q, on_answer, o, &o->call);
        }
        if (k < 0)
                fail(o, &error, k);
        else
                http_request_defer(r, on_cancelled, o);
}

void coord_worker_drain(HttpRequest *r, void *userdata) {
        order(r, userdata, true);
}

void coord_worker_undrain(HttpRequest *r, void *userdata) {
        order(r, userdata, false);
}
