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

/* Starts it in a session and process group of its own.
 * Returns its pid, or -errno with the step that failed in @ret_stage. */
pid_t command_start(const Command *c, InitStage *ret_stage);
