/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/manager.h"
#include "log/log.h"

#define BACKLOG 4096

bool socket_is_public(int fd) {
        union {
                struct sockaddr sa;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
                struct sockaddr_storage storage;
        } a = { 0 };
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

static int serve(Manager *m, int fd, const char *what) {
        _cleanup_fd_ int owned = fd;

        if (socket_is_public(fd) && m->config->keys.n == 0 && !m->config->allow_anonymous) {
                log_error("%s can be reached from other machines, but no API keys are set: everyone could run programs "
                          "here. Set [Auth] Keys= (`sandboxctl key new` makes one), listen on 127.0.0.1, or set "
                          "[Auth] AllowAnonymous=yes.",
                        what);
                return -EPERM;
        }
        int r = http_server_listen(m->server, take_fd(owned));
        return r < 0 ? log_error_errno(r, "Cannot listen on %s: %m", what) : 0;
}

/* What the service manager passed. */
static int take_sockets(Manager *m) {
        char text[64];
        int n = sd_listen_fds(1), served = 0;

        if (n < 0)
                return log_error_errno(n, "Cannot take over the sockets of the service manager: %m");
        for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
                if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
                        fd_close(fd);
                        continue;
                }
                (void) snprintf(text, sizeof text, "Socket %d", fd);
                int r = serve(m, fd, text);
                if (r < 0)
                        return r;
                served++;
        }
        if (served == 0) {
                log_error("No listening socket was passed: start sandboxd@%s.socket, or run with --standalone.",
                        m->config->worker_id);
                return -ENOTCONN;
        }
        return 0;
}

static int open_tcp(const char *address, int *ret, const char **ret_what) {
        struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                .ai_socktype = SOCK_STREAM },
                        *ai;
        char host[128];
        const char *colon = strrchr(address, ':');
        int one = 1, r = 0;

        *ret_what = "it has to be ADDRESS:PORT with a numeric address";
        size_t length = colon ? (size_t) (colon - address) : 0;
        if (length == 0 || length >= sizeof host)
                return -EINVAL;
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

static int open_unix(Manager *m, int *ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct group *group = getgrnam("sandbox");

        int n = snprintf(m->socket_path, sizeof m->socket_path, "%s/%s.sock", m->options.runtime, m->config->worker_id);
        if (n < 0 || (size_t) n >= sizeof address.sun_path) {
                m->socket_path[0] = '\0';
                return -ENAMETOOLONG;
        }
        memcpy(address.sun_path, m->socket_path, (size_t) n + 1);

        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *) &address, sizeof address) == 0)
                return -EADDRINUSE; /* another worker of this name runs */
        (void) unlink(m->socket_path);
        if (bind(fd, (struct sockaddr *) &address, sizeof address) < 0 || chmod(m->socket_path, 0660) < 0 ||
                listen(fd, BACKLOG) < 0)
                return -errno;
        if (group && getuid() == 0 && chown(m->socket_path, 0, group->gr_gid) < 0)
                return -errno;
        *ret = take_fd(fd);
        return 0;
}

static int open_sockets(Manager *m) {
        char address[32];
        const char *what;
        int fd, r;

        r = open_unix(m, &fd);
        if (r < 0)
                return log_error_errno(r, "Cannot listen on %s: %m", m->socket_path);
        r = serve(m, fd, m->socket_path);
        if (r < 0)
                return r;

        size_t n = m->options.n_listen;
        const char *const *list = m->options.listen, *one = address;
        if (n == 0) {
                (void) snprintf(address, sizeof address, "127.0.0.1:%u", m->config->port ? m->config->port : 5000U);
                list = &one;
                n = 1;
        }
        for (size_t i = 0; i < n; i++) {
                r = open_tcp(list[i], &fd, &what);
                if (r < 0 && what) {
                        log_error("Cannot listen on %s: %s.", list[i], what);
                        return r;
                }
                if (r < 0)
                        return log_error_errno(r, "Cannot listen on %s: %m", list[i]);
                r = serve(m, fd, list[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int manager_listen(Manager *m) {
        return m->options.standalone ? open_sockets(m) : take_sockets(m);
}
