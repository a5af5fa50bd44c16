/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl/ctl.h"

/* How a command ended, from the server's answer. */
typedef struct ExecResult {
        int status;         /* exit status to pass on */
        const char *reason; /* borrowed from the document */
        char *message;      /* owned; what people should know besides, NULL for nothing */
        char *out;          /* owned; ends with a NUL that does not count */
        size_t out_length;
        char *err; /* owned; the same */
        size_t err_length;
        bool out_truncated;
        bool err_truncated;
} ExecResult;

void exec_result_clear(ExecResult *result);
#define _cleanup_exec_result_ _cleanup_(exec_result_clear)

/* @answer: of an exec with "encoding": "base64" (@base64) or as text. 0, or -EPROTO after an error was printed. */
int exec_result_read(const json_t *answer, bool base64, ExecResult *ret);

/* The same for an answer without the streams, the document of the end of a command. */
int exec_end_read(const json_t *end, ExecResult *ret);

/* Makes the call. @ret: the answer's document; new reference. */
int exec_call(Ctl *ctl, const char *session_id, const json_t *body, usec_t command_timeout, json_t **ret);
