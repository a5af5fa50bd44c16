/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"

/* Stands in for the system's clock, also for sd-event and its timers: time passes only when the test says so. For a
 * test that links fake-clock.c. */

/* Lets @usec pass. Timers that are due then go off in the turns of the loop that follow. */
void fake_clock_pass(usec_t usec);
