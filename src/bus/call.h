/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>

#include "bus/connection.h"
#include "error/error.h"

/*
 * A method call that may take a while: the caller is identified, polkit is asked, the work is done, the answer is sent.
 * Callers may leave at any time; what was begun for them is given up then.
 */

#define BUS_OWNER_MAX sizeof("uid:4294967295")

/* What polkit is asked. Root may do everything and is not asked about. */
typedef struct BusAction {
        const char *id;
        const char *const *details; /* name, value, name, value ..., NULL; or NULL. Rules may look at them */
        const char *session_id;     /* that it is done to, for the log, or NULL */
        bool without_polkit;        /* where there is no polkit, those whom the bus lets through may do it */
} BusAction;

/* Does the work. Returns 0 when it has answered or need not, 1 when it will (@c->cancel set), or -errno with @error or
 * @ret_error set. */
typedef int BusCallRun(BusCall *c, Error *error, sd_bus_error *ret_error);

/* @refusal: NULL when the caller may. */
typedef void BusAuthorized(BusCall *c, sd_bus_error *refusal);

struct BusCall {
        BusConnection *connection; /* borrowed */
        sd_bus_message *message;   /* owned */
        void *userdata;            /* of bus_call_begin() */
        uid_t uid;                 /* of the caller */
        char caller[BUS_OWNER_MAX + 4]; /* the same for the log: "bus:uid=1000" */
        char session_id[UUID_TEXT_MAX]; /* that it is done to, for the log, or "" */
        BusCallRun *run;
        BusAuthorized *authorized;
        bool without_polkit;

        /* while it is under way */
        void (*cancel)(BusCall *c); /* the caller has left: gives the work up, lets go of @state */
        void *state;
        sd_bus_slot *slot;   /* the question to polkit */
        sd_bus_track *track; /* tells when the caller leaves */
        LIST_ENTRY(BusCall) entry;
};

/* For a method's handler, which returns what this returns. @action: NULL when everyone may. */
int bus_call_begin(BusConnection *connection, sd_bus_message *m, const BusAction *action, BusCallRun *run,
        void *userdata, sd_bus_error *ret_error);

/* Ends one whose work returned 1; the answer has been sent, or is @error (cleared) or -errno @result. */
void bus_call_end(BusCall *c);
void bus_call_fail(BusCall *c, Error *error, int result);

/* Turns @e (cleared) or, when it is empty, -errno @result into an error of the bus. Returns -errno. */
int bus_error(sd_bus_error *ret, Error *e, int result);

/* Whose sessions are the caller's own: "uid:1000". */
const char *bus_owner(uid_t uid, char buf[static BUS_OWNER_MAX]);
