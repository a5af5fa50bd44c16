/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/wire.h"

/*
 * sandbox-init: the zygote of a worker's sandboxes and, cloned from it, process 1 of each sandbox. One static program,
 * started by the spawner as INIT_PROCESS_NAME with the socket to it as descriptor INIT_ZYGOTE_FD.
 */
#define INIT_PROCESS_NAME "sandbox-init"
#define INIT_ZYGOTE_FD 3
#define INIT_CONTROL_FD 3 /* in process 1: its control socket, towards the worker */
#define INIT_PROC_FD 4    /* in process 1: the folder /proc of the sandbox */
#define INIT_CHILDREN_FD 5 /* in process 1: tells of children that ended */

/* The zygote's main function. Ends with its socket. Returns the exit status. */
int zygote_main(void);

/* Where the zygote's own root keeps what sandboxes are made of; nothing of the host is below it. */
#define TEMPLATE_IMAGES "/images"
#define TEMPLATE_SKELETON "/skeleton"
#define TEMPLATE_DEV "/dev"
#define TEMPLATE_PROC "/proc"
#define TEMPLATE_NEW "/new"   /* mount point: the root of a sandbox while it is furnished */
#define TEMPLATE_DATA "/data" /* mount point: the writable files of a sandbox */
#define TEMPLATE_QUEUES "/queues" /* mount point: its message queues */

/* The devices of a sandbox, ended by NULL: names below /dev. */
extern const char *const template_devices[];

/* Builds that root and enters it; the caller is uid 0 of the worker's user namespace, alone in a mount namespace.
 * @ret_what: on failure what failed. Returns 0 or -errno. */
int template_enter(const char *images, const char **ret_what);

/* Which files of /proc have to be covered on this kernel: those that are there, and that not the host's root alone may
 * open. Terminated by NULL. Set by template_enter(). */
extern const char *const *masked_files;
extern const char *const *masked_folders;
extern const char *const *readonly_paths;

/* Resource limits that are the same in all sandboxes, which inherit them from the zygote: the filter keeps one of them
 * from being changed. Returns 0 or -errno. */
int birth_limit_all(void);
/* Those of one sandbox; @flags: ZYGOTE_NO_CGROUP. Only ever lowered. Returns 0 or -errno. */
int birth_limit(const Limits *l, uint32_t flags);

/* What a new sandbox is told; lives on the zygote's stack. */
typedef struct Birth {
        uint32_t identity;
        uint32_t flags;
        uint32_t calls; /* groups of system calls that it has beyond those of all, CALLS_... */
        Limits limits;
        const char *image;
        int control; /* the control socket */
        int rules;   /* of Landlock, while it is furnished */
} Birth;

/* Furnishes the namespaces that the calling process was cloned into and drops all rights, step by step; goes on as
 * process 1. Tells the worker what failed and ends, otherwise never returns. */
_noreturn_ void birth_run(Birth *b);

/* Process 1: starts and reaps commands until its control socket is shut down. @flags: of the request that it was made
 * for; that of a blank begins with the limits of its tenant. */
_noreturn_ void init_run(uint32_t flags);

/* Seccomp: the allow list with tests of arguments, which still has what the zygote needs itself, and the lock that
 * takes that away, and all groups that are not in @calls. Both return 0 or -errno. */
int filter_install_allowed(void);
int filter_install_lock(uint32_t calls);
