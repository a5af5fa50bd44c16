/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "bus/call.h"

/* Asks polkit whether the caller may do @action; @done is never called from within. Returns 0 or -errno. */
int bus_authorize(BusCall *c, const BusAction *action, BusAuthorized *done);
