/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/bus.h"

#include <stdio.h>
#include <string.h>

#include "bus/bus-internal.h"

static int add_objects(sd_bus *bus, void *userdata) {
        Bus *b = userdata;

        int r = sd_bus_add_object_vtable(bus, NULL, BUS_WORKER_PATH, BUS_WORKER_INTERFACE, bus_worker_vtable, b);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(
                        bus, NULL, BUS_SESSION_PREFIX, BUS_SESSION_INTERFACE, bus_session_vtable, bus_session_find, b);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(bus, NULL, BUS_SESSION_PREFIX, bus_session_enumerate, b);
        if (r >= 0)
                r = sd_bus_add_object_manager(bus, NULL, BUS_ROOT);
        return r;
}

int bus_new(sd_event *event, const BusContext *context, Bus **ret) {
        _cleanup_(bus_freep) Bus *b = calloc(1, sizeof *b);
        _cleanup_free_ char *escaped = NULL;

        if (!b)
                return -ENOMEM;
        b->context = *context;

        /* parts of bus names take no dash at their start and few other signs: escaped as labels are */
        int r = sd_bus_path_encode("/", context->worker_id, &escaped);
        if (r < 0)
                return r;
        if (asprintf(&b->name, BUS_NAME ".%s", escaped + 1) < 0)
                return -ENOMEM;
        b->names[0] = BUS_NAME;
        b->names[1] = b->name;
        BusConnectionSettings settings = { .names = b->names, .add_objects = add_objects, .userdata = b };
        r = bus_connection_new(event, &settings, context->direct, &b->connection);
        if (r < 0)
                return r;
        *ret = take_ptr(b);
        return 0;
}

Bus *bus_free(Bus *b) {
        if (!b)
                return NULL;
        b->connection = bus_connection_free(b->connection);
        free(b->name);
        free(b->last_image);
        free(b);
        return NULL;
}

int bus_reader(Bus *b, sd_bus_message *m, char buf[static BUS_OWNER_MAX], const char **ret, sd_bus_error *ret_error) {
        uid_t uid;

        int r = bus_connection_sender(b->connection, m, &uid, ret_error);
        if (r < 0)
                return r;
        *ret = uid == 0 ? NULL : bus_owner(uid, buf);
        return 0;
}

/* --- signals --- */

void bus_session_new(Bus *b, const Session *s) {
        sd_bus *bus = b ? bus_connection_signals(b->connection) : NULL;
        _cleanup_free_ char *path = NULL;

        if (!bus || bus_session_path(s->id, &path) < 0)
                return;
        (void) sd_bus_emit_signal(bus, BUS_WORKER_PATH, BUS_WORKER_INTERFACE, "SessionNew", "so", s->id, path);
        if (!s->ended)
                (void) sd_bus_emit_object_added(bus, path);
}

void bus_session_changed(Bus *b, const Session *s) {
        sd_bus *bus = b ? bus_connection_signals(b->connection) : NULL;
        _cleanup_free_ char *path = NULL;

        if (bus && !s->ended && bus_session_path(s->id, &path) >= 0)
                (void) sd_bus_emit_properties_changed(
                        bus, path, BUS_SESSION_INTERFACE, "State", "ExpiresAt", "Metadata", NULL);
}

void bus_session_removed(Bus *b, const Session *s) {
        sd_bus *bus = b ? bus_connection_signals(b->connection) : NULL;
        _cleanup_free_ char *path = NULL;

        if (!bus || bus_session_path(s->id, &path) < 0)
                return;
        (void) sd_bus_emit_signal(bus, BUS_WORKER_PATH, BUS_WORKER_INTERFACE, "SessionRemoved", "sos", s->id, path,
                session_end_reason_text(s->end_reason));
        /* those that its coming told */
        (void) sd_bus_emit_interfaces_removed(bus, path, BUS_SESSION_INTERFACE, "org.freedesktop.DBus.Properties",
                "org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.Peer", NULL);
}

void bus_exec_exited(Bus *b, const Session *s, const Exec *e) {
        sd_bus *bus = b ? bus_connection_signals(b->connection) : NULL;
        _cleanup_free_ char *path = NULL;

        if (bus && bus_session_path(s->id, &path) >= 0)
                (void) sd_bus_emit_signal(bus, path, BUS_SESSION_INTERFACE, "ExecExited", "sis", e->id, e->exit_code,
                        exec_reason_text(e->reason));
}

void bus_changed(Bus *b) {
        sd_bus *bus = b ? bus_connection_signals(b->connection) : NULL;
        const char *changed[7];
        size_t n = 0;

        if (!bus)
                return;
        unsigned ready = pool_n_ready(b->context.pool), size = pool_target(b->context.pool),
                 sessions = session_count(b->context.sessions), max = session_max(b->context.sessions);
        bool draining = session_manager_is_draining(b->context.sessions);
        const char *image = session_manager_settings(b->context.sessions)->image;

        if (ready != b->last_ready)
                changed[n++] = "PoolReady";
        if (size != b->last_size)
                changed[n++] = "PoolSize";
        if (sessions != b->last_sessions)
                changed[n++] = "ActiveSessions";
        if (max != b->last_max)
                changed[n++] = "MaxSessions";
        if (draining != b->last_draining)
                changed[n++] = "Draining";
        if (!b->last_image || strcmp(image, b->last_image) != 0) {
                changed[n++] = "Image";
                free(b->last_image);
                b->last_image = strdup(image);
        }
        changed[n] = NULL;
        if (n > 0)
                (void) sd_bus_emit_properties_changed_strv(
                        bus, BUS_WORKER_PATH, BUS_WORKER_INTERFACE, (char **) changed);
        b->last_ready = ready;
        b->last_size = size;
        b->last_sessions = sessions;
        b->last_max = max;
        b->last_draining = draining;
}
