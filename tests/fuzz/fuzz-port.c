/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "http/headers.h"
#include "http/port-head.h"
#include "spec/port.h"

/* What a server in a sandbox answers, in up to two pieces: the first byte says where it is cut, the second how the
 * connection ends. All headers go the way that they go to a client. */

#define PREFIX "/v1/sessions/abc/ports/3000"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
        if (!condition)
                abort();
}

typedef struct Run {
        Fetch *fetch;
        bool done;
        unsigned n_heads;
        size_t bytes;
} Run;

static void check_header(const Fetch *f, FetchHeader h) {
        bool drop;

        for (const char *p = h.value; *p; p++)
                check(*p == '\t' || ((unsigned char) *p >= ' ' && *p != 0x7f));
        if (!port_answer_has(h.name, fetch_header(f, "Connection")))
                return;
        check(!header_is_hop(h.name));
        _cleanup_free_ char *value = port_answer_value(h.name, h.value, PREFIX, 3000, &drop);
        check(!value || !drop);
        if (value && strcasecmp(h.name, "Set-Cookie") == 0)
                check(strstr(value, "; Path=" PREFIX "/"));
        else if (value)
                check(strncmp(value, PREFIX "/", strlen(PREFIX "/")) == 0);
}

static void on_head(Fetch *f, void *userdata) {
        Run *r = userdata;

        check(++r->n_heads == 1);
        check(fetch_status(f) == 101 || (fetch_status(f) >= 200 && fetch_status(f) <= 599));
        for (size_t i = 0; i < fetch_n_headers(f); i++)
                check_header(f, fetch_header_at(f, i));
}

static bool on_data(Fetch *f, const char *data, size_t size, void *userdata) {
        Run *r = userdata;

        (void) f;
        (void) data;
        check(r->n_heads == 1);
        r->bytes += size;
        return true;
}

static void on_done(Fetch *f, int result, void *userdata) {
        Run *r = userdata;

        check(result <= 0 && (result < 0 || r->n_heads == 1));
        if (result == 0 && fetch_status(f) != 101 && fetch_length(f) != FETCH_SIZE_UNKNOWN && fetch_status(f) != 304)
                check(r->bytes == fetch_length(f) || r->bytes == 0);
        r->done = true;
}

static void run(sd_event *event, const Run *r) {
        for (unsigned i = 0; i < 50 && !r->done && sd_event_run(event, 0) > 0; i++)
                ;
}

static int begin_listening(uint16_t *ret_port) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof a;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        check(fd >= 0 && bind(fd, (struct sockaddr *) &a, sizeof a) == 0 && listen(fd, 16) == 0);
        check(getsockname(fd, (struct sockaddr *) &a, &length) == 0);
        *ret_port = ntohs(a.sin_port);
        return fd;
}

static void end_connection(int fd, bool reset) {
        struct linger at_once = { .l_onoff = 1 };

        if (reset)
                (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        (void) close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const FetchOps ops = { .head = on_head, .data = on_data, .done = on_done };
        static sd_event *event;
        static Fetcher *fetcher;
        static FetchServer *server;
        static int listener;
        uint16_t port;
        Run r = { 0 };

        if (!event) {
                char url[40];
                check(sd_event_new(&event) >= 0 && fetcher_new(event, &fetcher) == 0);
                listener = begin_listening(&port);
                (void) snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
                check(fetch_server_new(fetcher, url, &server) == 0);
        }
        if (size < 2)
                return 0;
        _cleanup_free_ char *text = strndup((const char *) data, size);
        (void) port_target(text, PREFIX);
        if (port_parse(text, &port) == 0)
                check(port > 0 && text[0] != '0' && strlen(text) <= PORT_DIGITS_MAX);

        size_t first = data[0] * (size - 2) / 255;
        uint8_t end = data[1];
        data += 2;
        size -= 2;
        FetchRequest q = {
                .method = end & 4 ? "HEAD" : "GET",
                .target = "/",
                .upgrade = end & 2,
                .sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
        };
        check(q.sock >= 0 && fetch_start(server, &q, &ops, &r, &r.fetch) == 0);
        run(event, &r);
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        check(fd >= 0);
        run(event, &r);
        (void) send(fd, data, first, MSG_NOSIGNAL | MSG_DONTWAIT);
        run(event, &r);
        (void) send(fd, data + first, size - first, MSG_NOSIGNAL | MSG_DONTWAIT);
        run(event, &r);
        end_connection(fd, end & 1);
        run(event, &r);
        (void) fetch_free(r.fetch);
        return 0;
}
