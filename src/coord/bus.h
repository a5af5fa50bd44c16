/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "coord/coord.h"

/* The coordinator on the system bus: name org.sandboxd.Coordinator, object /org/sandboxd/coordinator. Without a bus it
 * works all the same; it appears when the bus does. */

typedef struct CoordBus CoordBus;

int coord_bus_new(Coordinator *c, CoordBus **ret);
CoordBus *coord_bus_free(CoordBus *b);

/* A worker can be used, or cannot any more. Both accept NULL. */
void coord_bus_worker(CoordBus *b, const Worker *w, bool up);
/* Numbers may have changed. */
void coord_bus_changed(CoordBus *b);

extern const sd_bus_vtable coord_bus_vtable[];
