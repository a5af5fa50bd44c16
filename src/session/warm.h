/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "pool/pool.h"
#include "session/language.h"
#include "session/session.h"
#include "spec/image.h"

/* Interpreters that are started in the sandboxes of the pool, so that the first code of a session need not wait for
 * one. */

typedef struct Warmth {
        const Language *language;
        ImageConfig *config; /* owned: what the image says of commands, or NULL */
} Warmth;

/* @with: the Warmth. */
PoolPrepare warm_prepare;

/* Gives @s what waits in its sandbox. */
void warm_hand_over(Session *s);
