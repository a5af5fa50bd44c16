/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/discover.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "base/text.h"
#include "log/log.h"

#define NAME_PREFIX "org.sandboxd.worker."
#define SOCKET_FOLDER "/run/sandboxd"
#define RETRY_USEC (2 * USEC_PER_SEC)

struct Discover {
        Coordinator *coord; /* borrowed */
        sd_bus *bus;        /* NULL: not connected */
        sd_bus_slot *list;
        sd_event_source *retry;
        bool settled;
};

/* --- the configuration --- */

static bool is_local_wanted(const CoordConfig *c) {
        return strcmp(c->discover, "local") == 0 || (strcmp(c->discover, "auto") == 0 && c->workers.n == 0);
}

/* --- the bus --- */

/* Where the worker listens whose bus name is @name, or NULL when it is no worker's. A new string. */
static char *url_of(const char *name) {
        _cleanup_free_ char *label = NULL, *id = NULL;
        char *url;

        if (strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) != 0 ||
                asprintf(&label, "/%s", name + strlen(NAME_PREFIX)) < 0)
                return NULL;
        if (sd_bus_path_decode(label, "/", &id) <= 0 || !id || !id_is_valid(id) ||
                asprintf(&url, "unix:" SOCKET_FOLDER "/%s.sock", id) < 0)
                return NULL;
        return url;
}

static void found(Discover *d, const char *name) {
        _cleanup_free_ char *url = url_of(name);

        if (url)
                (void) fleet_found(d->coord->fleet, url, WORKER_ON_BUS);
}

static void lost(Discover *d, const char *name) {
        _cleanup_free_ char *url = url_of(name);

        if (url)
                fleet_lost(d->coord->fleet, url, WORKER_ON_BUS);
}

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Discover *d = userdata;
        const char *name, *former, *owner;

        (void) ret_error;
        if (sd_bus_message_read(m, "sss", &name, &former, &owner) < 0)
                return 0;
        if (former[0])
                lost(d, name); /* also when another takes over: it is another process */
        if (owner[0])
                found(d, name);
        return 0;
}

static int on_names(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        Discover *d = userdata;
        const char *name;

        (void) ret_error;
        d->settled = true;
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_enter_container(m, 'a', "s") < 0)
                return 0;
        fleet_sweep_begin(d->coord->fleet, WORKER_ON_BUS);
        while (sd_bus_message_read(m, "s", &name) > 0)
                found(d, name);
        fleet_sweep_end(d->coord->fleet, WORKER_ON_BUS);
        return 0;
}

static void disconnect(Discover *d) {
        d->list = sd_bus_slot_unref(d->list);
        if (d->bus) {
                (void) sd_bus_detach_event(d->bus);
                sd_bus_close(d->bus);
                d->bus = sd_bus_unref(d->bus);
        }
}

static void retry_later(Discover *d, usec_t usec) {
        (void) sd_event_source_set_time_relative(d->retry, usec);
        (void) sd_event_source_set_enabled(d->retry, SD_EVENT_ONESHOT);
}

/* The bus has gone: what it told stays true until it is back. Closed from the timer: this runs inside it. */
static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        (void) m;
        (void) ret_error;
        retry_later(userdata, 100 * USEC_PER_MSEC);
        return 0;
}

static int connect_bus(Discover *d) {
        int r = sd_bus_open_system(&d->bus);

        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(d->bus, false);
        if (r >= 0)
                r = sd_bus_attach_event(d->bus, d->coord->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_match_signal_async(d->bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                        "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, d);
        if (r >= 0)
                r = sd_bus_add_match_async(d->bus, NULL,
                        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                        "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
                        "arg0namespace='org.sandboxd.worker'",
                        on_owner_changed, NULL, d);
        if (r >= 0)
                r = sd_bus_call_method_async(d->bus, &d->list, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus", "ListNames", on_names, d, NULL);
        return r;
}

static void try_bus(Discover *d) {
        disconnect(d);
        if (connect_bus(d) < 0) {
                disconnect(d);
                d->settled = true; /* nobody to wait for */
                retry_later(d, RETRY_USEC);
        }
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        try_bus(userdata);
        return 0;
}

/* --- all --- */

void discover_configured(Coordinator *c) {
        Discover *d = c->discover;

        fleet_sweep_begin(c->fleet, WORKER_CONFIGURED);
        for (size_t i = 0; i < c->config->workers.n; i++) {
                int r = fleet_found(c->fleet, c->config->workers.list[i], WORKER_CONFIGURED);
                if (r == -EINVAL)
                        log_error("\"%s\" is no address of a worker: expected http://HOST:PORT or unix:/PATH.",
                                c->config->workers.list[i]);
        }
        fleet_sweep_end(c->fleet, WORKER_CONFIGURED);

        if (is_local_wanted(c->config)) {
                if (!d->bus)
                        try_bus(d);
                return;
        }
        disconnect(d);
        (void) sd_event_source_set_enabled(d->retry, SD_EVENT_OFF);
        d->settled = true;
        fleet_sweep_begin(c->fleet, WORKER_ON_BUS);
        fleet_sweep_end(c->fleet, WORKER_ON_BUS);
}

bool discover_is_settled(const Coordinator *c) {
        return c->discover->settled;
}

int discover_new(Coordinator *c, Discover **ret) {
        Discover *d = calloc(1, sizeof *d);

        if (!d)
                return -ENOMEM;
        d->coord = c;
        int r = sd_event_add_time(c->event, &d->retry, CLOCK_MONOTONIC, 0, 10 * USEC_PER_MSEC, on_retry, d);
        if (r >= 0)
                r = sd_event_source_set_enabled(d->retry, SD_EVENT_OFF);
        if (r < 0) {
                (void) discover_free(d);
                return r;
        }
        *ret = c->discover = d;
        discover_configured(c);
        return 0;
}

Discover *discover_free(Discover *d) {
        if (!d)
                return NULL;
        disconnect(d);
        d->retry = sd_event_source_disable_unref(d->retry);
        free(d);
        return NULL;
}
