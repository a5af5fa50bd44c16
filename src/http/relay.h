/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "base/macro.h"

/* Bytes between two stream sockets, both ways, as fast as the slower one takes them. */

typedef struct Relay Relay;

/* Called once, from the loop, when one of them is gone: @userdata frees the relay. */
typedef void RelayEnded(Relay *r, void *userdata);

/* @client, @server: borrowed, closed by the caller after relay_free(). Returns 0 or -ENOMEM. */
int relay_new(sd_event *event, int client, int server, RelayEnded *ended, void *userdata, Relay **ret);
Relay *relay_free(Relay *r);
DEFINE_CLEANUP(Relay, relay_free);

/* Before it begins: bytes that have come already. @to_client: which way they go. Returns 0 or -ENOMEM. */
int relay_add(Relay *r, bool to_client, const void *data, size_t size);
/* Begins. Returns 0 or -errno. */
int relay_begin(Relay *r);
