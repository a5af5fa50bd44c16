/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* For commands that must clean up before SIGINT, SIGTERM or SIGHUP end them: counts those signals instead.
 * Without interrupt_catch() they end the program at once, as ever. Returns 0 or -errno. */
int interrupt_catch(void);

unsigned interrupt_count(void);
int interrupt_signal(void); /* the first one, 0 for none */

/* Readable when a signal came since the last interrupt_drain(); -EBADF when nothing is caught. */
int interrupt_fd(void);
void interrupt_drain(void);

/* Also tells of a new size of the terminal (SIGWINCH, SIGCONT) and of being asked to stop (SIGTSTP), which then does
 * not happen by itself. To be called after interrupt_catch(). */
void interrupt_catch_terminal(void);

/* Did that happen since the last call? */
bool interrupt_resized(void);
bool interrupt_stopped(void);

/* Ends the program the way the first caught signal would have, so that a calling shell sees it; returns when there
 * was none. */
void interrupt_die(void);
