/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "session/context.h"

/* Shared by context.c and channel.c only. */

/* channel.c: the socket to the driver */

/* Begins to talk. Returns 0 or -errno. */
int context_channel_open(Context *c);
/* Sends a frame. Returns 0 or -errno. */
int context_channel_send(Context *c, const char *word, const char *text);
/* The interpreter has ended: what it said before. */
void context_channel_drain(Context *c);
void context_channel_close(Context *c);

/* context.c: what the driver said */
void context_check_ready(Context *c);
void context_run_has_begun(Context *c);
void context_finish_run(Context *c, RunStatus status, int exit_code);
void context_next_run(Context *c);
/* It is about to end; it is killed when it does not. */
void context_expect_end(Context *c, usec_t patience);
