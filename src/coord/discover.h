/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/coord.h"

/* Finding workers: those that the configuration names, those that have a name on the system bus. */

typedef struct Discover Discover;

int discover_new(Coordinator *c, Discover **ret);
Discover *discover_free(Discover *d);

/* The configuration is another one. */
void discover_configured(Coordinator *c);

/* Is everybody asked who might know of workers? */
bool discover_is_settled(const Coordinator *c);
