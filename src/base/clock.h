/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/* All times are microseconds. Deadlines count on CLOCK_MONOTONIC; wall clock time is only ever shown. */
typedef uint64_t usec_t;

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_INFINITY UINT64_MAX

usec_t clock_monotonic(void);
usec_t clock_realtime(void);

/* Tests move time instead of sleeping: both clocks show real time plus @offset. */
void clock_shift_for_test(usec_t offset);
