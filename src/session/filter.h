/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "base/macro.h"

/* The program for archives, as a child process between this one and a sandbox. */

typedef struct Filter Filter;

/* Called once, when it has ended. */
typedef void FilterEnded(Filter *f, void *userdata);

struct Filter {
        int pidfd; /* owned; -EBADF: there is none, or it has ended */
        int text;  /* owned: what it says before it ends */
        sd_event_source *source;
        FilterEnded *ended;
        void *userdata;
        int status;       /* its exit status, -1 while it runs or when it was killed */
        char reason[401]; /* why it refuses an archive, or "" */
};

#define FILTER_EMPTY                                                                                                   \
        { .pidfd = -EBADF, .text = -EBADF, .status = -1 }
#define FILTER_REFUSED 2 /* @status: the archive cannot be used, @reason says why */

/* @argv: ended by NULL, [0] is its path. @in, @out: borrowed. Returns 0 or -errno. */
int filter_start(
        Filter *f, sd_event *event, const char *const *argv, int in, int out, FilterEnded *ended, void *userdata);

/* Has it ended, and how? Asks now, ended() is not called any more then. */
bool filter_is_over(Filter *f);

void filter_kill(Filter *f);

/* Kills and forgets it: ended() is not called. */
void filter_clear(Filter *f);
