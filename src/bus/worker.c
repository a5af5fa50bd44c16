/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "bus/bus-internal.h"

/* --- options: a{sv} with the members of the HTTP interface in CamelCase --- */

static const struct {
        const char *option, *member;
} create_options[] = {
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
};

static int read_strings(sd_bus_message *m, json_t **ret) {
        _cleanup_json_ json_t *j = json_object();
        const char *name, *value;

        int r = j ? sd_bus_message_enter_container(m, 'a', "{ss}") : -ENOMEM;
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "{ss}", &name, &value)) > 0)
                if (json_object_set_new(j, name, json_string(value)) < 0)
                        return -ENOMEM;
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = take_ptr(j);
        return 0;
}

/* A number, a string or a dictionary of strings, whatever the caller chose; its meaning is checked with the rest. */
static int read_variant(sd_bus_message *m, json_t **ret) {
        const char *contents, *text;
        char type;
        union {
                uint64_t t;
                int64_t x;
                uint32_t u;
                int32_t i;
                double d;
                int b;
        } v;

        int r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(m, 'v', contents);
        if (r < 0)
                return r;
        if (strcmp(contents, "a{ss}") == 0)
                r = read_strings(m, ret);
        else if (strcmp(contents, "s") == 0) {
                r = sd_bus_message_read(m, "s", &text);
                *ret = r >= 0 ? json_string(text) : NULL;
        } else if (strlen(contents) == 1 && strchr("txuidb", contents[0])) {
                r = sd_bus_message_read_basic(m, contents[0], &v);
                if (r >= 0)
                        *ret = contents[0] == 't' ? json_integer((json_int_t) v.t)
                                : contents[0] == 'x' ? json_integer(v.x)
                                : contents[0] == 'u' ? json_integer(v.u)
                                : contents[0] == 'i' ? json_integer(v.i)
                                : contents[0] == 'd' ? json_real(v.d)
                                                     : json_boolean(v.b);
        } else
                r = -EINVAL;
        if (r < 0)
                return r;
        if (!*ret)
                return -EINVAL;
        return sd_bus_message_exit_container(m);
}

static int read_options(sd_bus_message *m, json_t **ret, Error *error) {
        _cleanup_json_ json_t *j = json_object();
        const char *name;

        int r = j ? sd_bus_message_enter_container(m, 'a', "{sv}") : -ENOMEM;
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                _cleanup_json_ json_t *value = NULL;
                const char *member = NULL;

                r = sd_bus_message_read(m, "s", &name);
                if (r < 0)
                        return r;
                for (size_t i = 0; i < ELEMENTSOF(create_options); i++)
                        if (strcmp(create_options[i].option, name) == 0)
                                member = create_options[i].member;
                if (!member)
                        return error_set_field(error, ERROR_MALFORMED, name, NULL, "There is no option \"%.60s\".", name);
                if (json_object_get(j, member))
                        return error_set_field(error, ERROR_MALFORMED, name, NULL, "Option \"%s\" is given twice.", name);
                if (read_variant(m, &value) < 0)
                        return error_set_field(
                                error, ERROR_MALFORMED, name, NULL, "Option \"%s\" has a type that it cannot have.", name);
                if (json_object_set(j, member, value) < 0)
                        return -ENOMEM;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        *ret = take_ptr(j);
        return 0;
}

/* --- methods --- */

typedef struct PendingCall {
        Bus *bus;
        sd_bus_message *call; /* owned */
        Session *session;     /* owned; of DestroySession */
        SessionEndWaiter waiter;
} PendingCall;

static void pending_call_free(PendingCall *p) {
        session_end_waiter_cancel(&p->waiter);
        (void) sd_bus_message_unref(p->call);
        (void) session_unref(p->session);
        free(p);
}

static int reply_created(sd_bus_message *call, const Session *s) {
        _cleanup_free_ char *path = NULL;

        int r = bus_session_path(s->id, &path);
        return r < 0 ? r : sd_bus_reply_method_return(call, "so", s->id, path);
}

static void on_created(Creation *c, Session *s, bool attached, Error *error, void *userdata) {
        PendingCall *p = userdata;
        sd_bus_error e = SD_BUS_ERROR_NULL;

        (void) c;
        (void) attached;
        if (s)
                (void) reply_created(p->call, s);
        else {
                (void) bus_error(&e, error, -EIO);
                (void) sd_bus_reply_method_error(p->call, &e);
                sd_bus_error_free(&e);
        }
        pending_call_free(p);
}

static int method_create_session(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;
        const SessionSettings *settings = session_manager_settings(b->context.sessions);
        _cleanup_create_spec_ CreateSpec spec = { .limits = settings->limits };
        _cleanup_json_ json_t *options = NULL;
        Error error = { 0 };
        Session *s;
        Creation *c;
        bool attached;

        int r = read_options(m, &options, &error);
        if (r >= 0)
                r = create_spec_parse(&spec, options, settings->timeout_max, &error);
        if (r < 0)
                return bus_error(ret_error, &error, r);

        PendingCall *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        p->bus = b;
        p->call = sd_bus_message_ref(m);
        r = session_create(b->context.sessions, &spec, NULL, on_created, p, &s, &attached, &c, &error);
        if (r > 0)
                return 1;
        pending_call_free(p);
        return r < 0 ? bus_error(ret_error, &error, r) : reply_created(m, s);
}

static int find_session(Bus *b, sd_bus_message *m, Session **ret, sd_bus_error *ret_error) {
        Error error = { 0 };
        const char *id;

        int r = sd_bus_message_read(m, "s", &id);
        if (r < 0)
                return r;
        r = session_find(b->context.sessions, id, NULL, ret, &error);
        return r < 0 ? bus_error(ret_error, &error, r) : 0;
}

static int method_get_session(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        _cleanup_free_ char *path = NULL;
        Session *s;

        int r = find_session(userdata, m, &s, ret_error);
        if (r >= 0)
                r = bus_session_path(s->id, &path);
        return r < 0 ? r : sd_bus_reply_method_return(m, "o", path);
}

static int method_list_sessions(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;
        sd_bus_message *reply = NULL;

        (void) ret_error;
        int r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sosst)");
        for (Session *s = session_next(b->context.sessions, 0, NULL); s && r >= 0; s = session_after(s, NULL)) {
                _cleanup_free_ char *path = NULL;
                usec_t now = clock_monotonic();
                r = bus_session_path(s->id, &path);
                if (r >= 0)
                        r = sd_bus_message_append(reply, "(sosst)", s->id, path, "running", s->image,
                                (uint64_t) (clock_realtime() + (s->deadline > now ? s->deadline - now : 0)));
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        (void) sd_bus_message_unref(reply);
        return r;
}

static void on_destroyed(SessionEndWaiter *w) {
        PendingCall *p = CONTAINER_OF(w, PendingCall, waiter);

        (void) sd_bus_reply_method_return(p->call, "");
        pending_call_free(p);
}

static int method_destroy_session(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Session *s;

        int r = find_session(userdata, m, &s, ret_error);
        if (r < 0)
                return r;
        PendingCall *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        p->bus = userdata;
        p->call = sd_bus_message_ref(m);
        p->session = session_ref(s);
        p->waiter.ended = on_destroyed;
        session_end(s, SESSION_DELETED);
        if (!session_wait_end(s, &p->waiter)) {
                pending_call_free(p);
                return sd_bus_reply_method_return(m, "");
        }
        return 1;
}

static int method_drain(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Bus *b = userdata;

        (void) ret_error;
        session_manager_set_draining(b->context.sessions, strcmp(sd_bus_message_get_member(m), "Drain") == 0);
        bus_changed(b);
        return sd_bus_reply_method_return(m, "");
}

/* --- properties --- */

static int property_text(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {

        Bus *b = userdata;
        const char *text = strcmp(property, "WorkerId") == 0 ? b->context.worker_id
                : strcmp(property, "Version") == 0           ? VERSION
                                                             : session_manager_settings(b->context.sessions)->image;

        (void) bus;
        (void) path;
        (void) interface;
        (void) ret_error;
        return sd_bus_message_append(reply, "s", text);
}

static int property_number(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {

        Bus *b = userdata;
        uint32_t number = strcmp(property, "PoolSize") == 0 ? pool_target(b->context.pool)
                : strcmp(property, "PoolReady") == 0        ? pool_n_ready(b->context.pool)
                : strcmp(property, "ActiveSessions") == 0   ? session_count(b->context.sessions)
                                                            : session_max(b->context.sessions);

        (void) bus;
        (void) path;
        (void) interface;
        (void) ret_error;
        return sd_bus_message_append(reply, "u", number);
}

static int property_draining(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {

        Bus *b = userdata;

        (void) bus;
        (void) path;
        (void) interface;
        (void) property;
        (void) ret_error;
        return sd_bus_message_append(reply, "b", (int) session_manager_is_draining(b->context.sessions));
}

static int property_listen(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {

        Bus *b = userdata;

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
        SD_BUS_PROPERTY("Image", "s", property_text, 0, 0),
        SD_BUS_PROPERTY("PoolSize", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("PoolReady", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ActiveSessions", "u", property_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MaxSessions", "u", property_number, 0, 0),
        SD_BUS_PROPERTY("Draining", "b", property_draining, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Listen", "as", property_listen, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_METHOD_WITH_ARGS("CreateSession", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", id, "o", path),
                method_create_session, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetSession", SD_BUS_ARGS("s", id), SD_BUS_RESULT("o", path),
                method_get_session, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListSessions", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sosst)", sessions),
                method_list_sessions, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DestroySession", SD_BUS_ARGS("s", id), SD_BUS_NO_RESULT,
                method_destroy_session, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Drain", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_drain, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Undrain", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_drain, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("SessionNew", SD_BUS_ARGS("s", id, "o", path), 0),
        SD_BUS_SIGNAL_WITH_ARGS("SessionRemoved", SD_BUS_ARGS("s", id, "o", path, "s", reason), 0),
        SD_BUS_VTABLE_END
};
/* clang-format on */
