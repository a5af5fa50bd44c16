/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/*
 * The stack of the zygote, and with that of process 1 of each sandbox. The one that the kernel gives a program lies far
 * from all else, where it would take a table of pages of each level in every sandbox; this one lies beside the program.
 *
 * With the first one go what lies there too: arguments and environment, and the pages by which libc tells the time, and in
 * newer versions random numbers, without a call. Neither process 1 nor what it does itself may have libc do that.
 */

/* Goes on with @run, which does not return, on such a stack. What the kernel made first is the zygote's alone then: no
 * process that it makes has it. Returns -errno when there is no memory. */
int stack_move(void (*run)(void));

/* The same on the stack that there is, from its upper end: what has been written to it is not needed any more. */
int stack_begin_again(void (*run)(void));

/* Gives back all of it but the upper page: for what @run is, or little more. */
void stack_give_back(void);
