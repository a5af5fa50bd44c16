/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "http/server.h"
#include "http/websocket.h"

/* What a client sends over a WebSocket, in up to two pieces, behind a head that asks for one: the first byte says where
 * it is cut, the second how it begins and ends. Messages come back as they were. */

#define HEAD                                                                                                           \
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"    \
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

/* One that does not ask for a WebSocket as it should, and gets an answer. */
#define PLAIN_HEAD "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sd_event *event;
static unsigned n_open, n_accepted;
static bool say_goodbye;

static void check(bool condition) {
        if (!condition)
                abort();
}

static void on_opened(WebSocket *w, void *userdata) {
        (void) userdata;
        n_open++;
        if (say_goodbye)
                websocket_close(w, 1000, "enough");
}

static void on_message(WebSocket *w, bool text, const char *data, size_t length, void *userdata) {
        (void) userdata;
        check(length <= WEBSOCKET_MESSAGE_MAX);
        if (text)
                check(utf8_is_valid(data, length));
        if (websocket_room(w) >= length)
                (void) websocket_send(w, text, data, length);
}

static void on_closed(void *userdata) {
        (void) userdata;
        check(n_accepted-- > 0);
        if (n_open > 0)
                n_open--;
}

static void on_request(HttpRequest *r, void *userdata) {
        static const WebSocketHandlers handlers = { .opened = on_opened, .message = on_message, .closed = on_closed };

        (void) userdata;
        if (websocket_accept(r, event, &handlers, NULL) == 0)
                n_accepted++;
}

static int authenticate(const HttpRequest *r, const char *key, char **owner, void *userdata, Error *error) {
        (void) r;
        (void) key;
        (void) userdata;
        (void) error;
        *owner = NULL;
        return 0;
}

static void run(void) {
        for (unsigned i = 0; i < 100 && sd_event_run(event, 0) > 0; i++)
                ;
}

static void drain(int fd) {
        static char buf[65536];

        while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
                ;
}

static void send_piece(int fd, const void *data, size_t size) {
        if (size > 0)
                (void) send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        run();
        drain(fd);
}

static int begin_listening(struct sockaddr_un *ret, socklen_t *ret_length) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        check(fd >= 0 && bind(fd, (struct sockaddr *) ret, sizeof(sa_family_t)) == 0 && listen(fd, 16) == 0);
        *ret_length = sizeof *ret;
        check(getsockname(fd, (struct sockaddr *) ret, ret_length) == 0);
        return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const HttpRoute routes[] = { { "GET", "/ws", 0, 0, on_request }, { 0 } };
        static HttpServer *server;
        static struct sockaddr_un address;
        static socklen_t length;

        if (!server) {
                HttpServerSettings settings = {
                        .routes = routes, .authenticate = authenticate, .body_max = 1000, .connections_max = 100
                };
                check(sd_event_new(&event) >= 0 && http_server_new(event, &settings, &server) == 0);
                check(http_server_listen(server, begin_listening(&address, &length)) == 0);
        }
        if (size < 2)
                return 0;
        size_t first = data[0] * (size - 2) / 255;
        uint8_t end = data[1];
        data += 2;
        size -= 2;
        say_goodbye = end & 2;

        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check(connect(fd, (struct sockaddr *) &address, length) == 0);
        if (end & 8) {
                send_piece(fd, PLAIN_HEAD, sizeof PLAIN_HEAD - 1);
                send_piece(fd, data, first);
        } else if (end & 16) { /* and it is gone before it is answered */
                (void) send(fd, HEAD, sizeof HEAD - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
                (void) shutdown(fd, SHUT_RDWR);
        } else if (end & 4) { /* together with the head */
                char whole[sizeof HEAD + 4096];
                size_t n = MIN(first, (size_t) 4096);
                memcpy(whole, HEAD, sizeof HEAD - 1);
                memcpy(whole + sizeof HEAD - 1, data, n);
                send_piece(fd, whole, sizeof HEAD - 1 + n);
        } else {
                send_piece(fd, HEAD, sizeof HEAD - 1);
                send_piece(fd, data, first);
        }
        send_piece(fd, data + first, size - first);
        if (end & 1)
                (void) shutdown(fd, SHUT_WR);
        run();
        drain(fd);
        (void) close(fd);
        for (unsigned i = 0; n_accepted > 0; i++) {
                run();
                check(i < 10000);
        }
        /* the library looks at what was handed back once a second */
        for (unsigned i = 0; http_server_counters(server)->connections > 50; i++) {
                check(i < 1000 && sd_event_run(event, 10 * USEC_PER_MSEC) >= 0);
        }
        return 0;
}
