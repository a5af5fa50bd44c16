/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "ctl/client.h"

#define SESSION_ID_MAX 64

/* The public API as the runner needs it. Errors are texts: a case that cannot be run has not been held. */

typedef struct Server {
        const char *url;
        const char *socket;
        const char *key;
        const char *image; /* of new sessions, NULL: the server's own choice */
        bool forks;        /* new sessions are forks of these two: that of the second has small limits */
        char parents[2][SESSION_ID_MAX + 1];
        Client *client; /* owned; one for each process */
} Server;

int server_connect(Server *s);
/* Makes and ends what sessions are forks of. */
int server_make_parents(Server *s);
void server_end_parents(Server *s);

typedef struct Health {
        char status[32];
        bool limits;
        uint64_t pool_size;
        uint64_t active;
        usec_t took;
} Health;

int server_health(Server *s, Health *ret);

/* @limits: for the floods, small ones. Returns 0 or -errno; the id is "" then. */
int session_new(Server *s, bool limits, char ret_id[static SESSION_ID_MAX + 1]);

/* Returns 0, -ENOENT when it has ended by itself, or -errno. */
int session_end(Server *s, const char *id);

typedef struct Result {
        char reason[16]; /* of the answer, or "" when there was none */
        int exit_code;
        char verdict[16]; /* first word of the last line of output */
        char detail[512]; /* the rest of it */
        bool truncated;
        size_t length;   /* of the output */
        unsigned status; /* of HTTP */
        usec_t took;
} Result;

typedef struct Run {
        const char *session;
        const char *const *argv; /* ended by NULL */
        const char *cwd;         /* or NULL */
        const char *input;       /* base64, or NULL */
        unsigned timeout;        /* seconds */
        size_t max_output;       /* 0: the server's */
} Run;

/* Returns 0 when the server answered, whatever it said. */
int run_command(Server *s, const Run *run, Result *ret);
