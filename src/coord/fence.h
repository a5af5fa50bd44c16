/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/coord.h"

/* A worker has come, or come back, maybe as another process. Before it is used again it is told which of its
 * sessions were given away: they end, and its fencing token changes, so that every coordinator notices. Then it is
 * asked what it holds. */

void fence_worker(Coordinator *c, Worker *w);

/* The store has come back, maybe without what was written last: all workers are told and asked the same, and used
 * meanwhile. @other: it is not the same store, which has been told nothing yet: what goes on begins anew. */
void fence_all(Coordinator *c, bool other);
