/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/health.h"
#include "ctl/interrupt.h"
#include "ctl/terminal.h"
#include "ctl/unit.h"
#include "ctl/worker.h"

/* What add and remove need before they touch anything. */
static bool may_manage(const char *name) {
        if (!worker_check_name(name))
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

static int systemctl(const Ctl *ctl, const char *verb, const char *option, const char *unit, const char *other_unit) {
        const char *argv[8] = { "systemctl", "--no-ask-password", verb };
        size_t n = 3;
        int r;

        if (ctl->options.quiet)
                argv[n++] = "--quiet";
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
                print_error("systemctl %s%s%s failed with status %d; see: journalctl -u %s", verb, unit ? " " : "",
                        unit ?: "", r, other_unit ?: unit ?: "init.scope");
        return r == 0 ? 0 : -EIO;
}

/* A new address takes effect only when the socket unit starts, and only if nothing else has it. */
static int check_free(const char *name, const char *listen) {
        _cleanup_free_ char *unit = xasprintf("sandboxd@%s.socket", name), *state = NULL;
        int r = unit_property(unit, "ActiveState", &state);

        if (r < 0) {
                print_error("systemctl cannot be run: %s", strerror(-r));
                return r;
        }
        if (strcmp(state, "active") == 0) {
                print_error("Worker %s runs already, without this address; stop it first: systemctl stop "
                            "sandboxd@%s.socket "
                            "sandboxd@%s.service",
                        name, name, name);
                return -EBUSY;
        }
        r = listen_probe(listen);
        if (r < 0)
                print_error("--listen: %s cannot be had: %s", listen, strerror(-r));
        return r;
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
        r = unit_find_listen("", listen, name, &other);
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
                return check_free(name, listen) < 0 ? -EBUSY : 1;
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
        if (!may_manage(name) || interrupt_catch() < 0)
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
                        r = systemctl(ctl, "daemon-reload", NULL, NULL, NULL);
        }
        if (r == 0)
                r = systemctl(ctl, "enable", "--now", socket, service);
        if (r == 0)
                r = wait_until_healthy(ctl, name);
        if (r == 0) {
                print_note("Worker %s is healthy: /run/sandboxd/%s.sock%s%s", name, name, listen ? ", " : "",
                        listen ?: "");
                return 0;
        }

        /* as it was before */
        if (strcmp(enabled, "enabled") != 0)
                (void) systemctl(ctl, "disable", "--now", socket, service); /* the first error counts */
        if (written > 0) {
                (void) unit_remove_listen("", name);
                (void) systemctl(ctl, "daemon-reload", NULL, NULL, NULL);
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

        if (systemctl(ctl, "disable", "--now", socket, service) < 0)
                return STATUS_FAILED;
        r = unit_remove_listen("", name);
        if (r < 0) {
                print_error("/etc/systemd/system/%s.d/listen.conf: %s", socket, strerror(-r));
                return STATUS_FAILED;
        }
        if (r > 0 && systemctl(ctl, "daemon-reload", NULL, NULL, NULL) < 0)
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
