/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "fetch/fetch-internal.h"

/* What a server answers, in pieces: the first byte says how large they are, the second what was asked, whether what
 * comes is taken at once, and whether the connection ends after it. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Outcome {
        bool head, done, refuses;
        int result;
        size_t got;
} Outcome;

static sd_event *event;
static Fetcher *fetcher;
static FetchServer *server;
static int listener;

static void check(bool condition) {
        if (!condition)
                abort();
}

static void on_head(Fetch *f, void *userdata) {
        Outcome *o = userdata;

        check(!o->head && !o->done && fetch_status(f) >= 200 && fetch_status(f) <= 599);
        for (size_t i = 0; i < fetch_n_headers(f); i++) {
                FetchHeader h = fetch_header_at(f, i);
                check(h.name[0] && !strpbrk(h.name, "\r\n: ") && !strpbrk(h.value, "\r\n"));
        }
        o->head = true;
}

static bool on_data(Fetch *f, const char *piece, size_t size, void *userdata) {
        Outcome *o = userdata;

        (void) f;
        check(o->head && !o->done && size > 0);
        volatile char last = piece[size - 1]; /* the sanitizer looks whether it is there */
        (void) last;
        if (o->refuses) {
                o->refuses = false;
                return false;
        }
        o->got += size;
        return true;
}

static void on_done(Fetch *f, int result, void *userdata) {
        Outcome *o = userdata;

        check(!o->done && (result < 0 || o->head) && (result == 0 || result == -EPROTO || result == -ECONNRESET));
        check(fetch_length(f) == FETCH_SIZE_UNKNOWN || result < 0 || o->got <= fetch_length(f));
        o->done = true;
        o->result = result;
}

static const FetchOps ops = { .head = on_head, .data = on_data, .done = on_done };

static void start(void) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        char url[128];

        (void) snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "fuzz-fetch-%d", (int) getpid());
        (void) snprintf(url, sizeof url, "unix:@%s", a.sun_path + 1);
        socklen_t size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a.sun_path + 1));
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check(listener >= 0 && bind(listener, (struct sockaddr *) &a, size) == 0 && listen(listener, 16) == 0);
        check(sd_event_new(&event) >= 0 && fetcher_new(event, &fetcher) == 0);
        check(fetch_server_new(fetcher, url, &server) == 0);
}

static void run(const Outcome *o) {
        for (unsigned i = 0; i < 20 && !o->done && sd_event_run(event, 0) > 0; i++)
                ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Outcome o = { 0 };
        Fetch *f;

        if (!event)
                start();
        if (size < 2 || size > 400000)
                return 0;
        size_t piece = data[0] < 128 ? data[0] + 1U : 1024U * (data[0] - 127U);
        FetchRequest q = {
                .method = data[1] & 1   ? "HEAD"
                          : data[1] & 2 ? "POST"
                                        : "GET",
                .target = "/",
                .body = data[1] & 2 ? "x" : NULL,
                .body_size = data[1] & 2 ? 1 : 0,
        };
        o.refuses = data[1] & 4;
        bool ends = data[1] & 8;

        check(fetch_start(server, &q, &ops, &o, &f) == 0);
        _cleanup_fd_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        check(fd >= 0);
        for (size_t at = 2; at < size && !o.done; at += piece) {
                if (send(fd, data + at, MIN(piece, size - at), MSG_NOSIGNAL) < 0)
                        break;
                run(&o);
                fetch_wake_data(f);
        }
        if (ends)
                fd = fd_close(fd);
        run(&o);
        fetch_wake_data(f);
        run(&o);
        f = fetch_free(f);
        fd = fd_close(fd);
        for (unsigned i = 0; i < 20 && fetcher->n_wires > 0; i++)
                (void) sd_event_run(event, 0);
        check(fetcher->n_wires == 0 && fetcher->n_idle == 0 && fetcher->n_settled == 0);
        return 0;
}
