/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* One keep-alive connection to a worker, blocking, as lean as can be so that the worker is what is measured. Any
 * failure ends the program: a benchmark with errors has no result. */
typedef struct Client {
        int fd;
        char answer[64 * 1024];
        const char *body; /* into @answer, ended by NUL */
        unsigned status;
        double usec; /* of the last request: first byte out to last byte in */
} Client;

/* @address: ADDR:PORT, or the absolute path of a UNIX socket. */
void client_open(Client *c, const char *address);
void client_close(Client *c);

/* @json: NULL for no body. Ends the program when the status is not @wanted. Returns the time it took. */
double client_request(Client *c, const char *method, const char *path, const char *json, unsigned wanted);

/* The number of @member in the last answer. */
long client_number(const Client *c, const char *member);

/* --- sessions --- */

#define SESSION_ID_MAX 80

double session_create(Client *c, const char *json, char id[static SESSION_ID_MAX]);
double session_exec(Client *c, const char *id, const char *json);
double session_delete(Client *c, const char *id);

/* Waits until the pool is as full as it wants to be and the worker has had a moment for its log. */
void pool_wait(Client *c);
