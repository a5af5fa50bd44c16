/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "error/error.h"

/* May @fd, which a caller sent, be stream @stream (0, 1 or 2) of a command? Returns 0 or -errno with @error set. */
int bus_stream_check(int fd, unsigned stream, Error *error);
