/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/bus.h"

#include <stdio.h>
#include <string.h>

#include "coord/bus-internal.h"

#define NAME "org.sandboxd.Coordinator"
#define ROOT "/org/sandboxd"
#define OBJECT ROOT "/coordinator"
#define INTERFACE "org.sandboxd.Coordinator1"

/* --- ListWorkers --- */

static int append_worker(sd_bus_message *reply, const Worker *w) {
        return sd_bus_message_append(reply, "(sssuuu)", w->id, w->url, worker_status(w), w->report.pool_ready,
                w->report.pool_size, w->report.active_sessions);
}

static int method_list_workers(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        const CoordBus *b = userdata;
        sd_bus_message *reply = NULL;

        (void) ret_error;
        int r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sssuuu)");
        for (Worker *w = fleet_first(b->coord->fleet); w && r >= 0; w = fleet_next(w))
                if (coord_shows(w))
                        r = append_worker(reply, w);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        (void) sd_bus_message_unref(reply);
        return r < 0 ? r : 1;
}

/* --- properties --- */

static int property_text(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const CoordBus *b = userdata;

        (void) bus;
        (void) path;
        (void) interface;
        (void) ret_error;
        return sd_bus_message_append(
                reply, "s", strcmp(property, "Version") == 0 ? VERSION : b->coord->store->ops->name);
}

static int property_number(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const CoordBus *b = userdata;
        CoordSum s;

        (void) bus;
        (void) path;
        (void) interface;
        (void) ret_error;
        coord_sum_up(b->coord, &s);
        int64_t number = strcmp(property, "Workers") == 0       ? s.n_up
                         : strcmp(property, "PoolSize") == 0    ? s.pool_size
                         : strcmp(property, "PoolReady") == 0   ? s.pool_ready
                         : strcmp(property, "MaxSessions") == 0 ? s.max
                                                                : s.active;
        return sd_bus_message_append(reply, "u", (uint32_t) MIN(number, (int64_t) UINT32_MAX));
}

/* clang-format off */
const sd_bus_vtable coord_bus_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Store", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Workers", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("PoolSize", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("PoolReady", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ActiveSessions", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MaxSessions", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        /* everyone whom the bus lets through may send these: sessions are their owners' */
        SD_BUS_METHOD_WITH_ARGS("CreateSession", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", id, "o", path),
                coord_bus_session_method, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetSession", SD_BUS_ARGS("s", id), SD_BUS_RESULT("o", path),
                coord_bus_session_method, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListSessions", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sosst)", sessions),
                coord_bus_session_method, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DestroySession", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT,
                coord_bus_session_method, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Execute", SD_BUS_ARGS("s", id, "s", command, "a{sv}", options),
                SD_BUS_RESULT("i", exit_code, "s", reason, "ay", stdout, "ay", stderr),
                coord_bus_session_method, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Pause", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT,
                coord_bus_session_method, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Resume", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT,
                coord_bus_session_method, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetTimeout", SD_BUS_ARGS("s", id, "t", usec), SD_BUS_NO_RESULT,
                coord_bus_session_method, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListWorkers", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sssuuu)", workers),
                method_list_workers, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("WorkerUp", SD_BUS_ARGS("s", id), 0),
        SD_BUS_SIGNAL_WITH_ARGS("WorkerDown", SD_BUS_ARGS("s", id), 0),
        SD_BUS_VTABLE_END
};
/* clang-format on */

/* --- signals --- */

void coord_bus_worker(CoordBus *b, const Worker *w, bool up) {
        sd_bus *bus = b ? bus_connection_signals(b->connection) : NULL;

        if (bus)
                (void) sd_bus_emit_signal(bus, OBJECT, INTERFACE, up ? "WorkerUp" : "WorkerDown", "s", w->id);
}

void coord_bus_changed(CoordBus *b) {
        sd_bus *bus = b ? bus_connection_signals(b->connection) : NULL;
        const char *changed[7];
        size_t n = 0;
        CoordSum s;

        if (!bus)
                return;
        coord_sum_up(b->coord, &s);
        if (s.n_up != b->told.n_up)
                changed[n++] = "Workers";
        if (s.pool_size != b->told.pool_size)
                changed[n++] = "PoolSize";
        if (s.pool_ready != b->told.pool_ready)
                changed[n++] = "PoolReady";
        if (s.active != b->told.active)
                changed[n++] = "ActiveSessions";
        if (s.max != b->told.max)
                changed[n++] = "MaxSessions";
        if (b->coord->store->ops != b->told_store)
                changed[n++] = "Store";
        changed[n] = NULL;
        if (n > 0)
                (void) sd_bus_emit_properties_changed_strv(bus, OBJECT, INTERFACE, (char **) changed);
        b->told = s;
        b->told_store = b->coord->store->ops;
}

/* --- the place on the bus --- */

static int add_objects(sd_bus *bus, void *userdata) {
        int r = sd_bus_add_object_vtable(bus, NULL, OBJECT, INTERFACE, coord_bus_vtable, userdata);

        return r < 0 ? r : sd_bus_add_object_manager(bus, NULL, ROOT);
}

int coord_bus_new(Coordinator *c, CoordBus **ret) {
        static const char *const names[] = { NAME, NULL };
        CoordBus *b = calloc(1, sizeof *b);

        if (!b)
                return -ENOMEM;
        b->coord = c;
        BusConnectionSettings settings = { .names = names, .add_objects = add_objects, .userdata = b };
        char name[HTTP_OWN_NAME_MAX], url[sizeof "unix:@" + HTTP_OWN_NAME_MAX];
        int r = http_server_listen_own(c->server, name);
        if (r >= 0) {
                (void) snprintf(url, sizeof url, "unix:@%s", name);
                r = fetch_server_new(c->fetcher, url, &b->self);
        }
        if (r >= 0)
                r = bus_connection_new(c->event, &settings, NULL, &b->connection);
        if (r < 0)
                return coord_bus_free(b), r;
        *ret = b;
        return 0;
}

CoordBus *coord_bus_free(CoordBus *b) {
        if (!b)
                return NULL;
        b->connection = bus_connection_free(b->connection);
        b->self = fetch_server_free(b->self);
        free(b);
        return NULL;
}
