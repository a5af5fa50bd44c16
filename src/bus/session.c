/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "bus/bus-internal.h"
#include "runtime/backend.h"

#define MANAGE_ACTION "org.sandboxd.manage-sessions"
#define USAGE_AGE_USEC (10 * USEC_PER_MSEC)

int bus_session_path(const char *id, char **ret) {
        return sd_bus_path_encode(BUS_SESSION_PREFIX, id, ret);
}

/* --- the objects --- */

/* The method call that is being answered, or NULL: a signal is being made. */
static sd_bus_message *current_call(sd_bus *bus) {
        sd_bus_message *m = sd_bus_get_current_message(bus);

        return m && sd_bus_message_is_method_call(m, NULL, NULL) > 0 ? m : NULL;
}

/* Others' sessions are not there for the caller, but for methods that polkit is asked about. */
int bus_session_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
        sd_bus_error *ret_error) {
        Bus *b = userdata;
        sd_bus_message *m = current_call(bus);
        _cleanup_free_ char *id = NULL;
        char buf[BUS_OWNER_MAX];
        const char *owner = NULL;
        Error error = { 0 };
        Session *s;

        (void) interface;
        int r = sd_bus_path_decode(path, BUS_SESSION_PREFIX, &id);
        if (r <= 0 || id[0] == '\0')
                return MIN(r, 0);
        if (m && sd_bus_message_is_method_call(m, BUS_SESSION_INTERFACE, NULL) <= 0)
                r = bus_reader(b, m, buf, &owner, ret_error);
        if (r < 0)
                return r;
        r = session_find(b->context.sessions, id, owner, &s, &error);
        if (r < 0 && !m) {
                error_clear(&error);
                return 0;
        }
        if (r < 0)
                return bus_error(ret_error, &error, r);
        b->found = (BusSession){ .bus = b, .session = s };
        *ret_found = &b->found;
        return 1;
}

int bus_session_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *ret_error) {
        Bus *b = userdata;
        sd_bus_message *m = current_call(bus);
        char buf[BUS_OWNER_MAX], **nodes;
        const char *owner = NULL;
        size_t n = 0;

        (void) prefix;
        int r = m ? bus_reader(b, m, buf, &owner, ret_error) : 0;
        if (r < 0)
                return r;
        nodes = calloc(session_count(b->context.sessions) + 1, sizeof *nodes);
        if (!nodes)
                return -ENOMEM;
        for (Session *s = session_next(b->context.sessions, 0, owner); s && r >= 0; s = session_after(s, owner)) {
                r = bus_session_path(s->id, &nodes[n]);
                n += r >= 0;
        }
        if (r < 0) {
                while (n > 0)
                        free(nodes[--n]);
                free(nodes);
                return r;
        }
        *ret_nodes = nodes;
        return 1;
}

/* --- methods --- */

int bus_session_call(Bus *b, sd_bus_message *m, const Session *s, BusCallRun *run, sd_bus_error *ret_error) {
        char buf[BUS_OWNER_MAX];
        uid_t uid;

        int r = bus_connection_sender(b->connection, m, &uid, ret_error);
        if (r < 0)
                return r;
        bool own = s->owner && strcmp(s->owner, bus_owner(uid, buf)) == 0;
        const char *const details[] = { "own", own ? "yes" : "no", "owner", s->owner ? s->owner : "", "session", s->id,
                NULL };
        BusAction action = { .id = MANAGE_ACTION, .details = details, .session_id = s->id, .without_polkit = own };
        return bus_call_begin(b->connection, m, &action, run, b, ret_error);
}

int bus_call_session(BusCall *c, Session **ret, Error *error) {
        const Bus *b = c->userdata;
        _cleanup_free_ char *id = NULL;

        int r = sd_bus_path_decode(sd_bus_message_get_path(c->message), BUS_SESSION_PREFIX, &id);
        if (r < 0)
                return r;
        return session_find(b->context.sessions, r > 0 ? id : "", NULL, ret, error);
}

typedef struct PendingEnd {
        BusCall *call;
        Session *session; /* owned */
        SessionEndWaiter waiter;
} PendingEnd;

static void pending_end_free(PendingEnd *p) {
        session_end_waiter_cancel(&p->waiter);
        (void) session_unref(p->session);
        free(p);
}

static void on_ended(SessionEndWaiter *w) {
        PendingEnd *p = CONTAINER_OF(w, PendingEnd, waiter);
        BusCall *c = p->call;

        pending_end_free(p);
        (void) sd_bus_reply_method_return(c->message, "");
        bus_call_end(c);
}

static void cancel_end(BusCall *c) {
        pending_end_free(c->state); /* it ends all the same */
}

int bus_session_end(BusCall *c, Session *s) {
        PendingEnd *p = calloc(1, sizeof *p);

        if (!p)
                return -ENOMEM;
        p->call = c;
        p->session = session_ref(s);
        p->waiter.ended = on_ended;
        session_end(s, SESSION_DELETED);
        if (session_wait_end(s, &p->waiter)) {
                c->state = p;
                c->cancel = cancel_end;
                return 1;
        }
        pending_end_free(p);
        (void) sd_bus_reply_method_return(c->message, "");
        return 0;
}

static int terminate(BusCall *c, Error *error, sd_bus_error *ret_error) {
        Session *s;

        (void) ret_error;
        int r = bus_call_session(c, &s, error);
        return r < 0 ? r : bus_session_end(c, s);
}

static int pause_session(BusCall *c, Error *error, sd_bus_error *ret_error) {
        Session *s;

        (void) ret_error;
        int r = bus_call_session(c, &s, error);
        if (r >= 0)
                r = session_pause(s, false, error);
        if (r < 0)
                return r;
        (void) sd_bus_reply_method_return(c->message, "");
        return 0;
}

static int resume_session(BusCall *c, Error *error, sd_bus_error *ret_error) {
        Session *s;

        (void) ret_error;
        int r = bus_call_session(c, &s, error);
        if (r >= 0)
                r = session_resume(s);
        if (r < 0)
                return r;
        (void) sd_bus_reply_method_return(c->message, "");
        return 0;
}

static int method_pause(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusSession *f = userdata;

        return bus_session_call(f->bus, m, f->session, pause_session, ret_error);
}

static int method_resume(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusSession *f = userdata;

        return bus_session_call(f->bus, m, f->session, resume_session, ret_error);
}

static int method_terminate(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusSession *f = userdata;

        return bus_session_call(f->bus, m, f->session, terminate, ret_error);
}

static const BusOption timeout_arguments[] = { { "usec", "timeout" }, { 0 } };

static int set_timeout(BusCall *c, Error *error, sd_bus_error *ret_error) {
        const Bus *b = c->userdata;
        _cleanup_patch_spec_ PatchSpec spec = { 0 };
        _cleanup_json_ json_t *object = NULL;
        uint64_t usec;
        Session *s;

        (void) ret_error;
        int r = sd_bus_message_read(c->message, "t", &usec);
        if (r < 0)
                return r;
        r = bus_call_session(c, &s, error);
        if (r < 0)
                return r;
        object = json_pack("{sf}", "timeout", (double) usec / (double) USEC_PER_SEC);
        r = object ? patch_spec_parse(&spec, object, session_manager_settings(b->context.sessions)->timeout_max, error)
                   : -ENOMEM;
        if (r >= 0)
                r = session_set_timeout(s, spec.timeout);
        if (r < 0) {
                bus_options_explain(timeout_arguments, error);
                return r;
        }
        (void) sd_bus_reply_method_return(c->message, "");
        return 0;
}

static int method_set_timeout(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusSession *f = userdata;

        return bus_session_call(f->bus, m, f->session, set_timeout, ret_error);
}

/* --- properties --- */

static int property_text(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Session *s = ((BusSession *) userdata)->session;
        const char *text = strcmp(property, "Id") == 0      ? s->id
                           : strcmp(property, "State") == 0 ? session_state_text(s)
                           : strcmp(property, "Image") == 0 ? s->image
                           : strcmp(property, "User") == 0  ? SANDBOX_USER
                           : strcmp(property, "Owner") == 0 ? s->owner
                                                            : s->key;

        (void) bus;
        (void) path;
        (void) interface;
        (void) ret_error;
        return sd_bus_message_append(reply, "s", text ? text : "");
}

static int property_time(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Session *s = ((BusSession *) userdata)->session;

        (void) bus;
        (void) path;
        (void) interface;
        (void) ret_error;
        return sd_bus_message_append(reply, "t", strcmp(property, "CreatedAt") == 0 ? s->created : session_expires(s));
}

static int property_metadata(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Session *s = ((BusSession *) userdata)->session;
        const char *name;
        json_t *value;

        (void) bus;
        (void) path;
        (void) interface;
        (void) property;
        (void) ret_error;
        int r = sd_bus_message_open_container(reply, 'a', "{ss}");
        json_object_foreach(s->metadata, name, value) if (r >= 0) r =
                sd_bus_message_append(reply, "{ss}", name, json_string_value(value));
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int property_limit(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Limits *l = &((BusSession *) userdata)->session->limits;

        (void) bus;
        (void) path;
        (void) interface;
        (void) ret_error;
        if (strcmp(property, "MemoryLimit") == 0)
                return sd_bus_message_append(reply, "t", l->memory);
        if (strcmp(property, "DiskLimit") == 0)
                return sd_bus_message_append(reply, "t", l->disk);
        return sd_bus_message_append(reply, "u", strcmp(property, "CPUQuota") == 0 ? l->cpu_quota : l->pids);
}

static int property_cgroup(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        const Sandbox *sandbox = ((BusSession *) userdata)->session->sandbox;
        char buf[512];

        (void) bus;
        (void) path;
        (void) interface;
        (void) property;
        (void) ret_error;
        int r = sandbox->backend->ops->cgroup(sandbox->backend, sandbox, buf, sizeof buf);
        return sd_bus_message_append(reply, "s", r < 0 ? "" : buf);
}

/* Asking the kernel costs more than all else: done once for the properties of one session, never for all of them. */
static const BackendUsage *read_usage(sd_bus *bus, Bus *b, const Session *s) {
        sd_bus_message *m = current_call(bus);
        usec_t now = clock_monotonic();

        if (!m || sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", NULL) <= 0 || s->ended)
                return NULL;
        if (strcmp(b->usage_id, s->id) != 0 || now - b->usage_time > USAGE_AGE_USEC) {
                const Backend *backend = s->sandbox->backend;
                memcpy(b->usage_id, s->id, sizeof b->usage_id);
                b->usage_time = now;
                b->usage_known = backend->ops->usage(s->sandbox->backend, s->sandbox, &b->usage) >= 0;
        }
        return b->usage_known ? &b->usage : NULL;
}

static int property_usage(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        BusSession *f = userdata;
        const BackendUsage *u = read_usage(bus, f->bus, f->session);
        uint64_t value = UINT64_MAX;

        (void) path;
        (void) interface;
        (void) ret_error;
        if (u)
                value = strcmp(property, "MemoryCurrent") == 0  ? u->memory
                        : strcmp(property, "TasksCurrent") == 0 ? u->pids
                                                                : u->cpu_usec * 1000;
        return sd_bus_message_append(reply, "t", value);
}

static int property_disk(sd_bus *bus, const char *path, const char *interface, const char *property,
        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        uint64_t value = UINT64_MAX;

        (void) bus;
        (void) path;
        (void) interface;
        (void) property;
        (void) ret_error;
        (void) sandbox_disk_used(((BusSession *) userdata)->session->sandbox, &value); /* or it stays unknown */
        return sd_bus_message_append(reply, "t", value);
}

/* clang-format off */
const sd_bus_vtable bus_session_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Id", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Image", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("User", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Owner", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Key", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("CreatedAt", "t", property_time, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("ExpiresAt", "t", property_time, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Metadata", "a{ss}", property_metadata, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MemoryLimit", "t", property_limit, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("CPUQuota", "u", property_limit, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("PidsLimit", "u", property_limit, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("DiskLimit", "t", property_limit, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("CGroup", "s", property_cgroup, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("MemoryCurrent", "t", property_usage, 0, 0),
        SD_BUS_PROPERTY("CPUUsageNSec", "t", property_usage, 0, 0),
        SD_BUS_PROPERTY("TasksCurrent", "t", property_usage, 0, 0),
        SD_BUS_PROPERTY("DiskCurrent", "t", property_disk, 0, 0),
        /* everyone may send these: polkit is asked who may do what */
        SD_BUS_METHOD_WITH_ARGS("Execute", SD_BUS_ARGS("s", command, "a{sv}", options),
                SD_BUS_RESULT("i", exit_code, "s", reason, "ay", stdout, "ay", stderr),
                bus_method_execute, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ExecuteFd",
                SD_BUS_ARGS("as", argv, "a{sv}", options, "h", stdin, "h", stdout, "h", stderr),
                SD_BUS_RESULT("s", exec_id), bus_method_execute_fd, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Pause", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_pause, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Resume", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_resume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetTimeout", SD_BUS_ARGS("t", usec), SD_BUS_NO_RESULT,
                method_set_timeout, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Terminate", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
                method_terminate, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("ExecExited", SD_BUS_ARGS("s", exec_id, "i", code, "s", reason), 0),
        SD_BUS_VTABLE_END
};
/* clang-format on */
