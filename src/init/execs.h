/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <poll.h>
#include <sys/types.h>

#include "base/clock.h"
#include "spec/wire.h"

/* The commands that run in a sandbox, as process 1 knows them. */

typedef struct Exec {
        uint32_t number; /* 0: free */
        pid_t pid;
        bool builtin;       /* has no children */
        bool wants_started; /* to be told */
        bool ended;
        int report;         /* owned; until it has begun, else -EBADF */
        int master;         /* owned; of its terminal, until it has begun */
        usec_t looked, waited; /* when it was last looked whether it has begun, and how long it has not */
        int status;
        uint64_t cpu_usec;
        uint64_t max_rss;
} Exec;

/* The one of this number, or NULL; 0: a free place. */
Exec *execs_find(uint32_t number);
/* All of them, and free places between them: INIT_EXECS_MAX. */
Exec *execs_at(size_t i);
unsigned execs_count(void);
uint32_t execs_last_number(void);

/* Takes up @new, whose process was started, in the free place @e. */
void execs_add(Exec *e, const Exec *new);
/* A process is about to be started. */
void execs_expect(void);
/* Is there no process but this one? Asks the kernel, which knows better than we do what is left of commands that ended:
 * all processes of the namespace descend from this one, so that there are none when it has no child. */
bool execs_are_none(void);

/* Learns whether the program is executed. Of a command that failed nothing is known any more after that. */
void execs_look(Exec *e);
/* What readiness of @p for reading changes. Returns how many there are; @p has room for INIT_EXECS_MAX. */
nfds_t execs_poll(struct pollfd *p);
/* Milliseconds until execs_look_after() is to be called, -1: for ever. */
int execs_patience(void);
/* The payload may stop what begins, again and again: then it does not begin. */
void execs_look_after(void);

/* Children have ended: reaps them, kills what they left behind, and tells. */
void execs_reap(void);

/* Kills all processes but this one, for good. Returns whether there is none any more. */
bool execs_end_all(void);

/* Has the memory for them there. */
void execs_warm_up(void);
