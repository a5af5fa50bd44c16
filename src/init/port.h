/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "init/builtin.h"

/* Sockets for connections to servers of the sandbox, handed out: spec/port.h. */
Builtin builtin_connect, builtin_sockets;
