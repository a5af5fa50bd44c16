/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/un.h>

#include "base/macro.h"

/* A socket's path with its final NUL fits into this. */
#define SOCKET_PATH_SIZE sizeof(((struct sockaddr_un *) NULL)->sun_path)

/* Where a server may answer: a UNIX socket or a base URL; exactly one is set, both owned. */
typedef struct Endpoint {
        char *socket;
        char *url;
} Endpoint;

typedef struct EndpointList {
        Endpoint *items;
        size_t n;
} EndpointList;

void endpoint_list_clear(EndpointList *list);
void endpoint_list_add(EndpointList *list, const char *socket, const char *url);
#define _cleanup_endpoints_ _cleanup_(endpoint_list_clear)

const char *endpoint_name(const Endpoint *e);

/* A socket below @folder that belongs to a worker: NAME.sock, but not NAME.spawner.sock. */
typedef struct WorkerSocket {
        char *name; /* owned */
        char *path; /* owned */
} WorkerSocket;

typedef struct WorkerSocketList {
        WorkerSocket *items;
        size_t n;
} WorkerSocketList;

void worker_socket_list_clear(WorkerSocketList *list);
#define _cleanup_worker_sockets_ _cleanup_(worker_socket_list_clear)

/* The places where this suite's sockets lie. Tests have others. */
typedef struct EndpointPlaces {
        const char *coordinator;     /* socket */
        const char *workers;         /* folder */
        const char *user_folders[2]; /* of workers that the calling user started; NULL for none */
} EndpointPlaces;

/* Fills in the real places; the texts live as long as the program. */
void endpoint_places_default(EndpointPlaces *ret);

/* All workers' sockets in @places, sorted by name in each folder. User folders of others are left out: whoever owns
 * them could pose as the server. */
void worker_sockets_find(const EndpointPlaces *places, WorkerSocketList *ret);

/* Where to ask when the user named no server, best first. */
void endpoints_find(const EndpointPlaces *places, EndpointList *ret);
