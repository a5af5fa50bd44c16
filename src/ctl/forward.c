/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "ctl/interrupt.h"
#include "ctl/reader.h"
#include "ctl/session.h"
#include "ctl/terminal.h"

/* Ports of this machine that lead to servers in a session. Each connection is a process of its own. */

#define PORTS_MAX 16
#define CONNECTIONS_MAX 100U
#define HEAD_MAX 16384U
#define BUFFER_SIZE (64U * 1024U)
#define HEAD_PATIENCE_MS 30000

typedef struct Forward {
        uint16_t local, remote;
        int fd; /* owned: listens */
} Forward;

/* --- one connection --- */

typedef struct Tunnel {
        CURL *curl;
        int local, remote; /* borrowed */
        char up[BUFFER_SIZE], down[BUFFER_SIZE];
        size_t up_used, up_sent, down_used, down_sent;
        bool up_over, down_over;
} Tunnel;

static int send_all(CURL *curl, int fd, const char *text) {
        size_t left = strlen(text), n;

        while (left > 0) {
                CURLcode k = curl_easy_send(curl, text, left, &n);
                struct pollfd p = { .fd = fd, .events = POLLOUT };
                if (k == CURLE_AGAIN && poll(&p, 1, HEAD_PATIENCE_MS) > 0)
                        continue;
                if (k != CURLE_OK)
                        return -EPIPE;
                text += n;
                left -= n;
        }
        return 0;
}

/* Reads the answer's head; what came behind it stays in @t->down. Returns 0 when the connection is ours now. */
static int receive_head(Tunnel *t, char **ret_status) {
        for (;;) {
                size_t n = 0;
                CURLcode k = curl_easy_recv(t->curl, t->down + t->down_used, HEAD_MAX - 1 - t->down_used, &n);
                struct pollfd p = { .fd = t->remote, .events = POLLIN };
                if (k == CURLE_AGAIN && poll(&p, 1, HEAD_PATIENCE_MS) > 0)
                        continue;
                if (k != CURLE_OK || n == 0)
                        return -EPIPE;
                t->down_used += n;
                t->down[t->down_used] = '\0';
                char *end = strstr(t->down, "\r\n\r\n");
                if (!end && t->down_used == HEAD_MAX - 1)
                        return -EFBIG;
                if (!end)
                        continue;
                t->down_sent = (size_t) (end + 4 - t->down);
                *ret_status = xasprintf("%.*s", (int) strcspn(t->down, "\r\n"), t->down);
                return strncmp(t->down, "HTTP/1.1 101 ", 13) == 0 ? 0 : -ENOPROTOOPT;
        }
}

/* Moves what can be moved. Returns false when both have said all, or one is gone. */
static bool move_down(Tunnel *t) {
        size_t n = 0;

        if (t->down_sent == t->down_used && !t->down_over) {
                t->down_sent = t->down_used = 0;
                CURLcode k = curl_easy_recv(t->curl, t->down, sizeof t->down, &n);
                if (k == CURLE_OK && n > 0)
                        t->down_used = n;
                else if (k != CURLE_AGAIN)
                        t->down_over = true;
        }
        if (t->down_sent < t->down_used) {
                ssize_t k = send(t->local, t->down + t->down_sent, t->down_used - t->down_sent, MSG_NOSIGNAL);
                if (k < 0 && errno != EAGAIN)
                        return false;
                t->down_sent += k > 0 ? (size_t) k : 0;
        }
        return !t->down_over || t->down_sent < t->down_used;
}

static bool move_up(Tunnel *t) {
        size_t n = 0;

        if (t->up_sent == t->up_used && !t->up_over) {
                t->up_sent = t->up_used = 0;
                ssize_t k = recv(t->local, t->up, sizeof t->up, 0);
                if (k > 0)
                        t->up_used = (size_t) k;
                else if (k == 0) {
                        t->up_over = true;
                        (void) shutdown(t->remote, SHUT_WR); /* where it is encrypted, the end of it all */
                } else if (errno != EAGAIN)
                        return false;
        }
        if (t->up_sent < t->up_used) {
                CURLcode k = curl_easy_send(t->curl, t->up + t->up_sent, t->up_used - t->up_sent, &n);
                if (k != CURLE_OK && k != CURLE_AGAIN)
                        return false;
                t->up_sent += n;
        }
        return true;
}

static void pump(Tunnel *t) {
        while (move_down(t) && move_up(t)) {
                bool up_full = t->up_sent < t->up_used, down_full = t->down_sent < t->down_used;
                struct pollfd p[2] = {
                        { .fd = t->local,
                                .events = (short) ((up_full || t->up_over ? 0 : POLLIN) | (down_full ? POLLOUT : 0)) },
                        { .fd = t->remote, .events = (short) ((down_full ? 0 : POLLIN) | (up_full ? POLLOUT : 0)) },
                };
                if (p[0].events == 0)
                        p[0].fd = -1; /* its end is told again and again */
                if (poll(p, 2, -1) < 0 && errno != EINTR)
                        return;
        }
}

/* In a process of its own. */
_noreturn_ static void serve(Ctl *ctl, const char *session, const Forward *f, int local) {
        static Tunnel t;
        _cleanup_free_ char *path = xasprintf("/v1/sessions/%s/ports/%u/", session, f->remote), *head = NULL,
                            *request = NULL, *status = NULL;
        curl_socket_t fd;

        t.curl = client_connect(ctl->client, path, &head);
        if (!t.curl || curl_easy_getinfo(t.curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK) {
                print_error("%s", client_error(ctl->client));
                _exit(STATUS_FAILED);
        }
        t.local = local;
        t.remote = fd;
        request = xasprintf("%sConnection: Upgrade\r\nUpgrade: sandboxd-tcp\r\n\r\n", head);
        int r = send_all(t.curl, t.remote, request);
        if (r == 0)
                r = receive_head(&t, &status);
        if (r < 0) {
                _cleanup_free_ char *safe = status ? terminal_escape_string(status) : NULL;
                print_error("Port %u: %s", f->remote, safe ? safe : strerror(-r));
                _exit(STATUS_FAILED);
        }
        (void) fd_set_nonblock(t.local, true);
        pump(&t);
        _exit(0);
}

/* --- all --- */

/* "PORT" or "LOCAL:PORT". */
static int parse_forward(const char *text, Forward *ret) {
        const char *colon = strchr(text, ':');
        _cleanup_free_ char *first = colon ? xasprintf("%.*s", (int) (colon - text), text) : xstrdup(text);
        uint64_t local, remote;

        if (parse_unsigned(first, &local) < 0 || local > UINT16_MAX)
                return -EINVAL;
        remote = local;
        if (colon && (parse_unsigned(colon + 1, &remote) < 0))
                return -EINVAL;
        if (remote == 0 || remote > UINT16_MAX)
                return -EINVAL;
        *ret = (Forward){ .local = (uint16_t) local, .remote = (uint16_t) remote, .fd = -EBADF };
        return 0;
}

static int begin_listening(Forward *f) {
        struct sockaddr_in a = {
                .sin_family = AF_INET,
                .sin_port = htons(f->local),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        socklen_t length = sizeof a;
        int one = 1;

        f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (f->fd < 0)
                return -errno;
        (void) setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(f->fd, (struct sockaddr *) &a, sizeof a) < 0 || listen(f->fd, 64) < 0 ||
                getsockname(f->fd, (struct sockaddr *) &a, &length) < 0)
                return -errno;
        f->local = ntohs(a.sin_port);
        return 0;
}

static void accept_one(Ctl *ctl, const char *session, const Forward *f, unsigned *n_children) {
        _cleanup_fd_ int local = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);

        if (local < 0 || *n_children >= CONNECTIONS_MAX)
                return; /* closed at once */
        (void) fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
                serve(ctl, session, f, local);
        if (pid > 0)
                (*n_children)++;
}

static void listen_for_all(Ctl *ctl, const char *session, const Forward *forwards, size_t n) {
        struct pollfd p[PORTS_MAX + 1];
        unsigned n_children = 0;

        for (size_t i = 0; i < n; i++)
                p[i] = (struct pollfd){ .fd = forwards[i].fd, .events = POLLIN };
        p[n] = (struct pollfd){ .fd = interrupt_fd(), .events = POLLIN };
        while (interrupt_count() == 0) {
                if (poll(p, n + 1, n_children > 0 ? 1000 : -1) < 0 && errno != EINTR)
                        return;
                while (n_children > 0 && waitpid(-1, NULL, WNOHANG) > 0)
                        n_children--;
                for (size_t i = 0; i < n; i++)
                        if (p[i].revents & POLLIN)
                                accept_one(ctl, session, &forwards[i], &n_children);
        }
}

int command_forward(Ctl *ctl, int argc, char **argv) {
        Forward forwards[PORTS_MAX];
        _cleanup_free_ char *path = NULL;
        _cleanup_json_ json_t *session = NULL;
        size_t n = 0;

        if (!ctl_check_id(argv[0]))
                return STATUS_USAGE;
        if (argc - 1 > PORTS_MAX) {
                print_error("At most %d ports at a time", PORTS_MAX);
                return STATUS_USAGE;
        }
        for (; (int) n < argc - 1; n++)
                if (parse_forward(argv[n + 1], &forwards[n]) < 0) {
                        _cleanup_free_ char *safe = terminal_escape_string(argv[n + 1]);
                        print_error("\"%s\" is no port: expected PORT or LOCAL:PORT, from 1 to 65535", safe);
                        return STATUS_USAGE;
                }
        path = xasprintf("/v1/sessions/%s", argv[0]);
        if (ctl_call(ctl, &(Call){ .method = "GET", .path = path }, &session) < 0)
                return STATUS_FAILED;
        for (size_t i = 0; i < n; i++) {
                int r = begin_listening(&forwards[i]);
                if (r < 0) {
                        print_error("127.0.0.1:%u: %s", forwards[i].local, strerror(-r));
                        return STATUS_FAILED;
                }
        }
        if (interrupt_catch() < 0)
                return STATUS_FAILED;
        for (size_t i = 0; i < n; i++)
                printf("127.0.0.1:%u -> %s port %u\n", forwards[i].local, argv[0], forwards[i].remote);
        (void) fflush(stdout);
        listen_for_all(ctl, argv[0], forwards, n);
        for (size_t i = 0; i < n; i++)
                (void) fd_close(forwards[i].fd);
        interrupt_die();
        return 0;
}
