/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "spec/port.h"

/* Returns a connected socket or -errno. */
static int dial(const struct sockaddr *address, socklen_t length) {
        _cleanup_fd_ int sock = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (sock < 0)
                return -errno;
        if (connect(sock, address, length) < 0)
                return -errno;
        return take_fd(sock);
}

/* Where most servers listen first; some know nothing but IPv6. */
static int dial_loopback(uint16_t port) {
        struct sockaddr_in in = {
                .sin_family = AF_INET,
                .sin_port = htons(port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        struct sockaddr_in6 in6 = {
                .sin6_family = AF_INET6,
                .sin6_port = htons(port),
                .sin6_addr = IN6ADDR_LOOPBACK_INIT,
        };
        int sock = dial((const struct sockaddr *) &in, sizeof in);

        if (sock == -ECONNREFUSED)
                sock = dial((const struct sockaddr *) &in6, sizeof in6);
        /* without IPv6 there is nobody either */
        return sock == -EAFNOSUPPORT || sock == -EADDRNOTAVAIL ? -ECONNREFUSED : sock;
}

static int hand_out(const int *socks, size_t n) {
        struct iovec iov = { .iov_base = (char[]){ 0 }, .iov_len = 1 };

        return -message_send(BUILTIN_PASSED_FD, &iov, 1, socks, n);
}

/* connect PORT */
int builtin_connect(int argc, char **argv) {
        uint16_t port;

        if (argc != 2 || port_parse(argv[1], &port) < 0)
                return EINVAL;
        _cleanup_fd_ int sock = dial_loopback(port);
        return sock < 0 ? -sock : hand_out(&sock, 1);
}

/* sockets */
int builtin_sockets(int argc, char **argv) {
        static const int families[PORT_SOCKETS_MAX] = { AF_INET, AF_INET6 };
        int socks[PORT_SOCKETS_MAX];
        size_t n = 0;

        (void) argv;
        if (argc != 1)
                return EINVAL;
        for (size_t i = 0; i < ELEMENTSOF(families); i++) {
                int sock = socket(families[i], SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (sock < 0 && (i == 0 || errno != EAFNOSUPPORT))
                        return errno;
                if (sock >= 0)
                        socks[n++] = sock;
        }
        return hand_out(socks, n); /* ours are closed with the process */
}
