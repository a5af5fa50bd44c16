/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spawner/cgroup.h"
#include "spawner/slot.h"

/*
 * The spawner: the long-lived holder of one worker's sandboxes. It keeps their descriptors while workers come and go,
 * has the zygote make them, puts them into their cgroups and kills them. It reads nothing but fixed-size messages of
 * the worker and of the zygote, has no capability, and never makes a namespace itself.
 */

#define SPARE_NETNS_MAX 8U

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
        int listener; /* owned; -EBADF when the one worker is connected from the start */
        int worker;   /* owned; -EBADF: no worker now */
        int signals;
        int userns;            /* owned: the worker's user namespace */
        bool exit_with_worker; /* without a service manager there is none to come back */
        bool stopping;
        bool worker_said_hello;
        bool syncing; /* tells the worker about the slots, one after another as it reads */
        uint32_t sync_slot, sync_kept;
        Outgoing *outgoing, **outgoing_tail;
        unsigned n_outgoing;

        int zygote; /* owned: socket */
        int zygote_pidfd;
        int program; /* owned: sealed copy of our own executable, so that no sandbox sees an inode of the host */
        bool zygote_ready;
        unsigned zygote_failures; /* in a row, before it was ready */
        unsigned netns_pending;
        unsigned n_making; /* slots that wait or start */

        uint32_t first_waiting, last_waiting; /* slots that wait for a namespace */
        struct {
                int fd;
                bool reusable;
        } spares[SPARE_NETNS_MAX];
        unsigned n_spares;

        SlotTable table;
        CgroupTree cgroup;
        char images[256];
        char name[72];  /* of the worker */
        char path[256]; /* of the program, to execute it anew */
        bool handover_wanted;
        bool resumed; /* from a former program in this process */
} Spawner;

#define SPAWNER_INIT                                                                                                   \
        {                                                                                                              \
                .epoll = -EBADF, .listener = -EBADF, .worker = -EBADF, .signals = -EBADF, .userns = -EBADF,            \
                .zygote = -EBADF, .zygote_pidfd = -EBADF, .program = -EBADF, .first_waiting = SLOT_NONE,               \
                .last_waiting = SLOT_NONE, .cgroup = CGROUP_TREE_INIT,                                                 \
        }

/* Runs until it is told to stop; @s is prepared: listener or worker, userns, cgroup, images.
 * Kills all sandboxes before it returns. Returns 0 or -errno, after a line on stderr. */
int spawner_run(Spawner *s);

/* One line for the log, which the service manager reads from stderr; @priority as in syslog(3). */
void spawner_log(int priority, const char *format, ...) _printf_(2, 3);
