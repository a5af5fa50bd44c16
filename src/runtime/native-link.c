/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "runtime/native-internal.h"

#define RECONNECT_USEC (100 * USEC_PER_MSEC)
#define MESSAGES_PER_TURN 64

int native_link_send(Native *n, const SpawnMessage *m) {
        struct iovec iov = { .iov_base = (void *) m, .iov_len = sizeof *m };

        return n->sock >= 0 ? message_send(n->sock, &iov, 1, NULL, 0) : -ENOTCONN;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Native *n = userdata;

        (void) source;
        (void) usec;
        (void) native_link_connect(n);
        return 0;
}

static void retry_later(Native *n) {
        int r;

        if (!n->path)
                return;
        if (n->retry)
                r = sd_event_source_set_time_relative(n->retry, RECONNECT_USEC);
        else
                r = sd_event_add_time_relative(n->event, &n->retry, CLOCK_MONOTONIC, RECONNECT_USEC, 0, on_retry, n);
        if (r >= 0)
                (void) sd_event_source_set_enabled(n->retry, SD_EVENT_ONESHOT);
}

/* The connection is gone. Sandboxes may live on: which ones is told when it is back. What was being asked for is lost.
 */
static void disconnect(Native *n) {
        Sandbox *s, *next;

        n->io = sd_event_source_disable_unref(n->io);
        n->sock = fd_close(n->sock);
        n->synced = false;
        n->backend.n_clearing = 0;
        for (s = LIST_FIRST(&n->sandboxes); s; s = next) {
                next = LIST_NEXT(s, entry);
                if (s->generation == 0 || !n->path)
                        native_end(s, -ENOTCONN, "the spawner is gone");
        }
        native_set_status(n, n->backend.status == BACKEND_CONNECTING ? BACKEND_CONNECTING : BACKEND_LOST);
        retry_later(n);
}

/* There is room again. */
static void tell_ends(Native *n) {
        Sandbox *s;

        (void) sd_event_source_set_io_events(n->io, EPOLLIN);
        LIST_FOREACH(s, &n->sandboxes, entry)
        if (s->end_wanted)
                native_tell_end(n, s);
}

static int on_message(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Native *n = userdata;
        SpawnMessage m;
        int fds[MESSAGE_FDS_MAX], r = 0;
        size_t n_fds;

        (void) source;
        if (revents & EPOLLOUT) {
                tell_ends(n);
                if (n->forget_wanted)
                        native_forget(&n->backend);
                if (n->room_wanted && n->backend.notify) {
                        n->room_wanted = false;
                        n->backend.notify(&n->backend, n->backend.userdata);
                }
        }
        for (int i = 0; i < MESSAGES_PER_TURN && r == 0; i++) {
                ssize_t size = message_recv(fd, &m, sizeof m, fds, &n_fds, MSG_DONTWAIT);
                if (size == -EAGAIN)
                        return 0;
                if (size != sizeof m) {
                        if (size > 0)
                                fds_close(fds, n_fds);
                        r = -EPIPE;
                        break;
                }
                m.text[sizeof m.text - 1] = '\0';
                r = native_answer_handle(n, &m, fds, n_fds);
                fds_close(fds, n_fds);
        }
        if (r < 0)
                disconnect(n);
        return 0;
}

int native_link_hello(Native *n) {
        SpawnMessage m = { .type = SPAWN_HELLO, .cookie = WIRE_VERSION, .flags = SPAWN_KNOWS_CLEARED };

        int r = fd_set_nonblock(n->sock, true);
        if (r >= 0)
                r = sd_event_add_io(n->event, &n->io, n->sock, EPOLLIN, on_message, n);
        if (r >= 0)
                r = native_link_send(n, &m);
        return r;
}

int native_link_connect(Native *n) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int r = 0;

        (void) snprintf(address.sun_path, sizeof address.sun_path, "%s", n->path);
        n->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (n->sock < 0 || connect(n->sock, (struct sockaddr *) &address, sizeof address) < 0)
                r = -errno;
        if (r == 0)
                r = native_link_hello(n);
        if (r < 0)
                disconnect(n);
        return r;
}
