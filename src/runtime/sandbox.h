/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "spec/limits.h"
#include "spec/wire.h"

/* A sandbox as the worker sees it: a control socket to its process 1, and what its backend knows. */

typedef enum SandboxState {
        SANDBOX_STARTING,
        SANDBOX_READY, /* waits, or is a session's */
        SANDBOX_DYING, /* no command can be run any more, processes may still be there */
        SANDBOX_EMPTY, /* nothing of it runs but process 1, which says so and is about to end; not all come by here */
        SANDBOX_ENDED, /* nothing of it is there */
} SandboxState;

typedef struct Sandbox Sandbox;
typedef struct Backend Backend;
typedef struct SandboxJob SandboxJob;

typedef struct SandboxSpec {
        char image[IMAGE_NAME_MAX]; /* a folder's name */
        Limits limits;
        uint32_t calls; /* groups of system calls that are added, CALLS_... */
        bool ahead;     /* nobody waits for it */
} SandboxSpec;

/* Called on each change of state but SANDBOX_STARTING; the owner may drop its reference in it. */
typedef void SandboxNotify(Sandbox *s, void *userdata);

/* A command that runs in a sandbox: gets the events of process 1 that are about it, checked for their form. */
struct SandboxJob {
        uint32_t number; /* given by sandbox_run() */
        bool has_started;
        /* may be NULL. @fd: descriptor that came with it, or -EBADF; closed afterwards unless taken out */
        void (*started)(SandboxJob *j, const InitEvent *e, int *fd);
        void (*signalled)(SandboxJob *j); /* by sandbox_signal_told(); may be NULL */
        void (*refused)(SandboxJob *j, const InitEvent *e);
        void (*exited)(SandboxJob *j, const InitEvent *e);
        void (*lost)(SandboxJob *j); /* the sandbox died under it */
        LIST_ENTRY(SandboxJob) entry;
};

struct Sandbox {
        unsigned n_ref;
        Backend *backend; /* borrowed, outlives it */
        SandboxState state;
        SandboxSpec spec;
        bool resuming; /* taken over from a former worker: process 1 has to be asked what still runs */
        bool resume_asked;
        bool pending; /* asked for, and known to a spawner that took the place of another */
        int error;     /* why it could not be made, negative */
        char error_text[128];
        bool end_asked;  /* process 1 was asked to end */
        bool end_wanted; /* it is to end */
        bool end_told;   /* and its backend has been told */
        bool frozen;

        SandboxNotify *notify;
        void *userdata;

        int control; /* owned */
        int data;    /* owned: a folder of its writable file system, opened with O_PATH, or -EBADF */
        sd_event_source *control_source;
        uint32_t last_number;
        uint64_t n_requests, n_events; /* what process 1 was asked for, and what it told */
        LIST_HEAD(, SandboxJob) jobs;
        unsigned n_jobs;

        /* owned, or NULL: something of a higher layer that lives as long as it is ready */
        void *companion;
        void (*companion_free)(void *companion);

        /* the backend's */
        uint64_t cookie;
        uint32_t slot;
        uint64_t generation;
        pid_t pid;
        LIST_ENTRY(Sandbox) entry, asked;

        /* counters of the cgroup leaf when the sandbox was new: the leaf had other tenants before */
        uint64_t base_cpu_usec;
        uint64_t base_oom_kills;
        uint64_t base_pids_refused;
        /* those that a command's end has been explained with */
        uint64_t seen_oom_kills;
        uint64_t seen_pids_refused;
};

Sandbox *sandbox_ref(Sandbox *s);
Sandbox *sandbox_unref(Sandbox *s);
DEFINE_CLEANUP(Sandbox, sandbox_unref);

/* A new one in state STARTING, for backends. */
Sandbox *sandbox_new(Backend *backend, const SandboxSpec *spec, SandboxNotify *notify, void *userdata);

/* Gives it to another owner. */
void sandbox_set_owner(Sandbox *s, SandboxNotify *notify, void *userdata);

/* For backends: process 1 is there, @control (taken) leads to it. */
int sandbox_attach(Sandbox *s, sd_event *event, int control);

/* For backends: it may have said something already. The owner may be told from within. */
void sandbox_listen(Sandbox *s);

/* For backends: moves on to @state (never back) and tells the owner. */
void sandbox_set_state(Sandbox *s, SandboxState state);

/* Is it ready and process 1 alive now? Asks the kernel, not only what has been told. */
bool sandbox_is_alive(const Sandbox *s);

/* Runs a command. @request is filled but for type and number, @strings as it says; @streams: stdin, stdout, stderr, or
 * none for a terminal, borrowed. On success @j is linked to the sandbox until refused, exited or lost is called.
 * Returns 0, -ENOTCONN when it is not ready, -EMFILE when INIT_EXECS_MAX run, or -errno. */
int sandbox_run(
        Sandbox *s, SandboxJob *j, InitRequest *request, const char *strings, const int *streams, size_t n_streams);

/* How many bytes its writable files take up. Asks the kernel alone: it never waits for what is inside, and is told of
 * one that stands still too. Returns 0, or -ENODATA where that is not known. */
int sandbox_disk_used(const Sandbox *s, uint64_t *ret);

/* Stops all of it, process 1 included, or lets it go on. */
void sandbox_freeze(Sandbox *s, bool freeze);

/* For backends that are about to kill it: asks process 1 to end all others. Returns whether it may do so. When it has
 * said that it did, or cannot be heard any more, the backend's kill() is called again; it need not come to that. */
bool sandbox_end(Sandbox *s);

/* Sends a signal to what @j started. Returns 0 or -errno. */
int sandbox_signal(Sandbox *s, const SandboxJob *j, int signal, InitScope scope);

/* The same, and signalled() is called once it has been sent. */
int sandbox_signal_told(Sandbox *s, const SandboxJob *j, int signal, InitScope scope);

/* Asks process 1 of one that was taken over which of its jobs still run; READY follows. Jobs were linked before with
 * sandbox_expect(). */
int sandbox_resume(Sandbox *s);
/* A command that a former worker started under @number. */
void sandbox_expect(Sandbox *s, SandboxJob *j, uint32_t number);

/* The job wants no more events. */
void sandbox_forget(Sandbox *s, SandboxJob *j);
