/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spawner/blank.h"
#include "spawner/cgroup.h"
#include "spawner/state.h"

/*
 * The spawner: the long-lived holder of one worker's sandboxes. It keeps their descriptors while workers come and go,
 * has the zygote make them, puts them into their cgroups and kills them. It reads nothing but fixed-size messages of
 * the worker and of the zygote, has no capability, and never makes a namespace itself.
 */

#define OUTGOING_MAX 4096U

/* A message that waits until the worker reads. */
typedef struct Outgoing Outgoing;
struct Outgoing {
        Outgoing *next;
        SpawnMessage message;
        int fd; /* owned or -EBADF */
};

typedef struct Spawner {
        int epoll;
        int signals;
        int supervisor;  /* owned: a pidfd, -EBADF when there is none */
        State state;     /* what another process goes on with */
        StateHead *held; /* its head; a worker in it that is -EBADF: there is none now */
        bool stopping;
        bool execute_wanted;
        bool orphan; /* the supervisor was killed */
        bool syncing; /* tells the worker about the slots, one after another as it reads */
        bool repeating; /* to one that knows most of it, after this process followed one that was killed */
        uint32_t sync_slot, sync_kept;
        uint64_t sync_cookie; /* the last that the worker had asked for when that began */
        Outgoing *outgoing, **outgoing_tail;
        unsigned n_outgoing;

        int zygote; /* owned: socket */
        int zygote_pidfd;
        int program; /* owned: sealed copy of our own executable, so that no sandbox sees an inode of the host */
        bool zygote_ready;
        unsigned zygote_failures; /* in a row, before it was ready */
        unsigned netns_pending;
        unsigned n_making; /* slots that wait or start */
        bool watch_again;  /* there are some whose end would go unnoticed */
        bool clear_again;  /* there are some of which the zygote could not be told */
        unsigned n_clearing; /* slots whose tenant has ended, but not yet what it held */
        usec_t trim_due;     /* when free slots are looked at, 0: they keep little */

        uint32_t first_waiting, last_waiting; /* slots that wait for a namespace */
        SlotTable table;
        Blanks blanks;
        CgroupTree cgroup;
        char images[256];
        char name[72];  /* of the worker */
        char path[256]; /* of the program, to execute it anew */
        bool resumed;   /* from a former process or program */
        bool recovered; /* which was killed: what it was doing last may come again */
} Spawner;

#define SPAWNER_INIT                                                                                                   \
        {                                                                                                              \
                .epoll = -EBADF, .signals = -EBADF, .supervisor = -EBADF, .state = STATE_INIT, .zygote = -EBADF,       \
                .zygote_pidfd = -EBADF, .program = -EBADF, .first_waiting = SLOT_NONE,               \
                .last_waiting = SLOT_NONE, .cgroup = CGROUP_TREE_INIT,                                                 \
        }

/* Runs until it is told to stop, or to make way for another program; @s is prepared: state with listener or worker and
 * userns, cgroup, images. Unless it makes way it kills all sandboxes before it returns, and says in the state what it
 * ended for. Returns 0 or -errno, after a line on stderr. */
int spawner_run(Spawner *s);

/* One line for the log, which the service manager reads from stderr; @priority as in syslog(3). */
void spawner_log(int priority, const char *format, ...) _printf_(2, 3);
