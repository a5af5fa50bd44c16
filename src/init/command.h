/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/wire.h"

#define COMMAND_STREAMS_MAX 4U

/* What the worker wants run, pointing into the received message. */
typedef struct Command {
        const char *cwd;
        char **argv; /* ended by NULL */
        char **envp; /* ended by NULL */
        int streams[COMMAND_STREAMS_MAX];
        unsigned n_streams; /* 3, or 4 for a builtin */
        uint32_t number;    /* marks all that descends from it, see sweep.h */
        bool terminal;      /* the streams are a terminal, which becomes the controlling one */
} Command;

/* Takes @strings apart: cwd, argv, env. The pointers are written to @vector, which has room for @argc + @envc + 2.
 * Returns 0 or -EBADMSG. */
int command_parse(const InitRequest *request, char *strings, size_t length, char **vector, Command *ret);

/* Makes a process that becomes the leader of a session and process group and executes the program. It has the payload's
 * id, so that whatever else runs in the sandbox can stop it before it comes that far: only when it is @alone there it is
 * waited for, which is faster.
 * @ret_report: where it tells how that went, for command_report(); the caller closes it.
 * Returns its pid, or -errno. */
pid_t command_start(const Command *c, bool alone, int *ret_report);

/* Returns 1 once the program is executed, or the process has ended before; 0 when that is not known yet, which
 * readiness of @report for reading changes; else -errno of the step in @ret_stage that failed: the process ends. */
int command_report(int report, InitStage *ret_stage);
