/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "attack.h"

static bool is_policy(int error) {
        return error == EAFNOSUPPORT || error == EPERM || error == ENOSYS;
}

static void expect_refused(int family, int type, int protocol) {
        int fd = socket(family, type, protocol), error = errno;

        if (fd >= 0)
                (void) close(fd);
        if (fd >= 0 || !is_policy(error))
                hole("socket(%d, %d, %d) reached the kernel: %s", family, type, protocol,
                        fd >= 0 ? "done" : strerror(error));
}

int attack_socket_families(char part) {
        static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET, 6, 10 };
        int pair[2];

        (void) part;
        for (int family = 0; family < 64; family++) {
                for (size_t i = 0; i < N_OF(types); i++) {
                        if (family == AF_UNIX)
                                continue;
                        if (family == AF_NETLINK) {
                                for (int protocol = 1; protocol < 32; protocol++)
                                        expect_refused(family, types[i], protocol);
                                continue;
                        }
                        if ((family == AF_INET || family == AF_INET6) &&
                                (types[i] == SOCK_STREAM || types[i] == SOCK_DGRAM))
                                continue;
                        expect_refused(family, types[i], 0);
                        expect_refused(family, types[i], 1);
                }
                if (family != AF_UNIX && (socketpair(family, SOCK_STREAM, 0, pair) == 0 || !is_policy(errno)))
                        hole("socketpair(%d) reached the kernel", family);
        }
        expect_refused(-1, SOCK_STREAM, 0);
        expect_refused(1 << 16, SOCK_STREAM, 0);
        /* what has to work */
        static const int good[][3] = { { AF_UNIX, SOCK_STREAM, 0 }, { AF_UNIX, SOCK_SEQPACKET, 0 },
                { AF_INET, SOCK_STREAM, 0 }, { AF_INET, SOCK_DGRAM, 17 }, { AF_INET6, SOCK_STREAM, 6 },
                { AF_NETLINK, SOCK_RAW, 0 } };
        for (size_t i = 0; i < N_OF(good); i++) {
                int fd = socket(good[i][0], good[i][1] | SOCK_CLOEXEC, good[i][2]);
                if (fd < 0 && !(good[i][0] == AF_INET6 && errno == EAFNOSUPPORT))
                        hole("socket(%d, %d, %d), which is harmless, does not work", good[i][0], good[i][1],
                                good[i][2]);
        }
        return verdict("64 families");
}

int attack_socket_protocols(char part) {
        (void) part;
        for (int family = AF_INET; family <= AF_INET6; family += AF_INET6 - AF_INET)
                for (int protocol = 1; protocol < 300; protocol++) {
                        if (protocol != IPPROTO_TCP)
                                expect_refused(family, SOCK_STREAM, protocol);
                        if (protocol != IPPROTO_UDP)
                                expect_refused(family, SOCK_DGRAM, protocol);
                        expect_refused(family, SOCK_RAW, protocol);
                        expect_refused(family, SOCK_SEQPACKET, protocol);
                }
        return verdict("TCP and UDP only");
}

int attack_socket_layers(char part) {
        static const char *const layers[] = { "tls", "smc", "espintcp", "mptcp", "attack" };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

        (void) part;
        if (fd < 0)
                return skipped("no TCP");
        for (size_t i = 0; i < N_OF(layers); i++) {
                if (setsockopt(fd, IPPROTO_TCP, 31 /* TCP_ULP */, layers[i], (socklen_t) strlen(layers[i])) == 0 ||
                        errno != EPERM)
                        hole("TCP_ULP \"%s\" reached the kernel: %s", layers[i], strerror(errno));
        }
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
                hole("ordinary options are refused too");
        return verdict("%zu layers", N_OF(layers));
}

int attack_msg_oob(char part) {
        int pair[2];
        char c = 'x';
        struct iovec v = { &c, 1 };
        struct mmsghdr many = { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } };

        (void) part;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return broken("no socketpair");
        if (send(pair[0], &c, 1, MSG_OOB) >= 0 || sendmsg(pair[0], &many.msg_hdr, MSG_OOB) >= 0 ||
                sendmmsg(pair[0], &many, 1, MSG_OOB) >= 0)
                hole("out-of-band data can be sent");
        (void) send(pair[0], "abc", 3, 0);
        if (recv(pair[1], &c, 1, MSG_OOB) >= 0 || recvmsg(pair[1], &many.msg_hdr, MSG_OOB) >= 0 ||
                recvmmsg(pair[1], &many, 1, MSG_OOB, NULL) >= 0)
                hole("out-of-band data can be received");
        if (recv(pair[1], &c, 1, 0) != 1 || c != 'a')
                hole("ordinary data does not arrive");
        return verdict("six calls");
}

int attack_net_none(char part) {
        static const char *const targets[] = { "8.8.8.8", "1.1.1.1", "169.254.169.254", "10.0.0.1", "172.17.0.1",
                "192.168.1.1", "100.100.100.200", "255.255.255.255", "224.0.0.1" };
        static const char *const targets6[] = { "2001:4860:4860::8888", "fd00:ec2::254", "fe80::1", "ff02::1" };
        char text[8192];

        (void) part;
        if (read_file("/proc/net/dev", text, sizeof text) > 0) {
                char *line = strchr(text, '\n');
                line = line ? strchr(line + 1, '\n') : NULL;
                for (line = line ? line + 1 : NULL; line && *line;
                        line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                        if (strncmp(line + strspn(line, " "), "lo:", 3) != 0)
                                hole("there is an interface %.12s", line);
        }
        if (read_file("/proc/net/route", text, sizeof text) > 0 && strchr(text, '\n') && strchr(text, '\n')[1])
                hole("there is a route");
        for (size_t i = 0; i < N_OF(targets); i++) {
                struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(53) };
                int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;
                (void) setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof one);
                (void) inet_pton(AF_INET, targets[i], &a.sin_addr);
                if (connect(fd, (struct sockaddr *) &a, sizeof a) == 0)
                        hole("there is a way to %s", targets[i]);
                (void) close(fd);
        }
        for (size_t i = 0; i < N_OF(targets6); i++) {
                struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(53), .sin6_scope_id = 1 };
                int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                (void) inet_pton(AF_INET6, targets6[i], &a.sin6_addr);
                /* what is local to a link lies on loopback here, which is nobody else's */
                if (fd >= 0 && targets6[i][1] != 'e' && targets6[i][1] != 'f' &&
                        connect(fd, (struct sockaddr *) &a, sizeof a) == 0)
                        hole("there is a way to %s", targets6[i]);
                if (fd >= 0)
                        (void) close(fd);
        }
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq r = { .ifr_name = "lo", .ifr_flags = 0 };
        if (fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &r) == 0)
                hole("interfaces can be configured");
        return verdict("loopback only");
}

int attack_loopback_services(char part) {
        static const int ports[] = { 22, 25, 53, 80, 111, 443, 631, 2375, 2376, 2379, 3000, 3306, 5000, 5001, 5432,
                5900, 5910, 5920, 5930, 6379, 6443, 8000, 8080, 8086, 8125, 9000, 9090, 9100, 9200, 10250, 11211, 15672,
                27017 };
        static char text[65536];

        (void) part;
        for (size_t i = 0; i < N_OF(ports); i++) {
                struct sockaddr_in a = { .sin_family = AF_INET,
                        .sin_port = htons((uint16_t) ports[i]),
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
                struct sockaddr_in6 b = { .sin6_family = AF_INET6,
                        .sin6_port = htons((uint16_t) ports[i]),
                        .sin6_addr = IN6ADDR_LOOPBACK_INIT };
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (connect(fd, (struct sockaddr *) &a, sizeof a) == 0)
                        hole("something listens on 127.0.0.1:%d", ports[i]);
                (void) close(fd);
                fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (fd >= 0 && connect(fd, (struct sockaddr *) &b, sizeof b) == 0)
                        hole("something listens on [::1]:%d", ports[i]);
                if (fd >= 0)
                        (void) close(fd);
        }
        if (read_file("/proc/net/unix", text, sizeof text) > 0 && strchr(text, '@'))
                hole("an abstract socket: %.60s", strchr(text, '@'));
        return verdict("%zu ports, no abstract socket", N_OF(ports));
}

static socklen_t abstract(struct sockaddr_un *a) {
        *a = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(a->sun_path, "\0sandbox-attack", 15);
        return (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 15);
}

int attack_abstract_sockets(char part) {
        struct sockaddr_un a;
        socklen_t n = abstract(&a);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char text[4096];

        if (part == 'a') {
                if (bind(fd, (struct sockaddr *) &a, n) < 0 || listen(fd, 5) < 0)
                        return broken("cannot listen: %s", strerror(errno));
                ready();
                wait_for_other();
                return held("it listened");
        }
        if (connect(fd, (struct sockaddr *) &a, n) == 0)
                hole("a neighbour's abstract socket can be reached");
        if (read_file("/proc/net/unix", text, sizeof text) > 0 && strstr(text, "sandbox-attack"))
                hole("a neighbour's abstract socket is listed");
        if (bind(fd, (struct sockaddr *) &a, n) < 0)
                hole("the name is taken");
        return verdict("the name is free here");
}

/* --- what a tenant leaves in its network namespace --- */

static void talk_tcp(int port) {
        struct sockaddr_in a = {
                .sin_family = AF_INET, .sin_port = htons((uint16_t) port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
        };
        int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
            client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
        static char data[60000];

        (void) setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(server, (struct sockaddr *) &a, sizeof a) < 0 || listen(server, 5) < 0 ||
                connect(client, (struct sockaddr *) &a, sizeof a) < 0)
                return;
        int there = accept(server, NULL, NULL);
        (void) send(client, data, sizeof data, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (recv(there, data, sizeof data, MSG_DONTWAIT) > 0)
                ;
        (void) shutdown(client, SHUT_WR); /* the side that ends first is left in TIME_WAIT */
        (void) recv(there, data, 1, 0);
        (void) close(there);
        (void) close(client);
}

/* A socket that nobody holds but a message inside of itself. */
static void bury(int fd) {
        int pair[2];
        char c = 0;
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(2 * sizeof(int))];
        } control = { 0 };
        struct iovec v = { &c, 1 };
        struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };

        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0)
                return;
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        *h = (struct cmsghdr){
                .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(2 * sizeof(int))
        };
        memcpy(CMSG_DATA(h), (int[]){ fd, pair[1] }, 2 * sizeof(int));
        (void) sendmsg(pair[0], &m, MSG_NOSIGNAL);
        (void) close(pair[0]);
        (void) close(pair[1]);
        (void) close(fd);
}

static void rows_of(const char *path, unsigned heads, const char *what) {
        char text[8192], *p = text;

        if (read_file(path, text, sizeof text) <= 0)
                return;
        for (; heads > 0 && p; heads--)
                p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL;
        if (p && *p)
                hole("%s: %.80s", what, p);
}

/* Numbers in a row of /proc/net/snmp or netstat, without the first @skip, which are constants. */
static void count_row(const char *path, const char *name, unsigned skip) {
        static char text[32768];
        size_t n = strlen(name);

        if (read_file(path, text, sizeof text) <= 0)
                return;
        for (char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
                if (strncmp(p, name, n) != 0 || p[n] != ':' ||
                        !(p[n + 2] == '-' || (p[n + 2] >= '0' && p[n + 2] <= '9')))
                        continue;
                char *end = strchr(p, '\n'), *q = p + n + 1;
                for (unsigned i = 0; q < end; i++) {
                        unsigned long value = strtoul(q, &q, 10);
                        if (i >= skip && value != 0)
                                hole("counter %u of %s in %s is %lu", i, name, path, value);
                }
        }
}

int attack_netns_residue(char part) {
        if (part == 'a') {
                talk_tcp(4242);
                struct sockaddr_in away = {
                        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0x08080808)
                };
                int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                (void) sendto(udp, "x", 1, 0, (struct sockaddr *) &away, sizeof away);
                struct sockaddr_in here = {
                        .sin_family = AF_INET, .sin_port = htons(4343), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
                };
                int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (bind(server, (struct sockaddr *) &here, sizeof here) == 0 && listen(server, 5) == 0)
                        bury(server);
                struct sockaddr_un name;
                socklen_t n = abstract(&name);
                int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (bind(local, (struct sockaddr *) &name, n) == 0 && listen(local, 5) == 0)
                        bury(local);
                return held("traffic, a closed connection, buried sockets");
        }
        char text[4096];
        if (read_file("/proc/net/dev", text, sizeof text) > 0 && strstr(text, "lo:")) {
                unsigned long bytes = strtoul(strstr(text, "lo:") + 3, NULL, 10);
                if (bytes != 0)
                        hole("a tenant before sent %lu bytes over loopback", bytes);
        }
        rows_of("/proc/net/tcp", 1, "a connection of a tenant before");
        rows_of("/proc/net/tcp6", 1, "a connection of a tenant before");
        rows_of("/proc/net/udp", 1, "a socket of a tenant before");
        rows_of("/proc/net/unix", 1, "a local socket of a tenant before");
        rows_of("/proc/net/ip6_flowlabel", 1, "a flow label of a tenant before");
        count_row("/proc/net/snmp", "Ip", 2);
        count_row("/proc/net/snmp", "Tcp", 4);
        count_row("/proc/net/snmp", "Udp", 0);
        count_row("/proc/net/snmp", "Icmp", 0);
        count_row("/proc/net/netstat", "TcpExt", 0);
        count_row("/proc/net/netstat", "IpExt", 0);
        for (int port = 4242; port <= 4343; port += 101) {
                struct sockaddr_in a = { .sin_family = AF_INET,
                        .sin_port = htons((uint16_t) port),
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
                if (connect(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *) &a, sizeof a) == 0)
                        hole("port %d of a tenant before listens", port);
        }
        return verdict("no counter, no connection, no socket");
}
