/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "session/attendant.h"
#include "session/filter.h"
#include "session/operation.h"
#include "spec/file.h"

/* Shared by operation.c and operation-quick.c only. */

typedef struct Stream {
        int fd;                  /* owned */
        sd_event_source *source; /* enabled: someone waits */
} Stream;

/* Of one that the session's attendant does. */
typedef struct Quick {
        bool on;
        Session *session;            /* owned until it is answered */
        AttendantQuestion *question; /* owned until it is asked, then borrowed */
        bool asked, wants_answer;
        char *strings; /* owned: of argv, to be asked elsewhere; NULL where that cannot be */
        size_t strings_length;
        FileAnswer *answer; /* owned */
        size_t taken;       /* of it, without its head */
} Quick;

struct Operation {
        unsigned n_ref;   /* the caller's, the job's, a question's */
        sd_event *event;  /* borrowed */
        Sandbox *sandbox; /* owned while its process is there */
        SandboxJob job;
        const OperationHandlers *handlers; /* NULL: dropped */
        void *userdata;

        Stream out, in;
        int control; /* owned */
        Filter filter;
        bool feeds; /* it says nothing before its input is complete */
        uint64_t written;
        Quick quick;

        usec_t patience;
        sd_event_source *deadline, *end;
        bool process_over, told;
        OperationResult result;
        int error;
};

Operation *operation_unref(Operation *o);
void operation_tell_end(Operation *o);
void operation_fail(Operation *o, OperationResult result);
/* Tells when its process has put out something. */
void operation_await(Operation *o);
/* Starts its process. */
int operation_run(Operation *o, const OperationSpec *spec, const char *program);

/* operation-quick.c */
int quick_start(Operation *o, Session *s, const OperationSpec *spec);
ssize_t quick_read(Operation *o, void *buf, size_t size);
size_t quick_write(Operation *o, const void *data, size_t size);
void quick_ask(Operation *o);
void quick_drop(Operation *o);
void quick_clear(Quick *q);
