/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "base/clock.h"
#include "base/macro.h"

/*
 * A service's place on the system bus: its names and its objects. It appears when the bus does and comes back after the
 * bus was away; nothing here waits for the bus.
 */

typedef struct BusConnection BusConnection;
typedef struct BusCall BusCall;

typedef struct BusConnectionSettings {
        /* wanted in this order, the last is the one by which clients know us; ended by NULL, borrowed */
        const char *const *names;
        /* Adds all objects to a new connection, with floating slots. Returns 0 or -errno. */
        int (*add_objects)(sd_bus *bus, void *userdata);
        void *userdata;
} BusConnectionSettings;

/* @direct: a connected bus without a daemon (its reference is taken), for tests; NULL: the system bus. */
int bus_connection_new(sd_event *event, const BusConnectionSettings *settings, sd_bus *direct, BusConnection **ret);
BusConnection *bus_connection_free(BusConnection *c);
DEFINE_CLEANUP(BusConnection, bus_connection_free);

/* The bus for signals, or NULL: nobody would hear them, or so many wait to be taken that no more are added. */
sd_bus *bus_connection_signals(BusConnection *c);

/* Who sent @m. Returns 0, or -errno with @ret_error set when that cannot be told. The bus is asked once for each
 * sender, and waited for: never long, and not again while it does not answer. */
int bus_connection_sender(BusConnection *c, sd_bus_message *m, uid_t *ret, sd_bus_error *ret_error);
