/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sample.h"

/* A small process that starts programs without any isolation, so that the caller's size does not count. */
typedef struct Bare {
        int sock;
} Bare;

/* @root: the folder that is its root, or NULL for the host's. */
void bare_start(Bare *b, const char *root);

/* Starts a program by posix_spawn and waits for its end. Ends the benchmark when it fails. Returns microseconds. */
double bare_run(Bare *b, const char *const *argv);

/* The same over and over for a while; @workers processes at once. Returns how many a second. */
double bare_rate(const char *root, unsigned workers, double seconds, const char *const *argv);
