/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/websocket.h"

#include <curl/curl.h>
#include <nettle/sha1.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <wslay/wslay.h>

#include "base/text.h"
#include "ctl/terminal.h"

#define ACCEPT_SUFFIX "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */
#define HEAD_MAX 16384U
#define HEAD_PATIENCE_USEC (30 * USEC_PER_SEC)
#define MESSAGE_MAX (16 * MIB)

struct WebSocket {
        CURL *curl; /* owned */
        int fd;     /* borrowed from it */
        wslay_event_context_ptr context;
        WebSocketMessage *message;
        void *userdata;
        char early[HEAD_MAX]; /* the head of the answer, then what came with it */
        size_t early_used, early_read;
};

WebSocket *websocket_free(WebSocket *w) {
        if (!w)
                return NULL;
        if (w->context)
                wslay_event_context_free(w->context);
        curl_easy_cleanup(w->curl);
        free(w);
        return NULL;
}

/* --- bytes --- */

static ssize_t on_recv(wslay_event_context_ptr context, uint8_t *buf, size_t size, int flags, void *userdata) {
        WebSocket *w = userdata;
        size_t n = 0;

        (void) flags;
        if (w->early_read < w->early_used) {
                n = MIN(size, w->early_used - w->early_read);
                memcpy(buf, w->early + w->early_read, n);
                w->early_read += n;
                return (ssize_t) n;
        }
        CURLcode result = curl_easy_recv(w->curl, buf, size, &n);
        if (result == CURLE_OK && n > 0)
                return (ssize_t) n;
        wslay_event_set_error(context, result == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
}

static ssize_t on_send(wslay_event_context_ptr context, const uint8_t *data, size_t size, int flags, void *userdata) {
        WebSocket *w = userdata;
        size_t n = 0;

        (void) flags;
        CURLcode result = curl_easy_send(w->curl, data, size, &n);
        if (result == CURLE_OK)
                return (ssize_t) n;
        wslay_event_set_error(context, result == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
}

static int on_mask(wslay_event_context_ptr context, uint8_t *buf, size_t size, void *userdata) {
        (void) context;
        (void) userdata;
        return getrandom(buf, size, 0) == (ssize_t) size ? 0 : -1;
}

static void on_message(wslay_event_context_ptr context, const struct wslay_event_on_msg_recv_arg *arg, void *userdata) {
        WebSocket *w = userdata;

        (void) context;
        if (arg->opcode == WSLAY_TEXT_FRAME || arg->opcode == WSLAY_BINARY_FRAME)
                w->message(arg->opcode == WSLAY_TEXT_FRAME, (const char *) arg->msg, arg->msg_length, w->userdata);
}

/* --- the beginning --- */

static int wait_for(const WebSocket *w, short events, usec_t deadline) {
        struct pollfd p = { .fd = w->fd, .events = events };
        usec_t now = clock_monotonic();

        if (now >= deadline)
                return -ETIMEDOUT;
        return poll(&p, 1, (int) ((deadline - now) / USEC_PER_MSEC) + 1) < 0 ? -errno : 0;
}

static int send_head(WebSocket *w, const char *head, usec_t deadline) {
        size_t length = strlen(head), n;

        while (length > 0) {
                CURLcode result = curl_easy_send(w->curl, head, length, &n);
                if (result == CURLE_AGAIN) {
                        int r = wait_for(w, POLLOUT, deadline);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (result != CURLE_OK)
                        return -EPIPE;
                head += n;
                length -= n;
        }
        return 0;
}

/* Reads up to the end of the head; what came behind it is kept. @ret: the head, as text. */
static int receive_head(WebSocket *w, char **ret, usec_t deadline) {
        for (;;) {
                size_t n = 0;
                CURLcode result =
                        curl_easy_recv(w->curl, w->early + w->early_used, sizeof w->early - 1 - w->early_used, &n);
                if (result == CURLE_AGAIN) {
                        int r = wait_for(w, POLLIN, deadline);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (result != CURLE_OK || n == 0)
                        return -EPIPE;
                w->early_used += n;
                w->early[w->early_used] = '\0';
                char *end = strstr(w->early, "\r\n\r\n");
                if (end) {
                        w->early_read = (size_t) (end + 4 - w->early);
                        *ret = xasprintf("%.*s", (int) (end + 2 - w->early), w->early);
                        return 0;
                }
                if (w->early_used == sizeof w->early - 1)
                        return -EFBIG;
        }
}

static char *make_accept(const char *key) {
        uint8_t digest[SHA1_DIGEST_SIZE];
        struct sha1_ctx sha1;

        sha1_init(&sha1);
        sha1_update(&sha1, strlen(key), (const uint8_t *) key);
        sha1_update(&sha1, strlen(ACCEPT_SUFFIX), (const uint8_t *) ACCEPT_SUFFIX);
        sha1_digest(&sha1, sizeof digest, digest);
        char *accept = base64_encode(digest, sizeof digest);
        if (!accept)
                out_of_memory();
        return accept;
}

static int shake_hands(WebSocket *w, const char *head) {
        _cleanup_free_ char *key = NULL, *accept = NULL, *request = NULL, *answer = NULL, *wanted = NULL;
        usec_t deadline = clock_monotonic() + HEAD_PATIENCE_USEC;
        uint8_t random[16];

        if (getrandom(random, sizeof random, 0) != sizeof random)
                return -errno;
        key = base64_encode(random, sizeof random);
        if (!key)
                out_of_memory();
        request = xasprintf("%sUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                            "Sec-WebSocket-Key: %s\r\n\r\n",
                head, key);
        int r = send_head(w, request, deadline);
        if (r == 0)
                r = receive_head(w, &answer, deadline);
        if (r < 0)
                return r;
        accept = make_accept(key);
        wanted = xasprintf("\r\nSec-WebSocket-Accept: %s\r\n", accept);
        const char *found = strcasestr(answer, wanted);
        return strncmp(answer, "HTTP/1.1 101 ", 13) == 0 && found && strncmp(strchr(found, ':') + 2, accept, 28) == 0
                       ? 0
                       : -ENOPROTOOPT;
}

int websocket_open(Client *c, const char *path, WebSocketMessage *message, void *userdata, WebSocket **ret) {
        static const struct wslay_event_callbacks callbacks = {
                .recv_callback = on_recv,
                .send_callback = on_send,
                .genmask_callback = on_mask,
                .on_msg_recv_callback = on_message,
        };
        _cleanup_(websocket_freep) WebSocket *w = xrealloc(NULL, sizeof *w);
        _cleanup_free_ char *head = NULL;
        curl_socket_t fd;

        *w = (WebSocket){ .message = message, .userdata = userdata };
        w->curl = client_connect(c, path, &head);
        if (!w->curl)
                return -EIO;
        if (curl_easy_getinfo(w->curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK)
                return -ENOPROTOOPT;
        w->fd = fd;
        if (shake_hands(w, head) < 0)
                return -ENOPROTOOPT;
        if (wslay_event_context_client_init(&w->context, &callbacks, w) != 0)
                out_of_memory();
        wslay_event_config_set_max_recv_msg_length(w->context, MESSAGE_MAX);
        *ret = take_ptr(w);
        return 0;
}

/* --- messages --- */

int websocket_fd(const WebSocket *w) {
        return w->fd;
}

short websocket_events(const WebSocket *w) {
        return (short) (POLLIN | (wslay_event_want_write(w->context) ? POLLOUT : 0));
}

int websocket_run(WebSocket *w) {
        if (wslay_event_recv(w->context) != 0 || wslay_event_send(w->context) != 0)
                return -EPIPE;
        return wslay_event_want_read(w->context) || wslay_event_want_write(w->context) ? 0 : -EPIPE;
}

size_t websocket_queued(const WebSocket *w) {
        return wslay_event_get_queued_msg_length(w->context);
}

void websocket_send(WebSocket *w, bool text, const char *data, size_t length) {
        struct wslay_event_msg message = {
                .opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
                .msg = (const uint8_t *) data,
                .msg_length = length,
        };

        (void) wslay_event_queue_msg(w->context, &message); /* fails once it is closed: nobody would get it */
}

void websocket_close(WebSocket *w) {
        (void) wslay_event_queue_close(w->context, 1000, NULL, 0);
}
