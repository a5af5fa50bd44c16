/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "session/session.h"
#include "spec/port.h"

/*
 * Connections to servers inside a session, which has no network: sandbox-init opens them there and hands them out
 * (spec/port.h). What they lead to is hostile like everything else inside.
 */

typedef struct PortDial PortDial;

/* Called once, from the loop, with sockets (taken; -EBADF: none), or with @result below 0 and @error set. The dial is
 * gone then. */
typedef void PortDone(int result, int socks[static PORT_SOCKETS_MAX], Error *error, void *userdata);

/* Opens a connection to @port, which is the first socket; with @port 0 gets unconnected ones, for IPv4 and for IPv6.
 * Returns 0 or -errno with @error set (-EOWNERDEAD: the session has ended). */
int port_dial(Session *s, uint16_t port, PortDone *done, void *userdata, PortDial **ret, Error *error);
/* Gives it up: nobody is called. NULL is accepted; returns NULL. */
PortDial *port_dial_free(PortDial *d);
DEFINE_CLEANUP(PortDial, port_dial_free);

/* Is @fd what it is said to be: a TCP socket of @family (0: any) that is connected to @port on a loopback interface, or
 * to nothing when @port is 0? Is it closed at once, without lingering? Returns 0, -EBADMSG, or -ECONNRESET when it was
 * connected and is no more. */
int port_check(int fd, int family, uint16_t port);

/* Someone who keeps a connection of a session; it has to be closed when the session ends, since it holds the sandbox's
 * network. Lies in what has it, zero-initialised. */
struct PortUse {
        Session *session;          /* borrowed while it is linked, else NULL */
        void (*ended)(PortUse *u); /* unlinked before it is called */
        LIST_ENTRY(PortUse) entry;
};

#define PORT_USES_MAX 128U /* of a session */

/* Returns 0, or -EDQUOT with @error set. */
int port_use(Session *s, PortUse *u, Error *error);
void port_use_end(PortUse *u);
/* Of a session that ends: tells all. */
void port_uses_end(Session *s);
