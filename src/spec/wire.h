/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"
#include "spec/calls.h"
#include "spec/limits.h"

/*
 * The private protocols. All run over SOCK_SEQPACKET between processes of one machine and one version of the
 * package, except that a new worker may meet an older spawner: SPAWN_HELLO compares WIRE_VERSION.
 *
 *   worker  <-> spawner   SpawnMessage, both ways
 *   spawner <-> zygote    ZygoteMessage, both ways
 *   worker   -> init      InitRequest and its strings; descriptors for the command's streams
 *   worker  <-  init      InitEvent: comes from inside a sandbox, trust nothing of it
 */
#define WIRE_VERSION 1U

#define IMAGE_NAME_MAX 128U /* with NUL: a folder of the images folder, [A-Za-z0-9._-]+, no leading dot */

typedef enum SpawnType {
        /* from the worker */
        SPAWN_HELLO = 1, /* @cookie: WIRE_VERSION; answer: WELCOME, a SLOT for each live sandbox, SYNCED */
        SPAWN_CREATE,    /* @cookie: not 0, @flags, @limits, @image, @calls; answer: CREATED or FAILED with it */
        SPAWN_KILL,      /* @slot, @generation; answer: ENDED. A wrong generation is ignored: it has ended */
        SPAWN_PING,      /* @cookie; answer: PONG, once the zygote answered too */
        SPAWN_KEEP,      /* @slot, @generation, @cookie: a command's number; descriptors as @flags say: kept for a worker that
                          * comes back, in place of those kept before under that number */
        SPAWN_DROP,      /* @slot, @generation, @cookie: no more */
        SPAWN_FREEZE,    /* @slot, @generation, @flags: 1 stops all its processes where they are, 0 lets them go on */
        /* from the spawner */
        SPAWN_WELCOME, /* @cookie: WIRE_VERSION; @slot: how many sandboxes fit; @flags; @text: cgroup path or "" */
        SPAWN_SLOT,    /* like CREATED, for one that was there before */
        SPAWN_KEPT, /* like KEEP, after the SLOT that it belongs to */
        SPAWN_SYNCED, /* @cookie: of the newest CREATE that it knows of; an older one that is neither there nor PENDING is
                       * lost */
        SPAWN_CREATED, /* @slot, @generation, @pid; descriptor: control socket */
        SPAWN_FAILED,  /* @error: errno; @text: what failed */
        SPAWN_ENDED,   /* @slot, @generation: the last process of it has been reaped */
        SPAWN_PONG, /* @limits.memory: bytes that the machine has available; @slot: blanks */
        SPAWN_PENDING, /* @cookie: being made. After WELCOME in the middle of a connection, which a spawner says that took
                        * the place of one that was killed: all that there is is told again */
        SPAWN_CLEARED, /* @slot, @generation: what it held has been given back too; after an ENDED that said CLEARING */
        /* from the worker, to one that CAN_FORGET */
        SPAWN_FORGET, /* images have changed: what was made ahead of them is not used any more */
        SPAWN_TYPE_MAX_,
} SpawnType;

/* Descriptors of a command, in this order; @flags of KEEP and KEPT say which there are. */
typedef enum KeptDescriptor {
        KEPT_STDOUT, /* or the master of its terminal */
        KEPT_STDERR,
        KEPT_STDIN,
        KEPT_PIPE_READ, /* between the terminal and the log */
        KEPT_PIPE_WRITE,
        KEPT_LOG_STDOUT,
        KEPT_LOG_STDERR,
        KEPT_LOG_INDEX,
        KEPT_MAX,
} KeptDescriptor;
#define KEPT_PER_SLOT_MAX 160U

#define SPAWN_KNOWS_CLEARED (1U << 0)   /* of HELLO: the worker wants to be told */
#define SPAWN_AHEAD (1U << 0)           /* of CREATE: nobody waits for it */
#define SPAWN_CLEARING (1U << 0)        /* of ENDED: files and mounts are still there, CLEARED follows */
#define SPAWN_CAN_FREEZE (1U << 1)      /* there are cgroups */
#define SPAWN_CAN_WIDEN (1U << 2)       /* CREATE may have @calls */
#define SPAWN_CAN_FORGET (1U << 3)
#define SPAWN_LIMITS_ENFORCED (1U << 0) /* memory, CPU and tasks are limited by the kernel's cgroups */

typedef struct SpawnMessage {
        uint32_t type;
        uint32_t flags;
        uint64_t cookie;
        uint64_t generation; /* counts the tenants of all slots, never repeats */
        uint32_t slot;
        int32_t error;
        uint32_t pid; /* as the spawner's pid namespace sees it */
        uint32_t calls; /* groups of system calls that are added, CALLS_... */
        Limits limits;
        char image[IMAGE_NAME_MAX];
        char text[256];
} SpawnMessage;

typedef enum ZygoteType {
        ZYGOTE_SETUP = 1, /* first of all; @text: the images folder; descriptor: the worker's user namespace */
        ZYGOTE_CREATE,    /* @cookie, @identity, @limits, @image, @calls; descriptors: control socket, netns[, cgroup] */
        ZYGOTE_NETNS,     /* makes a network namespace */
        ZYGOTE_PING,
        ZYGOTE_CHECK, /* @cookie; descriptor: a namespace that a sandbox has left, answered with it when it is as new */
        ZYGOTE_HELLO, /* from the zygote: template is ready; @identity: how many sandbox ids are mapped */
        ZYGOTE_DONE,  /* @cookie, @error, @pid, @text; descriptor: pidfd or netns */
        ZYGOTE_CLEAR, /* @cookie: has the mounts of one that ended taken down, and answers the same */
} ZygoteType;

typedef struct ZygoteMessage {
        uint32_t type;
        int32_t error;
        uint64_t cookie;
        uint32_t identity; /* which of the sandbox ids it gets, from 0 */
        uint32_t pid;
        uint32_t flags;
        uint32_t calls;
        Limits limits;
        char image[IMAGE_NAME_MAX];
        char text[256];
} ZygoteMessage;

#define ZYGOTE_NETNS_REUSABLE (1U << 0) /* it can be told whether a tenant left a trace in it: ZYGOTE_CHECK */
#define ZYGOTE_NO_CGROUP (1U << 1)      /* memory is limited for each process alone, by RLIMIT_DATA */
#define ZYGOTE_BLANK (1U << 2)          /* of CREATE: nobody's yet; @limits give the size of its files alone */

/* The first of the sandboxes' ids in the worker's user namespace, where 0 owns the images and 1 is the spawner. */
#define NAMESPACE_IMAGE_ID 0U
#define NAMESPACE_OWN_ID 1U
#define NAMESPACE_SANDBOX_ID 65536U

/* Who the payload is, inside its sandbox. */
#define SANDBOX_USER "sandboxuser"
#define SANDBOX_UID 1000U
#define SANDBOX_HOME "/home/sandboxuser"

typedef enum InitRequestType {
        INIT_EXEC = 1, /* descriptors: stdin, stdout, stderr, maybe one more for a builtin */
        INIT_SIGNAL,   /* @exec, @signal, @scope; with INIT_FLAG_STARTED the answer is SIGNALLED, if it runs */
        INIT_RESUME,   /* from a new worker; strings: @argc numbers (uint32_t) of commands that it knows; answer: GONE for
                        * each of those that does not run, then RESUMED. All others are killed */
        INIT_END,      /* kills all others, answers ENDING, and ends a moment later if it is not killed; who says so has it
                        * killed too: it may be unable to do any of that */
        INIT_LIMIT,    /* to a blank, from the spawner and before all else; strings: its tenant's Limits. No answer */
} InitRequestType;

typedef enum InitScope {
        INIT_SCOPE_GROUP,      /* the process group that the command leads */
        INIT_SCOPE_EVERYTHING, /* all processes that descend from the command */
} InitScope;

#define INIT_FLAG_STARTED (1U << 0) /* the client wants INIT_STARTED, with the pid */
#define INIT_FLAG_PTY (1U << 1)     /* a terminal of @rows and @columns is all three streams; INIT_STARTED brings its master */
/* argv[0] names a part of sandbox-init (init/builtin.h), not a program of the image; a fourth descriptor that comes with
 * it is its descriptor 3. Its exit status is 0 or an errno. */
#define INIT_FLAG_BUILTIN (1U << 2)

/* @argc and @envc strings follow, after the folder to start in, each ended by NUL: cwd argv... env... */
typedef struct InitRequest {
        uint32_t type;
        uint32_t exec; /* from 1, never repeats in one sandbox */
        uint32_t flags;
        uint32_t signal;
        uint32_t scope;
        uint32_t argc;
        uint32_t envc;
        uint32_t length; /* bytes of strings */
        uint16_t rows, columns;
        uint32_t padding;
} InitRequest;

/* One message has to fit into a socket's default send buffer (net.core.wmem_default, 212,992 bytes). */
#define INIT_STRINGS_MAX (192U * 1024U)
#define INIT_STRING_MAX (128U * 1024U) /* with NUL: execve(2) refuses a longer argument (MAX_ARG_STRLEN) */
#define INIT_ARGC_MAX 16384U
#define INIT_ENVC_MAX 1024U
#define INIT_EXECS_MAX 64U /* running at once in one sandbox */
#define INIT_RESUME_MAX 256U

typedef enum InitEventType {
        INIT_READY = 1, /* the sandbox may be used; descriptor: INIT_DATA_FLAGS of what can be written */
        INIT_BROKEN,    /* it could not be made: @error, @text names the step; it ends by itself */
        INIT_STARTED,   /* @exec, @pid; descriptor with INIT_FLAG_PTY: the master */
        INIT_REFUSED,   /* @exec, @error, @stage: the command could not be started */
        INIT_GONE,      /* @exec */
        INIT_RESUMED,   /* @exec: the highest number that was ever used; descriptor as with READY */
        INIT_EXITED,    /* @exec, @status as wait(2) gives it, @cpu_usec, @max_rss; nothing of it runs any more */
        INIT_SIGNALLED, /* @exec: the signal has been sent */
        INIT_ENDING,    /* after END: no other process is left, and this one ends next */
        INIT_EVENT_MAX_,
} InitEventType;

/* Of the descriptor by which the worker learns how full a sandbox's file system is: it opens nothing. */
#define INIT_DATA_FLAGS (O_PATH | O_DIRECTORY | O_CLOEXEC)

typedef enum InitStage {
        INIT_STAGE_FORK = 1,
        INIT_STAGE_CWD,
        INIT_STAGE_EXECVE,
        INIT_STAGE_LIMIT, /* more than INIT_EXECS_MAX */
        INIT_STAGE_TERMINAL,
        INIT_STAGE_STOPPED, /* it was kept from executing the program for too long */
        INIT_STAGE_MAX_,
} InitStage;

typedef struct InitEvent {
        uint32_t type;
        uint32_t exec;
        int32_t pid; /* inside */
        int32_t status;
        int32_t error;
        uint32_t stage;
        uint64_t cpu_usec;
        uint64_t max_rss; /* bytes */
        char text[64];
} InitEvent;
