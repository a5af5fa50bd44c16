/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "base/clock.h"

/* Workers of this machine on the system bus, where root needs no key and polkit is asked about others. */

/* Calls a method of worker @name that answers nothing, with the number @argument if it is not NULL.
 * @ret: how the worker is afterwards, in the words of its HTTP interface; new reference.
 * Returns 0; -ENOTCONN when there is no bus, or no such worker on it, or the bus lets the caller send it nothing; else
 * -errno after an error was printed. */
int worker_bus_call(const char *name, const char *method, const uint32_t *argument, usec_t timeout, json_t **ret);
