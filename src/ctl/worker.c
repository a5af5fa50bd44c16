/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/health.h"
#include "ctl/reader.h"
#include "ctl/table.h"
#include "ctl/unit.h"

#define HEALTH_TIMEOUT (5 * USEC_PER_SEC)

static bool check_name(const char *name) {
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

/* One worker's row: a JSON object with name, socket, status and, when it answered, health. */
static json_t *describe(Ctl *ctl, const WorkerSocket *s) {
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
                if (json_array_append_new(rows, describe(ctl, sockets.items + i)) < 0)
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

        if (!check_name(name))
                return STATUS_USAGE;
        if (!ctl->options.url && !ctl->options.socket) {
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

/* What add and remove need before they touch anything. */
static bool may_manage(const char *name) {
        if (!check_name(name))
                return false;
        if (!systemd_runs()) {
                print_error(
                        "systemd does not run this machine, so workers are not units here; start one with: sandboxd "
                        "--standalone --worker %s",
                        name);
                return false;
        }
        if (geteuid() != 0) {
                print_error("Only root sets up workers; try: sudo sandboxctl worker ...");
                return false;
        }
        return true;
}

static int systemctl(const char *verb, const char *option, const char *unit, const char *other_unit) {
        const char *argv[7] = { "systemctl", "--no-ask-password", verb };
        size_t n = 3;
        int r;

        if (option)
                argv[n++] = option;
        if (unit)
                argv[n++] = unit;
        if (other_unit)
                argv[n++] = other_unit;
        r = program_run(argv);
        if (r < 0)
                print_error("systemctl cannot be run: %s", strerror(-r));
        else if (r > 0)
                print_error("systemctl %s%s%s failed with status %d; see: journalctl -u %s", verb, unit ? " " : "", unit ?: "", r,
                        other_unit ?: unit ?: "init.scope");
        return r == 0 ? 0 : -EIO;
}

/* Checks @listen against the other workers and this one's drop-in. 1: the drop-in is to be written, 0: nothing to do,
 * -errno after an error was printed. */
static int check_listen(const char *name, const char *listen) {
        _cleanup_free_ char *other = NULL, *safe = terminal_escape_string(listen);
        unsigned port;
        int r;

        if (listen_parse(listen, &port) < 0) {
                print_error(
                        "--listen: \"%s\" is not ADDRESS:PORT with a numeric address, as 127.0.0.1:5001 or [::1]:5001",
                        safe);
                return -EINVAL;
        }
        r = unit_find_port("", port, name, &other);
        if (r < 0) {
                print_error("Cannot look at the other workers: %s", strerror(-r));
                return r;
        }
        if (r > 0) {
                _cleanup_free_ char *safe_other = terminal_escape_string(other);
                print_error("--listen: Port %u belongs to worker %s; choose another", port, safe_other);
                return -EADDRINUSE;
        }
        if (unit_read_listen("", name, &other) < 0)
                return 1;
        if (strcmp(other, listen) == 0)
                return 0;
        _cleanup_free_ char *safe_other = terminal_escape_string(other);
        print_error("Worker %s listens on %s already; remove it first: sandboxctl worker remove %s", name, safe_other,
                name);
        return -EEXIST;
}

static int wait_until_healthy(Ctl *ctl, const char *name) {
        _cleanup_free_ char *socket = xasprintf("/run/sandboxd/%s.sock", name);
        _cleanup_answer_ Answer a = { 0 };

        if (ctl_connect_worker(ctl, socket, &ctl->client) < 0)
                return -EIO;
        /* a first start may have to make the base image */
        if (ctl_try(ctl, &(Call){ .method = "GET", .path = "/health", .timeout = 3 * REQUEST_TIMEOUT }, &a) < 0)
                return -EIO;
        if (!health_is(&a) || a.status != 200) {
                print_error("Worker %s is not healthy; see: journalctl -u sandboxd@%s.service", name, name);
                return -EIO;
        }
        return 0;
}

int command_worker_add(Ctl *ctl, int argc, char **argv) {
        const char *name = argv[0], *listen = ctl->options.listen;
        _cleanup_free_ char *socket = xasprintf("sandboxd@%s.socket", name),
                            *service = xasprintf("sandboxd@%s.service", name);
        _cleanup_free_ char *enabled = NULL;
        int written = 0, r;

        (void) argc; /* one, by the table */
        if (!may_manage(name))
                return STATUS_FAILED;
        if (listen && (written = check_listen(name, listen)) < 0)
                return STATUS_FAILED;
        r = unit_property(socket, "UnitFileState", &enabled);
        if (r < 0) {
                print_error("systemctl cannot be run: %s", strerror(-r));
                return STATUS_FAILED;
        }

        r = 0;
        if (written > 0) {
                r = unit_write_listen("", name, listen);
                if (r < 0)
                        print_error("/etc/systemd/system/%s.d/listen.conf: %s", socket, strerror(-r));
                else
                        r = systemctl("daemon-reload", NULL, NULL, NULL);
        }
        if (r == 0)
                r = systemctl("enable", "--now", socket, service);
        if (r == 0)
                r = wait_until_healthy(ctl, name);
        if (r == 0) {
                print_note("Worker %s is healthy: /run/sandboxd/%s.sock%s%s", name, name, listen ? ", " : "",
                        listen ?: "");
                return 0;
        }

        /* as it was before */
        if (strcmp(enabled, "enabled") != 0)
                (void) systemctl("disable", "--now", socket, service); /* the first error counts */
        if (written > 0) {
                (void) unit_remove_listen("", name);
                (void) systemctl("daemon-reload", NULL, NULL, NULL);
        }
        return STATUS_FAILED;
}

/* Has systemd or the file system any trace of such a worker? */
static bool is_known(const char *socket, const char *service, const char *state) {
        const char *const queries[][2] = {
                { socket, "UnitFileState" },
                { service, "UnitFileState" },
                { socket, "ActiveState" },
                { service, "ActiveState" },
        };

        for (size_t i = 0; i < ELEMENTSOF(queries); i++) {
                _cleanup_free_ char *value = NULL;
                if (unit_property(queries[i][0], queries[i][1], &value) < 0)
                        return true; /* systemctl will tell */
                if (*value && strcmp(value, "disabled") != 0 && strcmp(value, "inactive") != 0)
                        return true;
        }
        return access(state, F_OK) == 0;
}

int command_worker_remove(Ctl *ctl, int argc, char **argv) {
        const char *name = argv[0];
        _cleanup_free_ char *socket = xasprintf("sandboxd@%s.socket", name),
                            *service = xasprintf("sandboxd@%s.service", name),
                            *state = xasprintf("/var/lib/sandboxd/%s", name), *listen = NULL;
        bool has_dropin;
        int r;

        (void) argc; /* one, by the table */
        if (!may_manage(name))
                return STATUS_FAILED;
        has_dropin = unit_read_listen("", name, &listen) == 0;
        if (!has_dropin && !is_known(socket, service, state)) {
                print_error("There is no worker %s on this machine", name);
                return STATUS_FAILED;
        }

        if (systemctl("disable", "--now", socket, service) < 0)
                return STATUS_FAILED;
        r = unit_remove_listen("", name);
        if (r < 0) {
                print_error("/etc/systemd/system/%s.d/listen.conf: %s", socket, strerror(-r));
                return STATUS_FAILED;
        }
        if (r > 0 && systemctl("daemon-reload", NULL, NULL, NULL) < 0)
                return STATUS_FAILED;
        if (ctl->options.purge) {
                /* walks by descriptors, so nothing can lead it elsewhere */
                const char *const rm[] = { "rm", "-rf", "--one-file-system", "--", state, NULL };
                if (program_run(rm) != 0) {
                        print_error("%s is not deleted completely", state);
                        return STATUS_FAILED;
                }
        }
        print_note("Worker %s is removed%s", name, ctl->options.purge ? " with its state" : "");
        return 0;
}
