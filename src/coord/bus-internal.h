/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bus/call.h"
#include "bus/options.h"
#include "coord/bus.h"

/* Shared by bus.c and bus-session.c only. */

struct CoordBus {
        Coordinator *coord; /* borrowed */
        BusConnection *connection;
        FetchServer *self; /* us, for requests of our own */
        CoordSum told;     /* last */
        const StoreOps *told_store;
};

/* bus-session.c: the handler of all methods about sessions, and the options of the one that @m calls. */
int coord_bus_session_method(sd_bus_message *m, void *userdata, sd_bus_error *ret_error);
const BusOption *coord_bus_options(sd_bus_message *m);
