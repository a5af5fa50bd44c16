/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "base/fd.h"
#include "base/listen.h"
#include "coord/coord.h"
#include "log/log.h"

static int serve(Coordinator *c, int fd, const char *what) {
        _cleanup_fd_ int owned = fd;

        int r = http_check_public(fd, what, c->config->keys.n > 0 || c->config->allow_anonymous);
        if (r < 0) {
                c->exit_code = EX_CONFIG;
                return r;
        }
        r = http_server_listen(c->server, take_fd(owned));
        return r < 0 ? log_error_errno(r, "Cannot listen on %s: %m", what) : 0;
}

/* What the service manager passed. Returns how many, or -errno. */
static int take_sockets(Coordinator *c) {
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
                int r = serve(c, fd, text);
                if (r < 0)
                        return r;
                served++;
        }
        return served;
}

static int open_socket(Coordinator *c, const char *address) {
        const char *what = NULL;
        int fd, r;

        r = strncmp(address, "unix:", 5) == 0 ? listen_unix(address + 5, &fd) : listen_tcp(address, &fd, &what);
        if (r < 0 && what) {
                log_error("Cannot listen on %s: %s.", address, what);
                return r;
        }
        if (r < 0)
                return log_error_errno(r, "Cannot listen on %s: %m", address);
        return serve(c, fd, address);
}

int coord_listen(Coordinator *c) {
        char address[32];
        int r = 0;

        if (c->options.n_listen == 0) {
                r = take_sockets(c);
                if (r != 0)
                        return r < 0 ? r : 0;
                (void) snprintf(address, sizeof address, "127.0.0.1:%u", c->config->port);
                return open_socket(c, address);
        }
        for (size_t i = 0; i < c->options.n_listen && r >= 0; i++)
                r = open_socket(c, c->options.listen[i]);
        return r;
}
