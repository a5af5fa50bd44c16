/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/listen.h"

#include <arpa/inet.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#define BACKLOG 4096
#define GROUP "sandbox"

typedef union Address {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_storage storage;
} Address;

bool listen_is_public(int fd) {
        Address a = { 0 };
        socklen_t length = sizeof a;

        if (getsockname(fd, &a.sa, &length) < 0)
                return true;
        switch (a.sa.sa_family) {
        case AF_UNIX:
                return false;
        case AF_INET:
                return (ntohl(a.in.sin_addr.s_addr) >> 24) != 127;
        case AF_INET6:
                return !IN6_IS_ADDR_LOOPBACK(&a.in6.sin6_addr);
        default:
                return true;
        }
}

int listen_tcp(const char *address, int *ret, const char **ret_what) {
        struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                .ai_socktype = SOCK_STREAM },
                        *ai;
        char host[128];
        const char *colon = strrchr(address, ':');
        uint64_t port;
        int one = 1, r = 0;

        *ret_what = "it has to be ADDRESS:PORT with a numeric address";
        size_t length = colon ? (size_t) (colon - address) : 0;
        if (length == 0 || length >= sizeof host)
                return -EINVAL;
        /* the C library takes what is too much modulo 65536, and nothing for 0 */
        if (parse_unsigned(colon + 1, &port) < 0 || port > UINT16_MAX) {
                *ret_what = "the port has to be a number up to 65535";
                return -EINVAL;
        }
        memcpy(host, address, length);
        host[length] = '\0';
        char *name = host;
        if (host[0] == '[' && host[length - 1] == ']') {
                host[length - 1] = '\0';
                name++;
        }
        if (getaddrinfo(name, colon + 1, &hints, &ai) != 0)
                return -EINVAL;

        *ret_what = NULL;
        _cleanup_fd_ int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
                bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
                r = -errno;
        freeaddrinfo(ai);
        if (r < 0)
                return r;
        *ret = take_fd(fd);
        return 0;
}

int listen_unix(const char *path, int *ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct group *group = getgrnam(GROUP);

        if (strlen(path) >= sizeof address.sun_path)
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);

        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *) &address, sizeof address) == 0)
                return -EADDRINUSE;
        (void) unlink(path);
        if (bind(fd, (struct sockaddr *) &address, sizeof address) < 0 || chmod(path, 0660) < 0 ||
                listen(fd, BACKLOG) < 0)
                return -errno;
        if (group && getuid() == 0 && chown(path, 0, group->gr_gid) < 0)
                return -errno;
        *ret = take_fd(fd);
        return 0;
}

char *listen_describe(int fd) {
        Address a = { 0 };
        socklen_t length = sizeof a;
        char host[INET6_ADDRSTRLEN], *text = NULL;
        int n;

        if (getsockname(fd, &a.sa, &length) < 0 || length > sizeof a)
                return strdup("");
        switch (a.sa.sa_family) {
        case AF_INET:
                (void) inet_ntop(AF_INET, &a.in.sin_addr, host, sizeof host);
                n = asprintf(&text, "%s:%u", host, ntohs(a.in.sin_port));
                break;
        case AF_INET6:
                (void) inet_ntop(AF_INET6, &a.in6.sin6_addr, host, sizeof host);
                n = asprintf(&text, "[%s]:%u", host, ntohs(a.in6.sin6_port));
                break;
        case AF_UNIX: {
                const char *path = a.un.sun_path;
                size_t used = length - offsetof(struct sockaddr_un, sun_path);
                bool abstract = used > 1 && path[0] == '\0';
                /* a path may fill the field, without NUL at its end; an abstract name has none */
                n = asprintf(
                        &text, "%s%.*s", abstract ? "@" : "", used > 0 ? (int) used - abstract : 0, path + abstract);
                break;
        }
        default:
                return strdup("");
        }
        return n < 0 ? NULL : text;
}
