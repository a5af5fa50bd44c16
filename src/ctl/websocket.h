/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl/client.h"

/* The client's end of a WebSocket (RFC 6455). */
typedef struct WebSocket WebSocket;

/* Called with each whole message. */
typedef void WebSocketMessage(bool text, const char *data, size_t length, void *userdata);

/* Returns 0, or -errno with client_error() set; -ENOPROTOOPT, without: the server does not speak it there, a common
 * request may tell why. */
int websocket_open(Client *c, const char *path, WebSocketMessage *message, void *userdata, WebSocket **ret);
WebSocket *websocket_free(WebSocket *w);
DEFINE_CLEANUP(WebSocket, websocket_free);

/* To be waited for: POLLIN and maybe POLLOUT. */
int websocket_fd(const WebSocket *w);
short websocket_events(const WebSocket *w);

/* Reads and writes what can be, without waiting. Returns 0, or -EPIPE when the connection is over. */
int websocket_run(WebSocket *w);

/* Bytes that wait to be sent. */
size_t websocket_queued(const WebSocket *w);
void websocket_send(WebSocket *w, bool text, const char *data, size_t length);
void websocket_close(WebSocket *w);
