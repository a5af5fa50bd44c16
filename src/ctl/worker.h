/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* May a worker have this name? Prints an error when not. */
bool worker_check_name(const char *name);
