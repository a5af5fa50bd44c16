/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "base/fd.h"
#include "base/listen.h"
#include "daemon/manager.h"
#include "log/log.h"

static int remember(Manager *m, int fd) {
        char **list = realloc(m->listen, (m->n_listen + 2) * sizeof *list);

        if (!list)
                return -ENOMEM;
        m->listen = list;
        list[m->n_listen] = listen_describe(fd);
        if (!list[m->n_listen])
                return -ENOMEM;
        list[++m->n_listen] = NULL;
        return 0;
}

static int serve(Manager *m, int fd, const char *what) {
        _cleanup_fd_ int owned = fd;

        int r = http_check_public(fd, what, m->config->keys.n > 0 || m->config->allow_anonymous);
        if (r < 0) {
                m->exit_code = EX_CONFIG;
                return r;
        }
        r = remember(m, fd);
        if (r >= 0)
                r = http_server_listen(m->server, take_fd(owned));
        return r < 0 ? log_error_errno(r, "Cannot listen on %s: %m", what) : 0;
}

/* What the service manager passed. */
static int take_sockets(Manager *m) {
        char text[64], **names = NULL;
        int n = sd_listen_fds_with_names(1, &names), served = 0, r = 0;

        if (n < 0)
                return log_error_errno(n, "Cannot take over the sockets of the service manager: %m");
        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;
                if (strcmp(names[i], RECORDS_NAME) == 0) {
                        fd_close(m->records_fd); /* the newest counts */
                        m->records_fd = fd;
                } else if (r < 0 || sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
                        fd_close(fd);
                else {
                        (void) snprintf(text, sizeof text, "Socket %s", names[i]);
                        r = serve(m, fd, text);
                        served++;
                }
                free(names[i]);
        }
        free(names);
        if (r < 0)
                return r;
        if (served == 0) {
                log_error("No listening socket was passed: start sandboxd@%s.socket, or run with --standalone.",
                        m->config->worker_id);
                return -ENOTCONN;
        }
        return 0;
}

static int open_unix(Manager *m, int *ret) {
        int n = snprintf(m->socket_path, sizeof m->socket_path, "%s/%s.sock", m->options.runtime, m->config->worker_id);

        int r = n < 0 || (size_t) n >= sizeof m->socket_path ? -ENAMETOOLONG : listen_unix(m->socket_path, ret);
        if (r < 0)
                m->socket_path[0] = '\0'; /* it is not ours to remove */
        return r;
}

static int open_sockets(Manager *m) {
        char address[32];
        const char *what;
        int fd, r;

        r = open_unix(m, &fd);
        if (r < 0)
                return log_error_errno(r, "Cannot listen on %s/%s.sock: %m", m->options.runtime, m->config->worker_id);
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
                r = listen_tcp(list[i], &fd, &what);
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
