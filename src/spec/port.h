/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/*
 * Connections to servers inside a sandbox. A socket is of the network that it was made in, so these builtins of
 * sandbox-init make them; descriptor 3 is a SOCK_SEQPACKET socket, and one message comes over it, a byte and with it
 *
 *   connect PORT     a TCP socket that is connected to PORT on the sandbox's loopback interface
 *   sockets          two TCP sockets to connect with: for IPv4 and, where the kernel has it, for IPv6
 *
 * The exit status is 0 or an errno.
 */
#define PORT_SOCKETS_MAX 2U

#define PORT_DIGITS_MAX 5U

/* Reads the number of a port in the one way of writing it: digits alone, no leading zero. Returns 0 or -EINVAL. */
int port_parse(const char *text, uint16_t *ret);
