/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "runtime/sandbox.h"

/* Where sandboxes come from. Nothing above this folder knows which one it is. */

typedef struct BackendUsage {
        uint64_t memory;   /* bytes */
        uint64_t cpu_usec; /* since the sandbox was new */
        uint64_t pids;
        uint64_t oom_kills;    /* since it was new */
        uint64_t pids_refused; /* times that its limit of tasks was hit, since it was new */
} BackendUsage;

typedef enum BackendStatus {
        BACKEND_CONNECTING,
        BACKEND_READY,
        BACKEND_LOST, /* it was ready and is being connected again */
} BackendStatus;

typedef struct BackendOps {
        const char *name;

        /* Asks for a sandbox. The owner is told by @s's notify: READY, or ENDED with error set; never from within.
         * Returns 0 or -errno (-ENOTCONN: not connected, -EAGAIN: busy). */
        int (*start)(Backend *b, Sandbox *s);

        /* Ends it; the owner is told DYING, EMPTY or ENDED later. Process 1 may be given a moment to say that all others
         * have ended, until this is called once more. */
        void (*kill)(Backend *b, Sandbox *s);

        /* What it uses now. Returns 0 or -EOPNOTSUPP where nothing is counted. */
        int (*usage)(Backend *b, const Sandbox *s, BackendUsage *ret);

        /* Keeps descriptors (borrowed) of the command @number for a worker that comes back, or drops them (@n_fds 0).
         * May be NULL: then nothing outlives this worker. */
        void (*keep)(Backend *b, const Sandbox *s, uint32_t number, uint32_t flags, const int *fds, size_t n_fds);

        /* Stops all processes of it where they are, or lets them go on. */
        void (*freeze)(Backend *b, const Sandbox *s, bool freeze);

        /* Images have changed: what it made ahead of them may go. May be NULL. */
        void (*forget)(Backend *b);

        /* Asks whether it is alive: @last_answer changes when it answers. May be NULL. */
        void (*ping)(Backend *b);

        /* The folder of its cgroup as the host sees it. Returns 0 or -ENOENT. */
        int (*cgroup)(Backend *b, const Sandbox *s, char *buf, size_t size);

        Backend *(*free)(Backend *b);
} BackendOps;

/* Called when the status changes, and when there is room again: after start() returned -EAGAIN, or one less is being
 * cleared. */
typedef void BackendNotify(Backend *b, void *userdata);

/* How a new worker takes over what a former one left. All may be NULL. */
typedef struct BackendHeir {
        /* Whose is the sandbox @s, which is not usable yet? Sets its owner and returns true to keep it; it is told
         * READY later. Otherwise it is ended. */
        bool (*adopt)(Sandbox *s, void *userdata);
        /* Descriptors that were kept for the command @number of an adopted one; those taken are set to -EBADF. */
        void (*kept)(Sandbox *s, uint32_t number, uint32_t flags, int fds[static KEPT_MAX], void *userdata);
        /* All have been told. */
        void (*done)(void *userdata);
        void *userdata;
} BackendHeir;

struct Backend {
        const BackendOps *ops;
        BackendStatus status;
        bool limits_enforced;  /* memory, CPU and tasks */
        bool can_freeze;
        unsigned capacity;     /* most sandboxes at once */
        unsigned n_clearing;   /* have ended, but their files are still being given back: they count until then */
        usec_t last_answer;    /* monotonic: when it last answered a ping */
        uint64_t memory_available; /* bytes of the machine, as it said then; 0: not known */
        unsigned n_blanks;         /* what it had made ahead by itself then */
        BackendNotify *notify; /* may be NULL */
        void *userdata;
        BackendHeir heir;
};

static inline void backend_kill(Backend *b, Sandbox *s) {
        b->ops->kill(b, s);
}

static inline void backend_forget(Backend *b) {
        if (b->ops->forget)
                b->ops->forget(b);
}

static inline Backend *backend_free(Backend *b) {
        return b ? b->ops->free(b) : NULL;
}
DEFINE_CLEANUP(Backend, backend_free);

/* Makes a new sandbox for the owner behind @notify. @ret: new reference. Returns 0 or -errno. */
int backend_start(Backend *b, const SandboxSpec *spec, SandboxNotify *notify, void *userdata, Sandbox **ret);

/* The native backend: a spawner behind the socket at @path, or on the connected socket @fd (taken) when @path is NULL.
 * Connects in the background, and again when the connection is lost. */
int native_new(sd_event *event, const char *path, int fd, BackendNotify *notify, void *userdata, Backend **ret);
