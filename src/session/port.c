/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "session/operation.h"

#define DIAL_PATIENCE_USEC (10 * USEC_PER_SEC) /* for a server that does not accept */

struct PortDial {
        Operation *operation; /* owned */
        int sock;             /* owned: our end of what the connection comes over */
        uint16_t port;
        PortDone *done;
        void *userdata;
};

PortDial *port_dial_free(PortDial *d) {
        if (!d)
                return NULL;
        d->operation = operation_drop(d->operation);
        d->sock = fd_close(d->sock);
        free(d);
        return NULL;
}

/* --- what comes out --- */

static bool is_loopback(const struct sockaddr_storage *a, uint16_t port) {
        struct sockaddr_in in;
        struct sockaddr_in6 in6;

        if (a->ss_family == AF_INET) {
                memcpy(&in, a, sizeof in);
                return in.sin_port == htons(port) && in.sin_addr.s_addr == htonl(INADDR_LOOPBACK);
        }
        if (a->ss_family != AF_INET6)
                return false;
        memcpy(&in6, a, sizeof in6);
        return in6.sin6_port == htons(port) && IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

static bool option_is(int fd, int option, int wanted) {
        socklen_t length = sizeof(int);
        int value = -1;

        return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 && value == wanted;
}

static bool lingers(int fd) {
        struct linger l = { 0 };
        socklen_t length = sizeof l;

        return getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &length) < 0 || l.l_onoff;
}

int port_check(int fd, int family, uint16_t port) {
        struct sockaddr_storage peer = { 0 };
        socklen_t length = sizeof peer;

        if (!option_is(fd, SO_TYPE, SOCK_STREAM) || !option_is(fd, SO_PROTOCOL, IPPROTO_TCP) ||
                !option_is(fd, SO_ACCEPTCONN, 0) || (family && !option_is(fd, SO_DOMAIN, family)) || lingers(fd))
                return -EBADMSG;
        int r = getpeername(fd, (struct sockaddr *) &peer, &length) < 0 ? -errno : 0;
        if (port == 0)
                return r == -ENOTCONN ? 0 : -EBADMSG;
        if (r < 0)
                return r == -ENOTCONN ? -ECONNRESET : -EBADMSG; /* it was accepted and closed at once */
        return is_loopback(&peer, port) ? 0 : -EBADMSG;
}

/* Returns 0 or -errno. */
static int receive(PortDial *d, int socks[static PORT_SOCKETS_MAX]) {
        static const int families[PORT_SOCKETS_MAX] = { AF_INET, AF_INET6 };
        int fds[MESSAGE_FDS_MAX], r = 0;
        size_t n_fds = 0, most = d->port ? 1 : PORT_SOCKETS_MAX;
        char byte;

        ssize_t n = message_recv(d->sock, &byte, sizeof byte, fds, &n_fds, MSG_DONTWAIT);
        if (n < 0)
                return (int) n;
        if (n != 1 || n_fds == 0 || n_fds > most)
                r = -EBADMSG;
        for (size_t i = 0; i < n_fds && r == 0; i++) {
                r = port_check(fds[i], d->port ? 0 : families[i], d->port);
                if (r == 0)
                        r = fd_set_nonblock(fds[i], true);
        }
        if (r < 0)
                sockets_close(fds, n_fds);
        else
                memcpy(socks, fds, n_fds * sizeof *fds);
        return r;
}

static int refusal(const PortDial *d, int e, Error *error) {
        if (e == ECONNREFUSED)
                return error_set_field(error, ERROR_NO_SERVER, "port", NULL,
                        "Nothing in the sandbox listens on port %u of its loopback interface.", d->port);
        if (e == ECONNRESET)
                return error_set_field(error, ERROR_NO_SERVER, "port", NULL,
                        "The server on port %u closed the connection at once.", d->port);
        if (e == ETIMEDOUT)
                return error_set_field(
                        error, ERROR_NO_ANSWER, "port", NULL, "The server on port %u accepts no connections.", d->port);
        return e ? error_set(error, ERROR_INTERNAL, "The connection cannot be opened: %s.", strerror(e)) : 0;
}

static void on_ended(Operation *o, void *userdata) {
        PortDial *d = userdata;
        PortDone *done = d->done;
        void *data = d->userdata;
        _cleanup_error_ Error error = { 0 };
        int socks[PORT_SOCKETS_MAX] = { -EBADF, -EBADF }, r;

        if (operation_result(o) == OPERATION_DONE) {
                r = receive(d, socks);
                if (r < 0)
                        (void) refusal(d, -r, &error);
        } else {
                r = refusal(d, operation_result(o) == OPERATION_SILENT ? ETIMEDOUT : operation_errno(o), &error);
                if (r == 0)
                        r = operation_error(o, &error);
        }
        (void) port_dial_free(d);
        done(r, socks, &error, data);
}

static void on_readable(Operation *o, void *userdata) {
        char byte;

        (void) userdata;
        if (operation_read(o, &byte, sizeof byte) > 0)
                operation_break(o); /* it has nothing to say */
}

static const OperationHandlers handlers = { .readable = on_readable, .ended = on_ended };

int port_dial(Session *s, uint16_t port, PortDone *done, void *userdata, PortDial **ret, Error *error) {
        char text[PORT_DIGITS_MAX + 1];
        const char *argv[] = { port ? "connect" : "sockets", port ? text : NULL, NULL };
        int p[2];

        (void) snprintf(text, sizeof text, "%u", port);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
                return -errno;
        _cleanup_fd_ int theirs = p[1];
        _cleanup_(port_dial_freep) PortDial *d = calloc(1, sizeof *d);
        if (!d) {
                (void) fd_close(p[0]);
                return -ENOMEM;
        }
        *d = (PortDial){ .sock = p[0], .port = port, .done = done, .userdata = userdata };
        OperationSpec spec = {
                .argv = argv,
                .passed_fd = theirs,
                .patience = DIAL_PATIENCE_USEC,
                .handlers = &handlers,
                .userdata = d,
        };
        int r = operation_start(s, &spec, &d->operation, error);
        if (r < 0)
                return r;
        on_readable(d->operation, d);
        *ret = take_ptr(d);
        return 0;
}

/* --- who has one --- */

int port_use(Session *s, PortUse *u, Error *error) {
        if (s->n_port_uses >= PORT_USES_MAX)
                return error_set_field(error, ERROR_QUOTA, "port", "128 connections",
                        "%u connections into this session are open already.", s->n_port_uses);
        u->session = s;
        LIST_INSERT_HEAD(&s->port_uses, u, entry);
        s->n_port_uses++;
        return 0;
}

void port_use_end(PortUse *u) {
        if (!u->session)
                return;
        LIST_REMOVE(u, entry);
        u->session->n_port_uses--;
        u->session = NULL;
}

void port_uses_end(Session *s) {
        PortUse *u;

        while ((u = LIST_FIRST(&s->port_uses))) {
                port_use_end(u);
                u->ended(u);
        }
}
