/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/exchange.h"

/* Another protocol, such as a WebSocket, through the coordinator: bytes both ways, not looked at. */

/* The worker has agreed: the client is told, and from then on @x is the tunnel's. */
void tunnel_begin(Exchange *x);
