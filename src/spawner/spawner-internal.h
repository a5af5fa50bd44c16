/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spawner/spawner.h"

/* Shared by spawner.c, link.c, making.c, blank.c, ending.c and resume.c only. */

typedef enum Source {
        SOURCE_LISTENER,
        SOURCE_WORKER,
        SOURCE_SIGNALS,
        SOURCE_SUPERVISOR,
        SOURCE_ZYGOTE,
        SOURCE_ZYGOTE_PIDFD,
        SOURCE_SLOT
} Source;

/* spawner.c */
int spawner_watch(Spawner *s, int fd, Source source, uint32_t index);
void spawner_watch_slot(Spawner *s, const Slot *slot);

/* link.c: the worker's connection */
void link_accept(Spawner *s);
void link_drop(Spawner *s);
void link_event(Spawner *s);
/* It reads again. */
void link_flush(Spawner *s);
/* It is told anew all that there is, since the former process may have kept something for it. */
void link_repeat(Spawner *s);
/* The zygote is ready: a worker that said hello before is told what there is. */
void link_ready(Spawner *s);
void link_send(Spawner *s, const SpawnMessage *m, int fd); /* @fd: borrowed or -EBADF */
void link_send_failed(Spawner *s, uint64_t cookie, int error, const char *text);
SpawnMessage link_slot_message(const Spawner *s, const Slot *slot, SpawnType type);

/* making.c: sandboxes and the zygote */
int making_start_zygote(Spawner *s);
int making_zygote_lost(Spawner *s);
void making_event(Spawner *s);
void making_create(Spawner *s, const SpawnMessage *m);
/* Returns 0 or -errno, -EAGAIN when it is not ready or has enough to do. */
int making_tell_zygote(Spawner *s, ZygoteMessage *m, const int *fds, size_t n_fds);
void making_ping(Spawner *s, uint64_t cookie);
void making_place(Spawner *s, Slot *slot);
/* Has the sandbox of @slot, which is half made, made from the start. */
void making_again(Spawner *s, Slot *slot);
/* Is anything on its way? */
bool making_is_busy(const Spawner *s);

/* ending.c: the end of sandboxes */
void ending_kill(Spawner *s, Slot *slot);
/* Its last process is gone. Its mounts go now, and its files with them; until then nobody has its place. */
void ending_reaped(Spawner *s, Slot *slot);
/* What it held is gone, or is not waited for: the slot is free. */
void ending_cleared(Spawner *s, Slot *slot);
/* The zygote may have room again for what it could not be told. */
void ending_clear_again(Spawner *s);

/* Gives up namespaces and leaves of slots that nobody needed for some time. Returns for how many ms there is nothing to
 * do, -1: until something happens. */
int ending_trim(Spawner *s);
/* There may be such, after some time. */
void ending_trim_later(Spawner *s);

/* resume.c: takes up what a former process or program left, if anything. Returns 0 or -errno. */
int resume_state(Spawner *s);
