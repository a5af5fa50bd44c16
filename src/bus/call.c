/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/call.h"

#include <stdio.h>
#include <string.h>

#include "bus/authorize.h"
#include "bus/connection-internal.h"
#include "log/log.h"

#define CALLS_MAX 4096U
#define CALLS_PER_USER_MAX 1024U
#define REFUSAL_USEC (200 * USEC_PER_MSEC)

const char *bus_owner(uid_t uid, char buf[static BUS_OWNER_MAX]) {
        (void) snprintf(buf, BUS_OWNER_MAX, "uid:%u", (unsigned) uid);
        return buf;
}

int bus_error(sd_bus_error *ret, Error *e, int result) {
        if (e->kind == ERROR_NONE && (result == -ENXIO || result == -EBADMSG))
                (void) error_set(e, ERROR_MALFORMED, "The arguments are not what the method takes.");
        else if (e->kind == ERROR_NONE)
                (void) error_set_errno(e, result);
        int r = sd_bus_error_set(ret, error_dbus_name(e->kind), e->detail ? e->detail : error_title(e->kind));
        error_clear(e);
        return r;
}

static BusCall *call_free(BusCall *c) {
        if (!c)
                return NULL;
        LIST_REMOVE(c, entry);
        c->connection->n_calls--;
        c->slot = sd_bus_slot_unref(c->slot);
        c->track = sd_bus_track_unref(c->track);
        c->message = sd_bus_message_unref(c->message);
        free(c);
        return NULL;
}

void bus_call_end(BusCall *c) {
        (void) call_free(c);
}

void bus_call_fail(BusCall *c, Error *error, int result) {
        sd_bus_error e = SD_BUS_ERROR_NULL;

        (void) bus_error(&e, error, result);
        (void) sd_bus_reply_method_error(c->message, &e);
        sd_bus_error_free(&e);
        (void) call_free(c);
}

static void drop(BusCall *c) {
        if (c->cancel)
                c->cancel(c);
        (void) call_free(c);
}

void bus_calls_drop(BusConnection *connection) {
        BusCall *c;

        while ((c = LIST_FIRST(&connection->calls)))
                drop(c);
}

static int on_caller_gone(sd_bus_track *track, void *userdata) {
        (void) track;
        drop(userdata);
        return 0;
}

/* Once the answer will take a while. */
static void watch_caller(BusCall *c) {
        sd_bus *bus = sd_bus_message_get_bus(c->message);

        if (c->track || !sd_bus_message_get_sender(c->message))
                return; /* no daemon between: the connection ends with the caller */
        if (sd_bus_track_new(bus, &c->track, on_caller_gone, c) >= 0)
                (void) sd_bus_track_add_sender(c->track, c->message);
}

/* Sessions that are created and commands that end have messages of their own. */
static void audit(const BusCall *c) {
        static const char *const actions[][2] = {
                { "DestroySession", "delete" },
                { "Terminate", "delete" },
                { "Pause", "pause" },
                { "Resume", "resume" },
                { "SetTimeout", "change" },
                { "Drain", "drain" },
                { "Undrain", "undrain" },
                { "SetPoolSize", "pool-size" },
        };
        const char *member = sd_bus_message_get_member(c->message);
        char owner[BUS_OWNER_MAX];

        for (size_t i = 0; member && i < ELEMENTSOF(actions); i++)
                if (strcmp(actions[i][0], member) == 0)
                        log_event(LOG_INFO, &MESSAGE_AUDIT,
                                LOG_FIELDS({ "SANDBOXD_ACTION", actions[i][1] },
                                        { "SANDBOXD_OWNER", bus_owner(c->uid, owner) },
                                        { "SANDBOXD_CALLER", c->caller },
                                        { "SESSION_ID", c->session_id[0] ? c->session_id : NULL }),
                                "%s by %s", actions[i][1], c->caller);
}

static void tell_refusal(const BusCall *c, const sd_bus_error *refusal) {
        usec_t now = clock_monotonic();

        if (now - c->connection->refusal_told < REFUSAL_USEC)
                return;
        c->connection->refusal_told = now;
        log_event(LOG_NOTICE, &MESSAGE_REQUEST_REFUSED,
                LOG_FIELDS({ "REASON", refusal->message }, { "SANDBOXD_CALLER", c->caller },
                        { "SESSION_ID", c->session_id[0] ? c->session_id : NULL }),
                "Refused %s of %s", sd_bus_message_get_member(c->message), c->caller);
}

/* Returns what a method's handler returns; @c is freed unless the work goes on. */
static int run(BusCall *c, sd_bus_error *ret_error) {
        Error error = { 0 };

        int r = c->run(c, &error, ret_error);
        if (r >= 0)
                audit(c);
        if (r > 0) {
                watch_caller(c);
                return 1;
        }
        (void) call_free(c);
        if (r < 0 && !sd_bus_error_is_set(ret_error))
                return bus_error(ret_error, &error, r);
        error_clear(&error);
        return r < 0 ? r : 1;
}

static void on_authorized(BusCall *c, sd_bus_error *refusal) {
        sd_bus_error e = SD_BUS_ERROR_NULL;
        sd_bus_message *m = sd_bus_message_ref(c->message);
        int r;

        if (refusal) {
                r = sd_bus_error_copy(&e, refusal);
                tell_refusal(c, refusal);
                (void) call_free(c);
        } else
                r = run(c, &e);
        if (r < 0)
                (void) sd_bus_reply_method_errno(m, r, &e);
        sd_bus_error_free(&e);
        (void) sd_bus_message_unref(m);
}

static int check_limits(const BusConnection *connection, uid_t uid, Error *error) {
        const BusCall *c;
        unsigned n = 0;

        if (connection->n_calls >= CALLS_MAX)
                return error_set_field(error, ERROR_QUOTA, "", "4096 calls", "4096 calls wait for their answers.");
        LIST_FOREACH(c, &connection->calls, entry)
        n += c->uid == uid;
        if (n >= CALLS_PER_USER_MAX)
                return error_set_field(
                        error, ERROR_QUOTA, "", "1024 calls", "1024 calls of this user wait for their answers.");
        return 0;
}

int bus_call_begin(BusConnection *connection, sd_bus_message *m, const BusAction *action, BusCallRun *run_call,
        void *userdata, sd_bus_error *ret_error) {
        Error error = { 0 };
        uid_t uid;

        int r = bus_connection_sender(connection, m, &uid, ret_error);
        if (r < 0)
                return r;
        r = check_limits(connection, uid, &error);
        if (r < 0)
                return bus_error(ret_error, &error, r);

        BusCall *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        *c = (BusCall){
                .connection = connection,
                .message = sd_bus_message_ref(m),
                .userdata = userdata,
                .uid = uid,
                .run = run_call,
        };
        (void) snprintf(c->caller, sizeof c->caller, "bus:uid=%u", (unsigned) uid);
        if (action && action->session_id)
                (void) snprintf(c->session_id, sizeof c->session_id, "%s", action->session_id);
        LIST_INSERT_HEAD(&connection->calls, c, entry);
        connection->n_calls++;
        if (!action || uid == 0)
                return run(c, ret_error);

        r = bus_authorize(c, action, on_authorized);
        if (r < 0) {
                (void) call_free(c);
                return r;
        }
        watch_caller(c);
        return 1;
}
