/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/bus.h"

#include <stdio.h>
#include <string.h>

#include "bus/bus-internal.h"

#define RETRY_USEC (5 * USEC_PER_SEC)

int bus_session_path(const char *id, char **ret) {
        return sd_bus_path_encode(BUS_SESSION_PREFIX, id, ret);
}

int bus_error(sd_bus_error *ret, Error *e, int result) {
        if (e->kind == ERROR_NONE)
                (void) error_set_errno(e, result);
        int r = sd_bus_error_set(ret, error_dbus_name(e->kind), e->detail ? e->detail : error_title(e->kind));
        error_clear(e);
        return r;
}

static void disconnect(Bus *b) {
        b->ready = false;
        b->object = sd_bus_slot_unref(b->object);
        if (b->bus) {
                (void) sd_bus_detach_event(b->bus);
                sd_bus_close(b->bus);
                b->bus = sd_bus_unref(b->bus);
        }
}

static void retry_later(Bus *b) {
        (void) sd_event_source_set_time_relative(b->retry, RETRY_USEC);
        (void) sd_event_source_set_enabled(b->retry, SD_EVENT_ONESHOT);
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;

        (void) ret_error;
        if (sd_bus_message_is_method_error(m, NULL)) {
                retry_later(b); /* the policy is not loaded yet, or another has the name */
                return 0;
        }
        b->ready = true;
        return 0;
}

/* The bus has gone. The slot's callback runs inside the connection: it is closed from the timer. */
static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;

        (void) m;
        (void) ret_error;
        b->ready = false;
        (void) sd_event_source_set_time_relative(b->retry, 100 * USEC_PER_MSEC);
        (void) sd_event_source_set_enabled(b->retry, SD_EVENT_ONESHOT);
        return 0;
}

static int connect_bus(Bus *b) {
        int r = sd_bus_open_system(&b->bus);

        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(b->bus, false);
        if (r >= 0)
                r = sd_bus_attach_event(b->bus, b->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_add_object_vtable(b->bus, &b->object, BUS_PATH, BUS_INTERFACE, bus_worker_vtable, b);
        if (r >= 0)
                r = sd_bus_add_object_manager(b->bus, NULL, "/org/sandboxd");
        if (r >= 0)
                r = sd_bus_match_signal_async(b->bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                        "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, b);
        if (r >= 0)
                r = sd_bus_request_name_async(b->bus, NULL, b->name, 0, on_name, b);
        return r;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Bus *b = userdata;

        (void) source;
        (void) usec;
        disconnect(b);
        if (connect_bus(b) < 0) {
                disconnect(b);
                retry_later(b);
        }
        return 0;
}

int bus_new(sd_event *event, const BusContext *context, Bus **ret) {
        _cleanup_(bus_freep) Bus *b = calloc(1, sizeof *b);
        _cleanup_free_ char *escaped = NULL;

        if (!b)
                return -ENOMEM;
        b->event = event;
        b->context = *context;

        /* bus names allow no dash at the start of an element and none of the other signs: escaped as labels are */
        int r = sd_bus_path_encode("/", context->worker_id, &escaped);
        if (r < 0)
                return r;
        if (asprintf(&b->name, BUS_NAME_PREFIX "%s", escaped + 1) < 0)
                return -ENOMEM;
        r = sd_event_add_time_relative(event, &b->retry, CLOCK_MONOTONIC, RETRY_USEC, USEC_PER_SEC, on_retry, b);
        if (r < 0)
                return r;
        if (connect_bus(b) < 0)
                disconnect(b); /* later, maybe */
        else
                (void) sd_event_source_set_enabled(b->retry, SD_EVENT_OFF);
        *ret = take_ptr(b);
        return 0;
}

Bus *bus_free(Bus *b) {
        if (!b)
                return NULL;
        if (b->bus)
                (void) sd_bus_flush(b->bus);
        disconnect(b);
        b->retry = sd_event_source_disable_unref(b->retry);
        free(b->name);
        free(b);
        return NULL;
}

void bus_session_new(Bus *b, const Session *s) {
        _cleanup_free_ char *path = NULL;

        if (b && b->ready && bus_session_path(s->id, &path) >= 0)
                (void) sd_bus_emit_signal(b->bus, BUS_PATH, BUS_INTERFACE, "SessionNew", "so", s->id, path);
}

void bus_session_removed(Bus *b, const Session *s) {
        _cleanup_free_ char *path = NULL;

        if (b && b->ready && bus_session_path(s->id, &path) >= 0)
                (void) sd_bus_emit_signal(b->bus, BUS_PATH, BUS_INTERFACE, "SessionRemoved", "sos", s->id, path,
                        session_end_reason_text(s->end_reason));
}

void bus_changed(Bus *b) {
        if (!b || !b->ready)
                return;
        unsigned ready = pool_n_ready(b->context.pool), size = pool_target(b->context.pool),
                 sessions = session_count(b->context.sessions);
        bool draining = session_manager_is_draining(b->context.sessions);

        if (ready != b->last_ready)
                (void) sd_bus_emit_properties_changed(b->bus, BUS_PATH, BUS_INTERFACE, "PoolReady", NULL);
        if (size != b->last_size)
                (void) sd_bus_emit_properties_changed(b->bus, BUS_PATH, BUS_INTERFACE, "PoolSize", NULL);
        if (sessions != b->last_sessions)
                (void) sd_bus_emit_properties_changed(b->bus, BUS_PATH, BUS_INTERFACE, "ActiveSessions", NULL);
        if (draining != b->last_draining)
                (void) sd_bus_emit_properties_changed(b->bus, BUS_PATH, BUS_INTERFACE, "Draining", NULL);
        b->last_ready = ready;
        b->last_size = size;
        b->last_sessions = sessions;
        b->last_draining = draining;
}
