/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "http/api.h"
#include "http/port-head.h"
#include "http/relay.h"
#include "session/port.h"

/* Shared by port.c and port-answer.c only. */

#define PORT_BUFFER (32U * 1024U)
#define PORT_ANSWER_WHOLE (32U * 1024U) /* answers of a known length up to that are passed on once they are complete   \
                                         */

typedef struct PortExchange {
        HttpApi *api;
        sd_event *event;      /* borrowed */
        HttpRequest *request; /* NULL once the connection is another protocol's */
        PortUse use;
        PortDial *dial;
        FetchServer *server; /* owned */
        Fetch *fetch;
        uint16_t port;
        char prefix[PORT_PREFIX_MAX];

        char *body; /* owned: PORT_BUFFER bytes, or NULL when there is none */
        size_t body_used, body_sent;
        uint64_t body_length; /* FETCH_SIZE_UNKNOWN: comes in chunks */
        bool body_ended, body_held;

        char *answer; /* owned: PORT_ANSWER_WHOLE + PORT_BUFFER bytes, while there are some of the answer */
        size_t answer_used, answer_sent;
        bool answer_whole; /* wanted as a whole */
        bool answer_waits; /* its head is there, but the client still sends */
        bool answer_begun, answer_held, answer_ended, answer_broken;
        bool no_memory; /* for the answer */

        bool raw, upgrading;
        int socks[PORT_SOCKETS_MAX]; /* owned: the connection of @raw, or what to connect with */
        void *handle;
        Relay *relay;
} PortExchange;

PortExchange *port_exchange_free(PortExchange *x);
void port_exchange_fail(PortExchange *x, Error *error, int result);
void port_exchange_on_cancelled(HttpRequest *r, void *userdata);
void port_exchange_on_session_ended(PortUse *u);

/* port.c: tries the next of the sandbox's addresses. Returns 0, or -errno when there is none. */
int port_exchange_try_next(PortExchange *x);
/* Gets the request's body. */
ssize_t port_exchange_read(Fetch *f, char *buf, size_t size, void *userdata);
/* Hands the connection over to @protocol. */
void port_exchange_upgrade(PortExchange *x, const char *protocol);

/* port-answer.c */
extern const FetchOps port_exchange_ops;
/* The request is complete: an answer that came before may begin. */
void port_exchange_begin_answer(PortExchange *x);
