/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/http-routes.h"

/* What clients send over a connection, in up to three pieces: the first two bytes say where it is cut, and how the
 * connection ends. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
        if (!condition)
                abort();
}

static void run(sd_event *event) {
        /* a connection may want to run again and again: such a one ends after a second */
        for (unsigned i = 0; i < 200 && sd_event_run(event, 0) > 0; i++)
                ;
}

static size_t drain(int fd) {
        static char buf[65536];
        size_t total = 0;
        ssize_t n;

        while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0)
                total += (size_t) n;
        return total;
}

static void send_piece(sd_event *event, int fd, const uint8_t *data, size_t size) {
        if (size > 0)
                (void) send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        run(event);
        (void) drain(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static HttpRoutes routes;
        static sd_event *event;

        if (!event) {
                check(sd_event_new(&event) >= 0);
                http_routes_start(&routes, event, 100);
        }
        if (size < 3)
                return 0;

        size_t first = data[0] * (size - 3) / 255, second = first + data[1] * (size - 3 - first) / 255;
        uint8_t end = data[2];
        data += 3;
        size -= 3;
        routes.n_flow = 5000;
        routes.hold = end & 4;
        int fd = http_routes_connect(&routes);
        send_piece(event, fd, data, first);
        send_piece(event, fd, data + first, second - first);
        send_piece(event, fd, data + second, size - second);
        if ((end & 8) && routes.waiting) {
                HttpRequest *r = routes.waiting;
                routes.waiting = NULL;
                http_answer_empty(r, 204);
                run(event);
        }
        if (routes.held) {
                routes.hold = false;
                http_body_wake(routes.held);
                run(event);
        }
        if (end & 1)
                (void) shutdown(fd, SHUT_WR);
        run(event);
        (void) close(fd);
        for (unsigned i = 0; http_server_counters(routes.server)->connections > 0; i++) {
                run(event);
                check(i < 10000);
        }
        check(http_server_n_busy(routes.server) == 0 && !routes.waiting && !routes.held);
        return 0;
}
