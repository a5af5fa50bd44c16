/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "spec/json.h"

/* Options of methods: a{sv} with the members of the HTTP interface, their names in CamelCase. They are turned into the
 * same JSON, so that one set of checks serves both. */

typedef struct BusOption {
        const char *option; /* NULL: end of a table */
        const char *member;
        bool bytes; /* may be ay too */
} BusOption;

typedef struct BusOptions {
        json_t *object; /* owned */
        void *bytes;    /* owned: of the option that was given as ay, or NULL */
        size_t n_bytes;
} BusOptions;

void bus_options_clear(BusOptions *o);
#define _cleanup_bus_options_ _cleanup_(bus_options_clear)

/* Reads the options of a call. Returns 0 or -errno, with @error set or for what is wrong with the message. */
int bus_options_read(sd_bus_message *m, const BusOption *table, BusOptions *ret, Error *error);

/* Reads an array of at most @max strings. */
int bus_strings_read(sd_bus_message *m, const char *name, size_t max, json_t **ret, Error *error);

/* Names in @error the option, where it names the member. */
void bus_options_explain(const BusOption *table, Error *error);
