/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "base/macro.h"

/* Connections that end with an answer while the client still sends. What it sends is dropped for a while: closed at
 * once, the kernel would tell it that the connection is broken, and it would not see the answer. */

typedef struct HttpLinger HttpLinger;

int http_linger_new(sd_event *event, HttpLinger **ret);
HttpLinger *http_linger_free(HttpLinger *l);
DEFINE_CLEANUP(HttpLinger, http_linger_free);

/* @fd is about to be closed by its owner. */
void http_linger_add(HttpLinger *l, int fd);
