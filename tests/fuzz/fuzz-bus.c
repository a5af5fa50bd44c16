/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/fake-backend.h"
#include "base/fd.h"
#include "bus/bus.h"

/* Bytes of a client in place of a method's arguments: they are answered, with an error or not, nothing of a refused
 * call is left, and the worker goes on. The first byte chooses the method. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SESSION_PATH "/org/sandboxd/session/%s"

static const struct {
        const char *path, *interface, *member, *signature;
} methods[] = {
        { "/org/sandboxd/worker", "org.sandboxd.Worker1", "CreateSession", "a{sv}" },
        { SESSION_PATH, "org.sandboxd.Session1", "Execute", "sa{sv}" },
        { SESSION_PATH, "org.sandboxd.Session1", "ExecuteFd", "asa{sv}hhh" },
        { "/org/sandboxd/worker", "org.sandboxd.Worker1", "GetSession", "s" },
        { "/org/sandboxd/worker", "org.sandboxd.Worker1", "SetPoolSize", "u" },
        { SESSION_PATH, "org.sandboxd.Session1", "SetTimeout", "t" },
        { SESSION_PATH, "org.freedesktop.DBus.Properties", "Get", "ss" },
        { SESSION_PATH, "org.freedesktop.DBus.Properties", "Set", "ssv" },
        { "/org/sandboxd", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "" },
};

static struct {
        sd_event *event;
        FakeBackend *fake;
        Pool *pool;
        Registry *registry;
        SessionManager *sessions;
} worker;

static void must(bool condition) {
        if (!condition)
                abort();
}

static int resolve(const char *name, SandboxSpec *spec, ImageConfig **ret_config, void *userdata,
        Error *error) {
        (void) ret_config;
        (void) name;
        (void) userdata;
        (void) error;
        (void) snprintf(spec->image, sizeof spec->image, "base");
        return 0;
}

static void set_up(void) {
        const Limits limits = { .memory = 64 * MIB, .disk = 64 * MIB, .cpu_quota = 50000, .pids = 64 };
        PoolSettings pool = { .size = 1, .min = 1, .max = 2, .spec = { .image = "base", .limits = limits } };
        SessionSettings settings = {
                .timeout = 3600 * USEC_PER_SEC,
                .timeout_max = 7200 * USEC_PER_SEC,
                .image = "base",
                .limits = limits,
                .output_max = 4096,
        };

        must(sd_event_new(&worker.event) >= 0);
        worker.fake = fake_backend_new(worker.event);
        must(pool_new(worker.event, &worker.fake->backend, &pool, NULL, NULL, &worker.pool) == 0);
        must(registry_open(NULL, &worker.registry) == 0);
        must(session_manager_new(worker.event, &worker.fake->backend, worker.pool, &settings, NULL, resolve,
                     worker.registry, NULL, &worker.sessions) == 0);
}

static void on_created(Creation *c, Session *s, bool attached, Error *error, void *userdata) {
        (void) c;
        (void) attached;
        (void) error;
        *(Session **) userdata = s;
}

static Session *make_session(void) {
        CreateSpec spec = { .limits = session_manager_settings(worker.sessions)->limits };
        Error error = { 0 };
        Creation *creation;
        Session *s = NULL;
        bool attached;

        must(session_create(worker.sessions, &spec, NULL, on_created, &s, &s, &attached, &creation, &error) >= 0);
        while (!s)
                must(sd_event_run(worker.event, 60 * USEC_PER_SEC) > 0);
        return s;
}

/* --- a message --- */

typedef struct Message {
        uint8_t *bytes;
        size_t used;
} Message;

static void align(Message *m, size_t to) {
        while (m->used % to != 0)
                m->bytes[m->used++] = 0;
}

static void put_number(Message *m, size_t at, uint32_t number) {
        memcpy(m->bytes + at, &number, sizeof number);
}

static void put_field(Message *m, uint8_t code, char type, const char *text) {
        size_t length = strlen(text);

        align(m, 8);
        m->bytes[m->used++] = code;
        m->bytes[m->used++] = 1;
        m->bytes[m->used++] = (uint8_t) type;
        m->bytes[m->used++] = 0;
        if (type == 'g')
                m->bytes[m->used++] = (uint8_t) length;
        else {
                put_number(m, m->used, (uint32_t) length);
                m->used += 4;
        }
        memcpy(m->bytes + m->used, text, length + 1);
        m->used += length + 1;
}

/* In the byte order of this machine, with the authentication before it. */
static void put_message(Message *m, unsigned method, const char *id, const uint8_t *body, size_t size) {
        _cleanup_free_ char *path = NULL;
        uint16_t one = 1;

        must(strstr(methods[method].path, "%s") ? sd_bus_path_encode("/org/sandboxd/session", id, &path) >= 0
                                                : (path = strdup(methods[method].path)) != NULL);
        *m = (Message){ .bytes = calloc(1, size + 1024) };
        must(m->bytes);
        m->bytes[0] = *(uint8_t *) &one ? 'l' : 'B';
        m->bytes[1] = 1; /* method call */
        m->bytes[3] = 1;
        put_number(m, 4, (uint32_t) size);
        put_number(m, 8, 1); /* serial */
        m->used = 16;
        put_field(m, 1, 'o', path);
        put_field(m, 2, 's', methods[method].interface);
        put_field(m, 3, 's', methods[method].member);
        if (methods[method].signature[0])
                put_field(m, 8, 'g', methods[method].signature);
        put_number(m, 12, (uint32_t) (m->used - 16));
        align(m, 8);
        if (size > 0)
                memcpy(m->bytes + m->used, body, size);
        m->used += size;
}

static Bus *make_bus(int fd) {
        static char *listen[] = { NULL };
        sd_bus *direct;
        const sd_id128_t id = SD_ID128_MAKE(00, 01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b, 0c, 0d, 0e, 0f);
        Bus *bus;

        must(sd_bus_new(&direct) >= 0 && sd_bus_set_fd(direct, fd, fd) >= 0);
        must(sd_bus_set_server(direct, true, id) >= 0 && sd_bus_set_anonymous(direct, true) >= 0);
        must(sd_bus_start(direct) >= 0);
        BusContext context = {
                .worker_id = "w", .sessions = worker.sessions, .pool = worker.pool, .listen = listen, .direct = direct
        };
        must(bus_new(worker.event, &context, &bus) == 0);
        return bus;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char authentication[] = "\0AUTH ANONYMOUS\r\nBEGIN\r\n";
        int pair[2];
        Message m;

        if (size == 0 || size > 64 * KIB)
                return 0;
        if (!worker.event)
                set_up();
        Session *s = make_session();
        unsigned method = data[0] % ELEMENTSOF(methods);
        put_message(&m, method, s->id, data + 1, size - 1);
        must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        Bus *bus = make_bus(pair[0]);
        must(write(pair[1], authentication, sizeof authentication - 1) == sizeof authentication - 1);
        must(write(pair[1], m.bytes, m.used) == (ssize_t) m.used);
        free(m.bytes);
        run_ready(worker.event);
        must(method == 0 || session_count(worker.sessions) == 1);
        bus = bus_free(bus);
        pair[1] = fd_close(pair[1]);
        session_end_all(worker.sessions, SESSION_DELETED);
        while (session_n_ending(worker.sessions) > 0)
                run_ready(worker.event);
        return 0;
}
