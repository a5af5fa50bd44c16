/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

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
        const char *status = resting ?: "no answer";
        json_t *row, *health = NULL;

        if (!resting && ctl_connect_worker(ctl, s->path, &client) == 0 &&
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

static int post_to_worker(Ctl *ctl, const char *name, const char *verb, const char *done) {
        _cleanup_free_ char *path = xasprintf("/v1/workers/%s/%s", name, verb);
        _cleanup_worker_sockets_ WorkerSocketList sockets = { 0 };
        _cleanup_json_ json_t *answer = NULL;
        EndpointPlaces places;
        size_t i = 0;

        if (!worker_check_name(name))
                return STATUS_USAGE;
        if (!ctl_names_server(ctl)) {
                endpoint_places_default(&places);
                worker_sockets_find(&places, &sockets);
                while (i < sockets.n && strcmp(sockets.items[i].name, name) != 0)
                        i++;
                if (i == sockets.n) {
                        print_error("Worker %s: No socket %s/%s.sock on this machine; sandboxctl worker list shows "
                                    "which are "
                                    "there, --url names another server",
                                name, places.workers, name);
                        return STATUS_FAILED;
                }
                if (ctl_connect_worker(ctl, sockets.items[i].path, &ctl->client) < 0)
                        return STATUS_FAILED;
        }
        if (ctl_call(ctl, &(Call){ .method = "POST", .path = path }, &answer) < 0)
                return STATUS_FAILED;
        if (!ctl->options.json)
                print_note("Worker %s %s", name, done);
        else if (answer)
                print_json(answer);
        return 0;
}

int command_drain(Ctl *ctl, int argc, char **argv) {
        (void) argc; /* one, by the table */
        return post_to_worker(ctl, argv[0], "drain", "accepts no new sessions; those it has go on");
}

int command_undrain(Ctl *ctl, int argc, char **argv) {
        (void) argc; /* one, by the table */
        return post_to_worker(ctl, argv[0], "undrain", "accepts sessions");
}
