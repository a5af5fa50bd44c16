/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/bus.h"
#include "ctl/ctl.h"
#include "ctl/health.h"
#include "ctl/reader.h"
#include "ctl/table.h"
#include "ctl/unit.h"
#include "ctl/worker.h"

#define HEALTH_TIMEOUT (5 * USEC_PER_SEC)

bool worker_check_name(const char *name) {
        _cleanup_free_ char *safe = NULL;

        if (worker_name_is_valid(name))
                return true;
        safe = terminal_escape_string(name);
        print_error("\"%s\" is no name for a worker: 1 to %u of the characters a-z, 0-9 and -, not \"images\", and - "
                    "not first",
                safe, WORKER_NAME_MAX);
        return false;
}

/* The state that systemd gives the worker's service when it does not run: asking its socket would start it. NULL
 * when it runs or is not systemd's. New string. */
static char *state_at_rest(const char *name, const char *path) {
        _cleanup_free_ char *unit = xasprintf("sandboxd@%s.service", name), *state = NULL;

        if (strncmp(path, "/run/sandboxd/", 14) != 0 || !systemd_runs())
                return NULL;
        if (unit_property(unit, "ActiveState", &state) < 0 || !*state || strcmp(state, "active") == 0 ||
                strcmp(state, "reloading") == 0)
                return NULL;
        return take_ptr(state);
}

json_t *worker_describe(Ctl *ctl, const WorkerSocket *s) {
        _cleanup_free_ char *resting = state_at_rest(s->name, s->path);
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_answer_ Answer a = { 0 };
        usec_t timeout = ctl->options.timeout == OPTION_UNSET ? HEALTH_TIMEOUT : ctl->options.timeout;
        bool forbidden = !resting && access(s->path, W_OK) < 0 && errno == EACCES;
        const char *status = resting ?: forbidden ? "no permission" : "no answer";
        json_t *row, *health = NULL;

        if (!resting && !forbidden && ctl_connect_worker(ctl, s->path, &client) == 0 &&
                client_call(client, &(Call){ .method = "GET", .path = "/health", .timeout = timeout }, &a) == 0 &&
                health_is(&a)) {
                health = a.json;
                status = json_string_value(json_object_get(health, "status"));
        }
        row = json_pack(
                "{s:s, s:s, s:s, s:O?}", "name", s->name, "socket", s->path, "status", status, "health", health);
        if (!row)
                out_of_memory();
        return row;
}

static int add_row(Table *t, const json_t *row) {
        const json_t *health = json_object_get(row, "health");
        const char *status = json_string_value(json_object_get(row, "status"));
        HealthView v = { 0 };

        if (json_is_object(health) && health_view(health, &v) < 0)
                return -EPROTO;
        table_add(t, COLOUR_NONE, json_string_value(json_object_get(row, "name")));
        table_add(t, v.status ? health_colour(v.status) : COLOUR_NONE, status);
        if (v.status) {
                table_addf(t, COLOUR_NONE, "%" PRIu64, v.active_sessions);
                table_addf(t, COLOUR_NONE, "%" PRIu64 "/%" PRIu64, v.pool_ready, v.pool_size);
        } else {
                table_add(t, COLOUR_NONE, NULL);
                table_add(t, COLOUR_NONE, NULL);
        }
        table_add(t, COLOUR_NONE, v.version);
        table_add(t, COLOUR_NONE, json_string_value(json_object_get(row, "socket")));
        return 0;
}

int command_worker_list(Ctl *ctl, int argc, char **argv) {
        static const char *const heads[] = { "WORKER", "STATUS", "SESSIONS", "POOL", "VERSION", "SOCKET" };
        _cleanup_(table_freep) Table *t = table_new(heads, ELEMENTSOF(heads));
        _cleanup_worker_sockets_ WorkerSocketList sockets = { 0 };
        _cleanup_json_ json_t *rows = json_array();
        EndpointPlaces places;
        size_t i;
        const json_t *row;

        (void) argc, (void) argv; /* takes none */
        if (ctl->options.url || ctl->options.socket) {
                print_error("worker list looks at this machine; for another server use: sandboxctl health");
                return STATUS_USAGE;
        }
        endpoint_places_default(&places);
        worker_sockets_find(&places, &sockets);
        for (i = 0; i < sockets.n; i++)
                if (json_array_append_new(rows, worker_describe(ctl, sockets.items + i)) < 0)
                        out_of_memory();

        if (ctl->options.json) {
                _cleanup_json_ json_t *document = json_pack("{s:O}", "workers", rows);
                print_json(document);
                return 0;
        }
        json_array_foreach(rows, i, row) {
                if (ctl->options.quiet)
                        printf("%s\n", json_string_value(json_object_get(row, "name")));
                else if (add_row(t, row) < 0)
                        return STATUS_FAILED;
        }
        if (ctl->options.quiet)
                return 0;
        if (sockets.n > 0)
                table_print(t, stdout);
        else
                print_note("No worker has a socket in %s; start one with: systemctl start sandboxd@worker1",
                        places.workers);
        return 0;
}

/* The socket of worker @name of this machine. Returns 0, or -ENOENT after an error was printed. */
static int find_socket(const char *name, char **ret) {
        _cleanup_worker_sockets_ WorkerSocketList sockets = { 0 };
        EndpointPlaces places;

        endpoint_places_default(&places);
        worker_sockets_find(&places, &sockets);
        for (size_t i = 0; i < sockets.n; i++)
                if (strcmp(sockets.items[i].name, name) == 0) {
                        *ret = xstrdup(sockets.items[i].path);
                        return 0;
                }
        print_error("Worker %s: No socket %s/%s.sock on this machine; sandboxctl worker list shows which are there, "
                    "--url names another server",
                name, places.workers, name);
        return -ENOENT;
}

/* Those that the user started are not on the system bus. */
static bool is_on_bus(const Ctl *ctl, const char *socket) {
        return strncmp(socket, "/run/sandboxd/", 14) == 0 && !ctl->options.key && !ctl->options.key_file;
}

static usec_t patience(const Ctl *ctl) {
        return ctl->options.timeout == OPTION_UNSET ? REQUEST_TIMEOUT : ctl->options.timeout;
}

static int post_to_worker(Ctl *ctl, const char *name, const char *verb, json_t **ret) {
        _cleanup_free_ char *path = xasprintf("/v1/workers/%s/%s", name, verb), *socket = NULL;
        int r;

        if (!ctl_names_server(ctl)) {
                r = find_socket(name, &socket);
                if (r < 0)
                        return r;
                if (is_on_bus(ctl, socket)) {
                        r = worker_bus_call(
                                name, strcmp(verb, "drain") == 0 ? "Drain" : "Undrain", NULL, patience(ctl), ret);
                        if (r != -ENOTCONN)
                                return r;
                }
                r = ctl_connect_worker(ctl, socket, &ctl->client);
                if (r < 0)
                        return r;
        }
        return ctl_call(ctl, &(Call){ .method = "POST", .path = path }, ret);
}

static int show_done(const Ctl *ctl, const char *name, const char *done, const json_t *answer) {
        if (!ctl->options.json)
                print_note("Worker %s %s", name, done);
        else if (answer)
                print_json(answer);
        return 0;
}

int command_drain(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *answer = NULL;

        (void) argc; /* one, by the table */
        if (!worker_check_name(argv[0]))
                return STATUS_USAGE;
        if (post_to_worker(ctl, argv[0], "drain", &answer) < 0)
                return STATUS_FAILED;
        return show_done(ctl, argv[0], "accepts no new sessions; those it has go on", answer);
}

int command_undrain(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *answer = NULL;

        (void) argc; /* one, by the table */
        if (!worker_check_name(argv[0]))
                return STATUS_USAGE;
        if (post_to_worker(ctl, argv[0], "undrain", &answer) < 0)
                return STATUS_FAILED;
        return show_done(ctl, argv[0], "accepts sessions", answer);
}

int command_worker_pool(Ctl *ctl, int argc, char **argv) {
        _cleanup_free_ char *socket = NULL, *done = NULL;
        _cleanup_json_ json_t *answer = NULL;
        uint64_t size;

        (void) argc; /* two, by the table */
        if (!worker_check_name(argv[0]))
                return STATUS_USAGE;
        if (parse_unsigned(argv[1], &size) < 0 || size > UINT32_MAX) {
                _cleanup_free_ char *safe = terminal_escape_string(argv[1]);
                print_error("\"%s\" is no number of sandboxes", safe);
                return STATUS_USAGE;
        }
        if (ctl->options.url || ctl->options.socket) {
                print_error("worker pool works on this machine's workers only, over D-Bus");
                return STATUS_USAGE;
        }
        if (find_socket(argv[0], &socket) < 0)
                return STATUS_FAILED;
        int r = worker_bus_call(argv[0], "SetPoolSize", &(uint32_t){ (uint32_t) size }, patience(ctl), &answer);
        if (r == -ENOTCONN)
                print_error("Worker %s is not on the system bus, or only root and the group sandbox may speak to it; "
                            "see: systemctl status sandboxd@%s",
                        argv[0], argv[0]);
        if (r < 0)
                return STATUS_FAILED;
        done = xasprintf("keeps %" PRIu64 " sandboxes ready until it is restarted", size);
        return show_done(ctl, argv[0], done, answer);
}
