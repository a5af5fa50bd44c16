/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "session/session.h"

/*
 * Something that sandbox-init does itself inside a session (init/builtin.h), with pipes between it and this process.
 * What it touches may be anything, so it alone waits; here nothing does: whoever reads or writes is told when to go on,
 * and that it did not go on for too long is an end like any other.
 */

typedef struct Operation Operation;

typedef enum OperationResult {
        OPERATION_DONE,
        OPERATION_FAILED,    /* by its errno */
        OPERATION_KILLED,    /* from inside, or its output made no sense */
        OPERATION_NO_MEMORY, /* killed by the memory limit, or not enough to begin */
        OPERATION_NO_TASK,   /* the limit of tasks leaves no room for it */
        OPERATION_SILENT,    /* nothing came for too long */
        OPERATION_LOST,      /* the session has ended */
} OperationResult;

typedef struct OperationHandlers {
        /* operation_read() has something to give again, once after it had nothing. */
        void (*readable)(Operation *o, void *userdata);
        /* operation_write() takes more, once after it took less than all. */
        void (*writable)(Operation *o, void *userdata);
        /* Called once: its output has been read to the end and it has ended, or that is not to be waited for any more.
         */
        void (*ended)(Operation *o, void *userdata);
} OperationHandlers;

typedef enum OperationFilter {
        OPERATION_UNFILTERED,
        OPERATION_FILTER_INPUT,
        OPERATION_FILTER_OUTPUT,
} OperationFilter;

typedef struct OperationSpec {
        const char *const *argv; /* ended by NULL */
        /* It is small, and one of those that "serve" does (spec/file.h); its input is at most FILE_SMALL_MAX bytes. */
        bool quick;
        bool input;
        bool control;  /* its stderr is a pipe from us, for the FileCommit */
        int passed_fd; /* if above 0: borrowed, its descriptor 3 */
        /* with a program of ours between this process and its input, or its output: what that is told, ended by NULL */
        OperationFilter filter;
        const char *const *filter_argv;
        int filter_fd; /* if above 0: borrowed, a file that the filter reads from or writes to in place of us */
        usec_t patience;                   /* how long it may let us wait, or USEC_INFINITY */
        const OperationHandlers *handlers; /* borrowed; each may be NULL */
        void *userdata;
} OperationSpec;

/* @ret: owned by the caller; a started operation also keeps itself until its process has ended. Handlers are never
 * called from within. Returns 0, or -errno with @error set (-EOWNERDEAD: the session has ended). */
int operation_start(Session *s, const OperationSpec *spec, Operation **ret, Error *error);

/* The caller has no more interest: no handler is called any more, pipes are closed, so that it ends by itself; if it
 * does not it is killed. NULL is accepted; returns NULL. */
Operation *operation_drop(Operation *o);
DEFINE_CLEANUP(Operation, operation_drop);

/* Returns how many bytes were read; 0 when there are none now; OPERATION_END when no more will come: ended() follows.
 */
ssize_t operation_read(Operation *o, void *buf, size_t size);
#define OPERATION_END (-1)

/* All that was not read yet, where it is there as a whole: memory from malloc(), from an offset in it on. NULL where it
 * is not; nothing may be read any more otherwise. */
void *operation_take_rest(Operation *o, size_t *ret_offset, size_t *ret_length);

/* Returns how many bytes were taken. */
size_t operation_write(Operation *o, const void *data, size_t size);
/* No more input comes. With @control, @commit tells that it was all. */
void operation_finish(Operation *o, bool commit);

/* Bytes that were written so far. */
uint64_t operation_written(const Operation *o);

/* Much is going to come: wider pipes. */
void operation_widen(Operation *o);

/* It broke the rules: killed; ended() follows from the loop with OPERATION_KILLED. */
void operation_break(Operation *o);

/* Within ended() and later. */
OperationResult operation_result(const Operation *o);
int operation_errno(const Operation *o); /* positive; 0 unless OPERATION_FAILED */

/* Why the filter refuses what it was given, or NULL. */
const char *operation_reason(const Operation *o);

/* Tells of a result other than OPERATION_DONE and OPERATION_FAILED, and of an errno without a better explanation.
 * Returns -errno. */
int operation_error(const Operation *o, Error *error);
