/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/bus.h"

#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "ctl/terminal.h"

#define NAME_PREFIX "org.sandboxd.worker."
#define OBJECT "/org/sandboxd/worker"
#define INTERFACE "org.sandboxd.Worker1"

/* It is not there, or the bus itself does not let us speak to it. */
static bool is_out_of_reach(const sd_bus_error *e) {
        static const char *const names[] = {
                SD_BUS_ERROR_SERVICE_UNKNOWN,
                SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                SD_BUS_ERROR_ACCESS_DENIED,
                SD_BUS_ERROR_DISCONNECTED,
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (sd_bus_error_has_name(e, names[i]))
                        return true;
        return false;
}

static int refuse(const sd_bus_error *e, int r) {
        _cleanup_free_ char *safe = NULL;

        if (is_out_of_reach(e))
                return -ENOTCONN;
        safe = terminal_escape_string(e->message ?: strerror(-r));
        print_error("%s", safe);
        return r < 0 ? r : -EIO;
}

static int call(sd_bus *bus, const char *destination, const char *method, const uint32_t *argument, usec_t timeout) {
        sd_bus_error e = SD_BUS_ERROR_NULL;
        sd_bus_message *m = NULL;

        int r = sd_bus_message_new_method_call(bus, &m, destination, OBJECT, INTERFACE, method);
        if (r >= 0)
                r = sd_bus_message_set_allow_interactive_authorization(m, isatty(STDIN_FILENO) == 1);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0 && argument)
                r = sd_bus_message_append(m, "u", *argument);
        if (r >= 0) {
                r = sd_bus_call(bus, m, timeout, &e, NULL);
                r = r < 0 ? refuse(&e, r) : 0;
        } else
                print_error("Cannot call the worker: %s", strerror(-r));
        (void) sd_bus_message_unref(m);
        sd_bus_error_free(&e);
        return r;
}

static int describe(sd_bus *bus, const char *destination, const char *name, json_t **ret) {
        static const char *const properties[] = { "PoolSize", "PoolReady", "ActiveSessions" };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        uint32_t numbers[ELEMENTSOF(properties)];
        int draining;

        int r = sd_bus_get_property_trivial(bus, destination, OBJECT, INTERFACE, "Draining", &e, 'b', &draining);
        for (size_t i = 0; i < ELEMENTSOF(properties) && r >= 0; i++)
                r = sd_bus_get_property_trivial(
                        bus, destination, OBJECT, INTERFACE, properties[i], &e, 'u', &numbers[i]);
        if (r < 0)
                r = refuse(&e, r);
        else {
                *ret = json_pack("{ss sb sI sI sI}", "worker_id", name, "draining", draining, "pool_size",
                        (json_int_t) numbers[0], "pool_ready", (json_int_t) numbers[1], "active_sessions",
                        (json_int_t) numbers[2]);
                if (!*ret)
                        out_of_memory();
                r = 0;
        }
        sd_bus_error_free(&e);
        return r;
}

int worker_bus_call(const char *name, const char *method, const uint32_t *argument, usec_t timeout, json_t **ret) {
        _cleanup_free_ char *escaped = NULL, *destination = NULL;
        sd_bus *bus = NULL;

        int r = sd_bus_open_system(&bus);
        if (r < 0)
                return -ENOTCONN;
        r = sd_bus_path_encode("/", name, &escaped);
        if (r < 0)
                out_of_memory();
        destination = xasprintf(NAME_PREFIX "%s", escaped + 1);
        r = call(bus, destination, method, argument, timeout);
        if (r == 0)
                r = describe(bus, destination, name, ret);
        (void) sd_bus_flush_close_unref(bus);
        return r;
}
