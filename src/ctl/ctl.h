/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl/client.h"
#include "ctl/command.h"
#include "ctl/options.h"

/* Exit statuses of our own. exec and run use 125 instead of 1 and 2, so that they differ from the command's. */
#define STATUS_FAILED 1
#define STATUS_USAGE 2
#define STATUS_TIMEOUT 124
#define STATUS_REFUSED 125

#define REQUEST_TIMEOUT (60 * USEC_PER_SEC)

/* The running program. */
struct Ctl {
        Options options;
        const Command *command;
        Client *client; /* owned; NULL until the first call */
};

void ctl_clear(Ctl *ctl);

/* Did the user name a server, by an option or the environment? */
bool ctl_names_server(const Ctl *ctl);

#define KEY_MAX 512U
/* @buf: room for a key that comes from a file. *@ret is NULL when there is none. 0, or -errno after an error was
 * printed. */
int ctl_find_key(const Options *o, char buf[static KEY_MAX + 2], const char **ret);

/* Finds the server and the key. 0, or -errno after an error was printed. */
int ctl_connect(Ctl *ctl);

/* Makes a call and accepts only success. @call->timeout 0: the default, plus nothing; --timeout always wins.
 * @ret: the document, NULL when the answer has none; new reference (may be NULL itself).
 * Returns 0, or -errno after an error was printed: -ENOENT (unknown session), -EOWNERDEAD (ended session) ... */
int ctl_call(Ctl *ctl, const Call *call, json_t **ret);

/* The same without a word about a refusal: the answer tells. */
int ctl_try(Ctl *ctl, const Call *call, Answer *ret);

/* A client for one worker's socket, with the key of @ctl. */
int ctl_connect_worker(Ctl *ctl, const char *socket, Client **ret);

/* Whether @id may be a session id; prints an error when not. */
bool ctl_check_id(const char *id);

#define _cleanup_json_ _cleanup_(json_decrefp)
