/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "session/registry.h"
#include "unit.h"

/* --- polkit --- */

static void read_details(BusFixture *f, sd_bus_message *m) {
        const char *name, *value;

        assert_true(sd_bus_message_enter_container(m, 'a', "{ss}") > 0);
        while (sd_bus_message_read(m, "{ss}", &name, &value) > 0)
                if (strcmp(name, "own") == 0)
                        (void) snprintf(f->own, sizeof f->own, "%s", value);
                else if (strcmp(name, "owner") == 0)
                        (void) snprintf(f->owner, sizeof f->owner, "%s", value);
                else if (strcmp(name, "session") == 0)
                        (void) snprintf(f->session, sizeof f->session, "%s", value);
        assert_true(sd_bus_message_exit_container(m) >= 0);
}

static int on_check(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusFixture *f = userdata;
        const char *action;
        uint32_t flags;

        assert_true(sd_bus_message_skip(m, "(sa{sv})") >= 0);
        assert_true(sd_bus_message_read(m, "s", &action) > 0);
        (void) snprintf(f->action, sizeof f->action, "%s", action);
        read_details(f, m);
        assert_true(sd_bus_message_read(m, "u", &flags) > 0);
        f->interactive = flags & 1;
        f->n_asked++;
        switch (f->polkit) {
        case POLKIT_ABSENT:
                return sd_bus_error_set(ret_error, SD_BUS_ERROR_SERVICE_UNKNOWN, "There is none.");
        case POLKIT_BROKEN:
                return sd_bus_error_set(ret_error, SD_BUS_ERROR_TIMEOUT, "It does not start.");
        case POLKIT_SILENT:
                return 1;
        default:
                return sd_bus_reply_method_return(
                        m, "(bba{ss})", f->polkit == POLKIT_YES, f->polkit == POLKIT_CHALLENGE, 0);
        }
}

static const sd_bus_vtable polkit_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/* --- opening --- */

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusFixture *f = userdata;
        size_t used = strlen(f->signals);
        const char *interface = sd_bus_message_get_interface(m);

        (void) ret_error;
        if (sd_bus_message_is_signal(m, NULL, NULL) > 0 && !strstr(interface, "Local"))
                (void) snprintf(f->signals + used, sizeof f->signals - used, "%s %s;", sd_bus_message_get_member(m),
                        sd_bus_message_get_path(m));
        return 0;
}

static int resolve(const char *name, SandboxSpec *spec, ImageConfig **ret_config, void *userdata,
        Error *error) {
        (void) ret_config;
        (void) userdata;
        if (strcmp(name, "base") != 0)
                return error_set_field(error, ERROR_INVALID_VALUE, "image", NULL, "There is no image \"%s\".", name);
        (void) snprintf(spec->image, sizeof spec->image, "base");
        return 0;
}

static void on_session(SessionManager *m, SessionEvent event, Session *s, const Exec *e, void *userdata) {
        BusFixture *f = userdata;

        (void) m;
        switch (event) {
        case SESSION_EVENT_NEW:
                bus_session_new(f->bus, s);
                break;
        case SESSION_EVENT_CHANGED:
                bus_session_changed(f->bus, s);
                break;
        case SESSION_EVENT_REMOVED:
                bus_session_removed(f->bus, s);
                break;
        case SESSION_EVENT_EXEC:
                bus_exec_exited(f->bus, s, e);
                break;
        }
        bus_changed(f->bus);
}

/* Who made the pair is whom each end believes to talk to. */
static bool make_pair(int ret[2], bool root) {
        if (!root && geteuid() == 0)
                assert_int_equal(seteuid(CLIENT_UID), 0);
        bool right = geteuid() == (root ? 0 : CLIENT_UID);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret), 0);
        if (!root && getuid() == 0)
                assert_int_equal(seteuid(0), 0);
        if (!right)
                fds_close(ret, 2);
        return right;
}

static sd_bus *make_end(BusFixture *f, int fd, bool server) {
        sd_bus *b;

        assert_true(sd_bus_new(&b) >= 0);
        assert_true(sd_bus_set_fd(b, fd, fd) >= 0);
        assert_true(sd_bus_negotiate_fds(b, true) >= 0);
        if (server) {
                sd_id128_t id;
                assert_true(sd_id128_randomize(&id) >= 0);
                assert_true(sd_bus_set_server(b, true, id) >= 0);
                assert_true(sd_bus_set_anonymous(b, true) >= 0);
        } else
                assert_true(sd_bus_set_anonymous(b, true) >= 0);
        assert_true(sd_bus_start(b) >= 0);
        (void) f;
        return b;
}

bool bus_fixture_open(BusFixture *f, bool root) {
        static char *listen[] = { (char *) "127.0.0.1:5000", NULL };
        const Limits limits = { .memory = 64 * MIB, .disk = 64 * MIB, .cpu_quota = 50000, .pids = 64 };
        PoolSettings pool = { .size = 2, .min = 1, .max = 4, .spec = { .image = "base", .limits = limits } };
        SessionSettings settings = {
                .timeout = 3600 * USEC_PER_SEC,
                .timeout_max = 7200 * USEC_PER_SEC,
                .image = "base",
                .limits = limits,
                .output_max = MIB,
        };
        int pair[2];

        *f = (BusFixture){ 0 };
        if (!make_pair(pair, root))
                return false;
        assert_true(sd_event_new(&f->event) >= 0);
        f->fake = fake_backend_new(f->event);
        assert_int_equal(pool_new(f->event, &f->fake->backend, &pool, NULL, NULL, &f->pool), 0);
        assert_int_equal(registry_open(NULL, &f->registry), 0);
        assert_int_equal(session_manager_new(f->event, &f->fake->backend, f->pool, &settings, on_session, resolve,
                                 f->registry, f, &f->sessions),
                0);
        pool_start(f->pool);
        RUN_UNTIL(f->event, pool_n_ready(f->pool) == 2);

        f->client = make_end(f, pair[1], false);
        assert_true(sd_bus_attach_event(f->client, f->event, 0) >= 0);
        assert_true(sd_bus_add_object_vtable(f->client, NULL, "/org/freedesktop/PolicyKit1/Authority",
                            "org.freedesktop.PolicyKit1.Authority", polkit_vtable, f) >= 0);
        assert_true(sd_bus_add_filter(f->client, NULL, on_signal, f) >= 0);
        BusContext context = {
                .worker_id = "w-1",
                .sessions = f->sessions,
                .pool = f->pool,
                .listen = listen,
                .direct = make_end(f, pair[0], true),
        };
        assert_int_equal(bus_new(f->event, &context, &f->bus), 0);
        return true;
}

void bus_fixture_close(BusFixture *f) {
        if (!f->event)
                return;
        if (f->client)
                sd_bus_close(f->client);
        f->client = sd_bus_unref(f->client);
        f->bus = bus_free(f->bus);
        f->fake = fake_backend_free(f->fake);
        f->pool = pool_free(f->pool);
        f->sessions = session_manager_free(f->sessions);
        f->registry = registry_free(f->registry);
        f->event = sd_event_unref(f->event);
}

/* --- calls --- */

sd_bus_message *bus_message(BusFixture *f, const char *path, const char *interface, const char *member) {
        sd_bus_message *m;

        assert_true(sd_bus_message_new_method_call(f->client, &m, NULL, path, interface, member) >= 0);
        return m;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        sd_bus_message **ret = userdata;

        (void) ret_error;
        *ret = sd_bus_message_ref(m);
        return 0;
}

void bus_send_only(BusFixture *f, sd_bus_message *m, sd_bus_message **ret) {
        assert_true(sd_bus_call_async(f->client, NULL, m, on_answer, ret, 60 * USEC_PER_SEC) >= 0);
        (void) sd_bus_message_unref(m);
}

sd_bus_message *bus_send(BusFixture *f, sd_bus_message *m, sd_bus_error *ret_error) {
        sd_bus_message *answer = NULL;

        bus_send_only(f, m, &answer);
        RUN_UNTIL(f->event, answer);
        if (sd_bus_message_is_method_error(answer, NULL) <= 0)
                return answer;
        assert_true(sd_bus_error_copy(ret_error, sd_bus_message_get_error(answer)) < 0);
        (void) sd_bus_message_unref(answer);
        return NULL;
}

sd_bus_message *bus_expect_answer(BusFixture *f, sd_bus_message *m) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *answer = bus_send(f, m, &error);

        if (!answer)
                print_error("%s: %s\n", error.name, error.message);
        assert_non_null(answer);
        return answer;
}

void bus_expect_error(BusFixture *f, sd_bus_message *m, const char *name, const char *part) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *answer = bus_send(f, m, &error);
        const char *dot;

        assert_null(answer);
        dot = strrchr(error.name, '.');
        if (strcmp(dot + 1, name) != 0 || !strstr(error.message, part))
                print_error("%s: %s\n", error.name, error.message);
        assert_string_equal(dot + 1, name);
        assert_non_null(strstr(error.message, part));
        sd_bus_error_free(&error);
}

char *bus_create(BusFixture *f, char ret_id[static UUID_TEXT_MAX]) {
        sd_bus_message *m = bus_message(f, WORKER_PATH, WORKER, "CreateSession");
        const char *id, *path;

        assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        m = bus_expect_answer(f, m);
        assert_true(sd_bus_message_read(m, "so", &id, &path) > 0);
        (void) snprintf(ret_id, UUID_TEXT_MAX, "%s", id);
        char *copy = strdup(path);
        (void) sd_bus_message_unref(m);
        return copy;
}

Session *bus_create_for(BusFixture *f, const char *owner) {
        CreateSpec spec = { .limits = session_manager_settings(f->sessions)->limits };
        Creation *creation;
        Session *s = NULL;
        bool attached;

        RUN_UNTIL(f->event, pool_n_ready(f->pool) > 0);
        assert_int_equal(session_create(f->sessions, &spec, owner, NULL, NULL, &s, &attached, &creation, NULL), 0);
        create_spec_clear(&spec);
        return s;
}

FakeSandbox *bus_sandbox(BusFixture *f, const char *path) {
        _cleanup_free_ char *id = NULL;
        Session *s;

        assert_true(sd_bus_path_decode(path, "/org/sandboxd/session", &id) > 0);
        assert_int_equal(session_find(f->sessions, id, NULL, &s, NULL), 0);
        FakeSandbox *fs = fake_sandbox_of(f->fake, s->sandbox);
        assert_non_null(fs);
        return fs;
}

uint32_t bus_await_command(BusFixture *f, const char *path, char *strings, size_t size, int ret_fds[3]) {
        FakeSandbox *fs = bus_sandbox(f, path);
        InitRequest q = { 0 };

        RUN_UNTIL(f->event, fake_asked(fs, &q, strings, size, ret_fds) > 0);
        assert_int_equal(q.type, INIT_EXEC);
        return q.exec;
}

void bus_end_command(BusFixture *f, const char *path, uint32_t number, int status) {
        InitEvent e = { .type = INIT_EXITED, .exec = number, .status = status };

        fake_tell(bus_sandbox(f, path), &e);
}
