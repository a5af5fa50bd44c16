/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/websocket.h"

#include <nettle/sha1.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

#include "base/fd.h"

#define ACCEPT_SUFFIX "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */
#define QUEUE_MAX (256U * 1024U)
#define MESSAGES_MAX 256U          /* that wait, however short: each has a cost of its own */
#define TAKEN_PER_TURN (64U * 1024U) /* bytes */
#define PING_USEC (30 * USEC_PER_SEC)
#define SILENCE_MAX 3U /* pings without an answer */

struct WebSocket {
        const WebSocketHandlers *handlers;
        void *userdata;
        sd_event *event; /* borrowed */
        int sock;        /* borrowed from the server */
        void *handle;
        char *extra; /* owned: bytes that came with the head */
        size_t extra_length, extra_read;
        size_t taken; /* bytes, in this turn */
        wslay_event_context_ptr context;
        sd_event_source *io, *ping, *end;
        unsigned n_silent;
        bool ending;
        unsigned close_status; /* to be said once all messages are sent, 0: nothing */
        const char *close_reason;
};

WebSocket *websocket_free(WebSocket *w) {
        if (!w)
                return NULL;
        w->io = sd_event_source_disable_unref(w->io);
        w->ping = sd_event_source_disable_unref(w->ping);
        w->end = sd_event_source_disable_unref(w->end);
        if (w->context)
                wslay_event_context_free(w->context);
        if (w->handle)
                http_upgrade_end(w->handle);
        free(w->extra);
        free(w);
        return NULL;
}

static int on_end(sd_event_source *source, void *userdata) {
        WebSocket *w = userdata;

        (void) source;
        w->handlers->closed(w->userdata);
        (void) websocket_free(w);
        return 0;
}

/* From the loop: not from within a callback of the library, and not while whoever called still uses it. */
static void end_soon(WebSocket *w) {
        if (w->ending)
                return;
        w->ending = true;
        w->io = sd_event_source_disable_unref(w->io);
        w->ping = sd_event_source_disable_unref(w->ping);
        (void) sd_event_source_set_enabled(w->end, SD_EVENT_ONESHOT);
}

/* The library answers pings without asking anybody: who sends them and does not read waits. */
static bool is_crowded(const WebSocket *w) {
        return wslay_event_get_queued_msg_count(w->context) >= MESSAGES_MAX;
}

static bool has_extra(const WebSocket *w) {
        return w->extra_read < w->extra_length;
}

static ssize_t on_recv(wslay_event_context_ptr context, uint8_t *buf, size_t size, int flags, void *userdata) {
        WebSocket *w = userdata;
        ssize_t n;

        (void) flags;
        if (w->taken >= TAKEN_PER_TURN || is_crowded(w)) { /* the library would go on for as long as bytes come */
                wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
                return -1;
        }
        if (has_extra(w)) {
                n = (ssize_t) MIN(size, w->extra_length - w->extra_read);
                memcpy(buf, w->extra + w->extra_read, (size_t) n);
                w->extra_read += (size_t) n;
                w->taken += (size_t) n;
                return n;
        }
        do
                n = recv(w->sock, buf, size, MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n > 0) {
                w->taken += (size_t) n;
                return n;
        }
        wslay_event_set_error(context, n < 0 && errno == EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
}

static ssize_t on_send(wslay_event_context_ptr context, const uint8_t *data, size_t length, int flags, void *userdata) {
        WebSocket *w = userdata;
        ssize_t n;

        (void) flags;
        do
                n = send(w->sock, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n >= 0)
                return n;
        wslay_event_set_error(context, errno == EAGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
}

static void on_message(wslay_event_context_ptr context, const struct wslay_event_on_msg_recv_arg *arg, void *userdata) {
        WebSocket *w = userdata;

        (void) context;
        w->n_silent = 0;
        if (!w->ending && (arg->opcode == WSLAY_TEXT_FRAME || arg->opcode == WSLAY_BINARY_FRAME))
                w->handlers->message(
                        w, arg->opcode == WSLAY_TEXT_FRAME, (const char *) arg->msg, arg->msg_length, w->userdata);
}

/* The library sends a close frame before the messages that wait, and none of them after it. */
static void close_when_sent(WebSocket *w) {
        unsigned status = w->close_status;

        if (status == 0 || wslay_event_get_queued_msg_count(w->context) > 0)
                return;
        w->close_status = 0;
        if (wslay_event_queue_close(w->context, (uint16_t) status, (const uint8_t *) w->close_reason,
                    strlen(w->close_reason)) != 0)
                end_soon(w);
}

static void watch(WebSocket *w) {
        close_when_sent(w);
        if (w->ending)
                return;
        bool reads = wslay_event_want_read(w->context) && !is_crowded(w);
        /* what came with the head is not told of by the kernel */
        uint32_t events = (reads ? EPOLLIN : 0U) |
                          (wslay_event_want_write(w->context) || (reads && has_extra(w)) ? EPOLLOUT : 0U);

        if (events == 0) /* both have said goodbye */
                end_soon(w);
        else if (w->io)
                (void) sd_event_source_set_io_events(w->io, events);
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        WebSocket *w = userdata;
        bool was_full = websocket_room(w) == 0;
        int r = 0;

        (void) source;
        (void) fd;
        w->taken = 0;
        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR) || has_extra(w))
                r = wslay_event_recv(w->context);
        int sent = wslay_event_send(w->context); /* to whoever broke the protocol too, what the library says of it */
        if (r != 0 || sent != 0) {
                end_soon(w);
                return 0;
        }
        if (w->ending)
                return 0;
        if (was_full && websocket_room(w) > 0 && w->handlers->writable)
                w->handlers->writable(w, w->userdata);
        if (!w->ending)
                watch(w);
        return 0;
}

static int on_ping(sd_event_source *source, uint64_t usec, void *userdata) {
        static const struct wslay_event_msg ping = { .opcode = WSLAY_PING };
        WebSocket *w = userdata;

        (void) usec;
        if (++w->n_silent > SILENCE_MAX || wslay_event_queue_msg(w->context, &ping) != 0) {
                end_soon(w);
                return 0;
        }
        (void) sd_event_source_set_time_relative(source, PING_USEC);
        watch(w);
        return 0;
}

static int open_websocket(WebSocket *w) {
        static const struct wslay_event_callbacks callbacks = {
                .recv_callback = on_recv,
                .send_callback = on_send,
                .on_msg_recv_callback = on_message,
        };

        if (wslay_event_context_server_init(&w->context, &callbacks, w) != 0)
                return -ENOMEM;
        wslay_event_config_set_max_recv_msg_length(w->context, WEBSOCKET_MESSAGE_MAX);
        int r = fd_set_nonblock(w->sock, true);
        if (r >= 0)
                r = sd_event_add_io(w->event, &w->io, w->sock, EPOLLIN | EPOLLOUT, on_ready, w);
        if (r >= 0)
                r = sd_event_add_time_relative(
                        w->event, &w->ping, CLOCK_MONOTONIC, PING_USEC, USEC_PER_SEC, on_ping, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->ping, SD_EVENT_ON);
        return r;
}

static void on_upgraded(int sock, const char *extra, size_t extra_length, void *handle, void *userdata) {
        WebSocket *w = userdata;

        w->sock = sock;
        w->handle = handle;
        if (extra_length > 0) {
                w->extra = malloc(extra_length);
                if (w->extra) {
                        memcpy(w->extra, extra, extra_length);
                        w->extra_length = extra_length;
                }
        }
        if ((extra_length > 0 && !w->extra) || open_websocket(w) < 0) {
                end_soon(w);
                return;
        }
        if (w->handlers->opened)
                w->handlers->opened(w, w->userdata);
}

/* The connection ended before the protocol was changed. */
static void on_cancelled(HttpRequest *r, void *userdata) {
        WebSocket *w = userdata;

        (void) r;
        w->handlers->closed(w->userdata);
        (void) websocket_free(w);
}

static bool header_has(const HttpRequest *r, const char *name, const char *token) {
        const char *value = http_request_header(r, name);

        return value && strcasestr(value, token);
}

int websocket_accept(HttpRequest *r, sd_event *event, const WebSocketHandlers *handlers, void *userdata) {
        const char *key = http_request_header(r, "Sec-WebSocket-Key"),
                   *version = http_request_header(r, "Sec-WebSocket-Version");
        _cleanup_free_ char *accept = NULL;
        uint8_t digest[SHA1_DIGEST_SIZE];
        struct sha1_ctx sha1;
        Error error = { 0 };

        if (!header_has(r, "Upgrade", "websocket") || !header_has(r, "Connection", "upgrade") || !key ||
                strlen(key) != 24 || !version || strcmp(version, "13") != 0) {
                http_request_set_header(r, "Sec-WebSocket-Version", "13");
                int k = error_set_field(
                        &error, ERROR_MALFORMED, "Upgrade", NULL, "This is a WebSocket; ask for it as RFC 6455 says.");
                http_answer_error(r, &error, k);
                return k;
        }
        sha1_init(&sha1);
        sha1_update(&sha1, strlen(key), (const uint8_t *) key);
        sha1_update(&sha1, strlen(ACCEPT_SUFFIX), (const uint8_t *) ACCEPT_SUFFIX);
        sha1_digest(&sha1, sizeof digest, digest);
        accept = base64_encode(digest, sizeof digest);

        WebSocket *w = calloc(1, sizeof *w);
        int k = w && accept ? sd_event_add_defer(event, &w->end, on_end, w) : -ENOMEM;
        if (k >= 0)
                k = sd_event_source_set_enabled(w->end, SD_EVENT_OFF);
        if (k < 0) {
                (void) websocket_free(w);
                http_answer_error(r, &error, k);
                return k;
        }
        w->handlers = handlers;
        w->userdata = userdata;
        w->event = event;
        w->sock = -EBADF;
        http_request_set_header(r, "Sec-WebSocket-Accept", accept);
        http_request_defer(r, on_cancelled, w);
        http_upgrade(r, "websocket", on_upgraded, w);
        return 0;
}

size_t websocket_room(const WebSocket *w) {
        size_t queued = w->context ? wslay_event_get_queued_msg_length(w->context) : QUEUE_MAX;

        return queued >= QUEUE_MAX || is_crowded(w) ? 0 : QUEUE_MAX - queued;
}

int websocket_send(WebSocket *w, bool text, const char *data, size_t length) {
        struct wslay_event_msg message = {
                .opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
                .msg = (const uint8_t *) data,
                .msg_length = length,
        };

        if (w->ending || w->close_status != 0)
                return -EPIPE;
        if (wslay_event_queue_msg(w->context, &message) != 0)
                return -ENOMEM;
        watch(w);
        return 0;
}

void websocket_close(WebSocket *w, unsigned status, const char *reason) {
        if (w->ending || w->close_status != 0)
                return;
        w->close_status = status;
        w->close_reason = reason;
        watch(w);
}
