/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "runtime/backend.h"

/* Shared by native.c, native-link.c, native-answer.c and native-usage.c only. */

typedef struct Native {
        Backend backend;
        sd_event *event; /* borrowed */
        char *path;      /* owned; NULL: there is one connection only */
        int sock;        /* owned */
        sd_event_source *io, *retry, *patience, *idle;
        bool synced;
        bool can_widen;   /* what connects knows of groups of system calls */
        bool can_forget;  /* and of images that change */
        bool forget_wanted;
        bool room_wanted; /* somebody could not ask for a sandbox: the spawner does not read fast enough */
        uint64_t last_cookie;
        char cgroup[256];
        LIST_HEAD(, Sandbox) sandboxes; /* all that have not ended, newest first; each with a reference */
        LIST_HEAD(, Sandbox) asked;     /* of them: those whose process 1 was asked to end, and the spawner not yet */
        Sandbox **slots;                /* owned: the same by slot, borrowed */
        uint32_t n_slots;
} Native;

static inline Native *native(Backend *b) {
        return CONTAINER_OF(b, Native, backend);
}

/* native.c */
void native_set_status(Native *n, BackendStatus status);
/* @error: why, when it is not ready yet. */
void native_end(Sandbox *s, int error, const char *text);
/* One that is nobody's. When it cannot be told the connection begins anew, which names it again. */
int native_kill_slot(Native *n, uint32_t slot, uint64_t generation);
/* Says that @s is to end: now, or as soon as the spawner reads on, or is back. */
void native_tell_end(Native *n, Sandbox *s);
void native_forget(Backend *b);

/* native-link.c: the connection to the spawner */
int native_link_send(Native *n, const SpawnMessage *m);
int native_link_connect(Native *n);
/* Begins with the socket that is there. */
int native_link_hello(Native *n);

/* native-answer.c: what the spawner says. Returns 0, or -errno when the connection is to end. @fds: those taken are set
 * to -EBADF. */
int native_answer_handle(Native *n, const SpawnMessage *m, int *fds, size_t n_fds);

/* native-usage.c */
int native_cgroup(Backend *b, const Sandbox *s, char *buf, size_t size);
int native_usage(Backend *b, const Sandbox *s, BackendUsage *ret);
