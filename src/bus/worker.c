/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "bus/bus-internal.h"

static const BusAction create_action = { .id = "org.sandboxd.create-session", .without_polkit = true };
static const BusAction worker_action = { .id = "org.sandboxd.manage-workers" };

/* --- CreateSession --- */

const BusOption bus_create_options[] = {
        { "Key", "key" },
        { "Image", "image" },
        { "Timeout", "timeout" },
        { "Env", "env" },
        { "Metadata", "metadata" },
        { "MemoryLimit", "memory_limit" },
        { "CPUQuota", "cpu_quota" },
        { "PidsLimit", "pids_limit" },
        { "DiskLimit", "disk_limit" },
        { "Network", "network" },
        { "Wait", "wait" },
        { 0 },
};

static int answer_created(BusCall *c, const Session *s) {
        _cleanup_free_ char *path = NULL;

        int r = bus_session_path(s->id, &path);
        return r < 0 ? r : sd_bus_reply_method_return(c->message, "so", s->id, path);
}

static void on_created(Creation *creation, Session *s, bool attached, Error *error, void *userdata) {
        BusCall *c = userdata;

        (void) creation;
        (void) attached;
        if (!s) {
                bus_options_explain(bus_create_options, error);
                bus_call_fail(c, error, -EIO);
                return;
        }
        (void) answer_created(c, s); /* nobody to tell when it cannot be sent */
        bus_call_end(c);
}

static void cancel_creation(BusCall *c) {
        creation_cancel(c->state);
}

static int create_session(BusCall *c, Error *error, sd_bus_error *ret_error) {
        Bus *b = c->userdata;
        const SessionSettings *settings = session_manager_settings(b->context.sessions);
        _cleanup_create_spec_ CreateSpec spec = { .limits = settings->limits };
        _cleanup_bus_options_ BusOptions options = { 0 };
        char owner[BUS_OWNER_MAX];
        Creation *creation;
        Session *s;
        bool attached;

        (void) ret_error;
        int r = bus_options_read(c->message, bus_create_options, &options, error);
        if (r >= 0)
                r = create_spec_parse(&spec, options.object, settings->timeout_max, error);
        if (r >= 0)
                spec.caller = c->caller;
        if (r >= 0)
                r = session_create(b->context.sessions, &spec, bus_owner(c->uid, owner), on_created, c, &s, &attached,
                        &creation, error);
        if (r < 0) {
                bus_options_explain(bus_create_options, error);
                return r;
        }
        if (r == 0)
                return answer_created(c, s) < 0 ? -EIO : 0;
        c->state = creation;
        c->cancel = cancel_creation;
        return 1;
}

static int method_create_session(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;

        return bus_call_begin(b->connection, m, &create_action, create_session, b, ret_error);
}

/* --- other methods about sessions --- */

static int read_id(sd_bus_message *m, const char **ret, sd_bus_error *ret_error) {
        Error error = { 0 };

        int r = sd_bus_message_read(m, "s", ret);
        return r < 0 ? bus_error(ret_error, &error, r) : 0;
}

static int method_get_session(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;
        _cleanup_free_ char *path = NULL;
        char buf[BUS_OWNER_MAX];
        const char *id, *owner;
        Error error = { 0 };
        Session *s;

        int r = read_id(m, &id, ret_error);
        if (r >= 0)
                r = bus_reader(b, m, buf, &owner, ret_error);
        if (r < 0)
                return r;
        r = session_find(b->context.sessions, id, owner, &s, &error);
        if (r < 0)
                return bus_error(ret_error, &error, r);
        r = bus_session_path(s->id, &path);
        return r < 0 ? r : sd_bus_reply_method_return(m, "o", path);
}

static int append_session(sd_bus_message *reply, const Session *s) {
        _cleanup_free_ char *path = NULL;

        int r = bus_session_path(s->id, &path);
        return r < 0 ? r
                     : sd_bus_message_append(
                               reply, "(sosst)", s->id, path, session_state_text(s), s->image, session_expires(s));
}

static int method_list_sessions(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;
        sd_bus_message *reply = NULL;
        char buf[BUS_OWNER_MAX];
        const char *owner;

        int r = bus_reader(b, m, buf, &owner, ret_error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sosst)");
        if (r >= 0)
                for (Session *s = session_next(b->context.sessions, 0, owner); s && r >= 0; s = session_after(s, owner))
                        r = append_session(reply, s);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        (void) sd_bus_message_unref(reply);
        return r < 0 ? r : 1;
}

static int destroy_session(BusCall *c, Error *error, sd_bus_error *ret_error) {
        Bus *b = c->userdata;
        const char *id;
        Session *s;

        (void) ret_error;
        (void) sd_bus_message_rewind(c->message, true);
        int r = sd_bus_message_read(c->message, "s", &id);
        if (r >= 0)
                r = session_find(b->context.sessions, id, NULL, &s, error); /* polkit was asked about it */
        return r < 0 ? r : bus_session_end(c, s);
}

static int method_destroy_session(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;
        Error error = { 0 };
        const char *id;
        Session *s;

        int r = read_id(m, &id, ret_error);
        if (r < 0)
                return r;
        r = session_find(b->context.sessions, id, NULL, &s, &error);
        if (r < 0)
                return bus_error(ret_error, &error, r);
        return bus_session_call(b, m, s, destroy_session, ret_error);
}

/* --- methods about the worker --- */

static int drain(BusCall *c, Error *error, sd_bus_error *ret_error) {
        Bus *b = c->userdata;

        (void) error;
        (void) ret_error;
        session_manager_set_draining(b->context.sessions, strcmp(sd_bus_message_get_member(c->message), "Drain") == 0);
        (void) sd_bus_reply_method_return(c->message, "");
        bus_changed(b);
        return 0;
}

static int method_drain(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;

        return bus_call_begin(b->connection, m, &worker_action, drain, b, ret_error);
}

static int set_pool_size(BusCall *c, Error *error, sd_bus_error *ret_error) {
        Bus *b = c->userdata;
        PoolSettings settings = *pool_settings(b->context.pool);
        char limit[48];
        uint32_t size;

        (void) ret_error;
        int r = sd_bus_message_read(c->message, "u", &size);
        if (r < 0)
                return r;
        if (size < settings.min || size > settings.max) {
                (void) snprintf(limit, sizeof limit, "%u to %u", settings.min, settings.max);
                return error_set_field(error, ERROR_INVALID_VALUE, "size", limit,
                        "The pool can have %s sandboxes: [Pool] MinSize= and MaxSize= of the configuration.", limit);
        }
        settings.size = size;
        pool_configure(b->context.pool, &settings);
        (void) sd_bus_reply_method_return(c->message, "");
        bus_changed(b);
        return 0;
}

static int method_set_pool_size(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;

        return bus_call_begin(b->connection, m, &worker_action, set_pool_size, b, ret_error);
}

/* --- properties --- */

static int property_text(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Bus *b = userdata;
        const char *text = strcmp(property, "WorkerId") == 0  ? b->context.worker_id
                           : strcmp(property, "Version") == 0 ? VERSION
                                                              : session_manager_settings(b->context.sessions)->image;

        (void) bus;
        (void) path;
        (void) interface;
        (void) ret_error;
        return sd_bus_message_append(reply, "s", text);
}

static int property_number(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Bus *b = userdata;
        uint32_t number = strcmp(property, "PoolSize") == 0         ? pool_target(b->context.pool)
                          : strcmp(property, "PoolReady") == 0      ? pool_n_ready(b->context.pool)
                          : strcmp(property, "ActiveSessions") == 0 ? session_count(b->context.sessions)
                                                                    : session_max(b->context.sessions);

        (void) bus;
        (void) path;
        (void) interface;
        (void) ret_error;
        return sd_bus_message_append(reply, "u", number);
}

static int property_draining(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Bus *b = userdata;

        (void) bus;
        (void) path;
        (void) interface;
        (void) property;
        (void) ret_error;
        return sd_bus_message_append(reply, "b", (int) session_manager_is_draining(b->context.sessions));
}

static int property_listen(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Bus *b = userdata;

        (void) bus;
        (void) path;
        (void) interface;
        (void) property;
        (void) ret_error;
        return sd_bus_message_append_strv(reply, b->context.listen);
}

/* clang-format off */
const sd_bus_vtable bus_worker_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("WorkerId", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Version", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Listen", "as", property_listen, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Image", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("PoolSize", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("PoolReady", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ActiveSessions", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MaxSessions", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Draining", "b", property_draining, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        /* everyone may send these: polkit is asked who may do what */
        SD_BUS_METHOD_WITH_ARGS("CreateSession", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", id, "o", path),
                method_create_session, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetSession", SD_BUS_ARGS("s", id), SD_BUS_RESULT("o", path),
                method_get_session, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListSessions", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sosst)", sessions),
                method_list_sessions, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DestroySession", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT,
                method_destroy_session, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Drain", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
                method_drain, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Undrain", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
                method_drain, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetPoolSize", SD_BUS_ARGS("u", size), SD_BUS_NO_RESULT,
                method_set_pool_size, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("SessionNew", SD_BUS_ARGS("s", id, "o", path), 0),
        SD_BUS_SIGNAL_WITH_ARGS("SessionRemoved", SD_BUS_ARGS("s", id, "o", path, "s", reason), 0),
        SD_BUS_VTABLE_END
};
/* clang-format on */
