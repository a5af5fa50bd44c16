/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "http/request.h"

/* The server's end of a WebSocket (RFC 6455). */

typedef struct WebSocket WebSocket;

typedef struct WebSocketHandlers {
        void (*opened)(WebSocket *w, void *userdata);
        /* A whole message; text is valid UTF-8. */
        void (*message)(WebSocket *w, bool text, const char *data, size_t length, void *userdata);
        /* There is room for more again. May be NULL. */
        void (*writable)(WebSocket *w, void *userdata);
        /* Called once at the end, also when it never opened; @userdata is not used afterwards. */
        void (*closed)(void *userdata);
} WebSocketHandlers;

#define WEBSOCKET_MESSAGE_MAX (64U * 1024U) /* that is received; longer ones end the connection with status 1009 */

/* Answers @r: with the protocol, or with an error when it did not ask for it properly (@closed is not called then and
 * -errno returned). */
int websocket_accept(HttpRequest *r, sd_event *event, const WebSocketHandlers *handlers, void *userdata);

/* How many bytes should be sent at most now. */
size_t websocket_room(const WebSocket *w);
int websocket_send(WebSocket *w, bool text, const char *data, size_t length);

/* Says goodbye with @status (1000: all is well) once all that was sent has left; closed() follows. @reason: a constant. */
void websocket_close(WebSocket *w, unsigned status, const char *reason);

/* Ends it at once, without telling the handlers. */
WebSocket *websocket_free(WebSocket *w);
