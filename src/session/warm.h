/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool/pool.h"
#include "session/session.h"

/* Interpreters that are started in the sandboxes of the pool, so that the first code of a session need not wait for
 * one. */

/* @with: the Language. */
PoolPrepare warm_prepare;

/* Gives @s what waits in its sandbox. */
void warm_hand_over(Session *s);
