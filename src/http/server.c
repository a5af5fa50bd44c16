/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "http/headers.h"
#include "http/request-internal.h"

#define CONNECTION_MEMORY (32U * 1024U) /* the library's, for head and answer: it refuses a head that is longer */
#define ACCEPTS_PER_TURN 32
#define STEPS_PER_TURN 8
#define TICK_USEC USEC_PER_SEC
#define HEAD_PATIENCE_USEC (10 * USEC_PER_SEC)
#define IDLE_PATIENCE_USEC (75 * USEC_PER_SEC)
#define BODY_PATIENCE_USEC (30 * USEC_PER_SEC)
#define BODY_RATE_MIN (64 * KIB) /* bytes a second that a body has to come with beyond that */
#define LIBRARY_TIMEOUT_SEC 90U

/* --- connections --- */

static void on_connection(
        void *cls, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode code) {
        HttpServer *s = cls;
        HttpConnection *c = *context;

        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
                c = calloc(1, sizeof *c);
                if (!c)
                        return; /* its first request is refused */
                c->server = s;
                c->fd = info->connect_fd;
                c->since = clock_monotonic();
                c->deadline = c->since + HEAD_PATIENCE_USEC;
                http_connection_describe(
                        c, MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
                c->own = s->adding_own;
                TAILQ_INSERT_TAIL(&s->connections, c, entry);
                s->n_connections++;
                s->counters.connections = s->n_connections;
                *context = c;
                return;
        }
        if (!c)
                return;
        if (c->unread && !c->closing)
                http_linger_add(s->linger, c->fd);
        if (s->suspect == c)
                s->suspect = NULL;
        TAILQ_REMOVE(&s->connections, c, entry);
        s->n_connections--;
        s->counters.connections = s->n_connections;
        http_connection_forget(c);
        free(c->target);
        free(c);
        *context = NULL;
}

static void close_connection(HttpConnection *c) {
        (void) shutdown(c->fd, SHUT_RDWR);
        c->closing = true;
}

/* Makes room for a new connection: the one that has been idle for longest goes. */
static bool close_idle_one(HttpServer *s) {
        HttpConnection *c;

        TAILQ_FOREACH(c, &s->connections, entry)
        if (!c->busy && !c->closing) {
                close_connection(c);
                return true;
        }
        return false;
}

/* While it reads, the library takes no answer: nothing was sent for this request yet, so that it can be written beside
 * it. */
void http_connection_refuse(HttpServer *s, HttpConnection *c, ErrorKind kind, const char *detail) {
        unsigned status = error_http_status(kind);
        char text[512], answer[1024];

        (void) snprintf(text, sizeof text,
                "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":\"%s\"}", error_title(kind),
                status, detail);
        int n = snprintf(answer, sizeof answer,
                "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Type: application/problem+json\r\nX-Request-Id: %s\r\n"
                "Content-Length: %zu\r\n\r\n%s",
                status, error_title(kind), c->request->id, strlen(text), text);
        if (n > 0 && (size_t) n < sizeof answer)
                (void) send(c->fd, answer, (size_t) n, MSG_DONTWAIT | MSG_NOSIGNAL); /* who does not read has no use */
        s->counters.answers[status / 100]++;
        close_connection(c);
        /* one that turns in circles may not be told, if it has been held before */
        (void) MHD_set_connection_option(c->request->connection, MHD_CONNECTION_OPTION_TIMEOUT, 1U);
}

static void close_late_ones(HttpServer *s) {
        usec_t now = clock_monotonic();
        HttpConnection *c;

        TAILQ_FOREACH(c, &s->connections, entry) {
                if (c->closing)
                        continue;
                if (c->busy && c->reading && (!c->held || c->tried) && now > c->deadline)
                        http_connection_refuse(s, c, c->request->refused ? ERROR_TOO_LARGE : ERROR_REQUEST_TIMEOUT,
                                "The body did not come in time.");
                else if (!c->busy && now > (c->deadline ? c->deadline : c->since + IDLE_PATIENCE_USEC))
                        close_connection(c);
        }
}

static bool wants_to_run(HttpServer *s) {
        MHD_UNSIGNED_LONG_LONG timeout;

        /* other than "at once" are only time limits, which the tick looks after */
        return MHD_get_timeout(s->daemon, &timeout) == MHD_YES && timeout == 0;
}

/* --- requests --- */

/* Looks at the head, before the body is read. */
static int begin_request(HttpRequest *r, const char *path, const char *version, Error *error) {
        HttpServer *s = r->server;
        const char *length;

        http_request_make_id(r, http_request_header(r, "X-Request-Id"));
        if (s->settings.keep_targets && !r->client->target)
                return -ENOMEM; /* for another target there would be another answer */
        int k = http_head_check(r, version, error);
        if (k == 0)
                k = http_route_find(r, path, error);
        if (k < 0)
                return k;
        if (r->client->own) {
                const char *owner = http_request_header(r, HEADER_OWNER);
                if (owner && !(r->owner = strdup(owner)))
                        return -ENOMEM;
        } else if (!(r->route->flags & HTTP_ROUTE_OPEN)) {
                k = s->settings.authenticate(r, http_head_key(r), &r->owner, s->settings.userdata, error);
                if (k < 0 && error->kind == ERROR_UNAUTHORIZED)
                        http_request_set_header(r, "WWW-Authenticate", "Bearer");
                if (k < 0)
                        return k;
        }

        r->body_max = r->route->body_max == HTTP_BODY_SETTING ? s->settings.body_max : r->route->body_max;
        length = http_request_header(r, "Content-Length");
        uint64_t size = length ? strtoull(length, NULL, 10) : 0;
        if (size > r->body_max) {
                char limit[32];
                (void) snprintf(limit, sizeof limit, "%llu bytes", (unsigned long long) r->body_max);
                return error_set_field(error, ERROR_TOO_LARGE, "body", limit, "The body is larger than %s.", limit);
        }
        r->body_paid = size;
        r->client->reading = true;
        r->client->piece = clock_monotonic();
        r->client->deadline = clock_monotonic() + BODY_PATIENCE_USEC + size / BODY_RATE_MIN * USEC_PER_SEC;
        return 0;
}

static void refuse_body(HttpRequest *r, int result) {
        char limit[32];
        Error error = { 0 };

        (void) snprintf(limit, sizeof limit, "%llu bytes", (unsigned long long) r->body_max);
        if (result == -EFBIG)
                (void) error_set_field(&error, ERROR_TOO_LARGE, "body", limit, "The body is larger than %s.", limit);
        http_answer_error(r, &error, result);
        r->refused = true;
}

/* Hands a piece of the body to the handler. Returns true when there is more to come, or it has to wait. */
static bool receive_body(HttpRequest *r, const char *data, size_t *size) {
        if (*size > 0) {
                if (r->body_used + *size > r->body_max) {
                        r->body_write = NULL;
                        http_request_cancel(r);
                        refuse_body(r, -EFBIG);
                        *size = 0;
                        return true;
                }
                size_t taken = r->body_write(r, data, *size, r->body_userdata);
                assert(taken <= *size);
                r->body_used += taken;
                *size -= taken;
                while (r->body_used >= r->body_paid + BODY_RATE_MIN) {
                        r->body_paid += BODY_RATE_MIN;
                        r->client->deadline += USEC_PER_SEC;
                }
                if (*size > 0 && !r->answered) {
                        r->client->held = clock_monotonic();
                        http_request_suspend(r);
                }
                return true;
        }
        if (!r->body_ended) {
                r->body_ended = true;
                r->client->reading = false;
                r->client->deadline = 0;
                (void) r->body_write(r, NULL, 0, r->body_userdata);
        }
        return false;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
        const char *version, const char *upload, size_t *upload_size, void **context) {
        HttpServer *s = cls;
        HttpRequest *r = *context;
        Error error = { 0 };

        if (!r) {
                const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
                if (!info->socket_context)
                        return MHD_NO;
                r = *context = http_request_new(s, connection, info->socket_context, method);
                if (!r)
                        return MHD_NO;
                s->counters.requests++;
                int k = begin_request(r, url, version, &error);
                if (k < 0)
                        http_answer_error(r, &error, k);
                else if (r->route->flags & HTTP_ROUTE_STREAM) {
                        r->running = true;
                        r->route->handler(r, s->settings.userdata);
                }
                r->head_over = true;
                /* before the body is read, the connection ends with the answer; without one it can go on */
                if (!r->answered || !(r->unclear || r->chunked || http_request_header(r, "Content-Length")))
                        return MHD_YES;
                r->client->unread = true;
                return http_request_queue(r);
        }

        if (*upload_size > 0)
                r->client->piece = clock_monotonic();
        if (r->body_write && !r->answered) {
                if (receive_body(r, upload, upload_size))
                        return MHD_YES;
        } else if (*upload_size > 0) {
                /* what comes after a refusal is read and dropped, so that the client sees the answer */
                int k = r->refused || r->answered ? 0 : http_request_add_body(r, upload, *upload_size);
                if (k < 0)
                        refuse_body(r, k);
                *upload_size = 0;
                return MHD_YES;
        }

        r->client->reading = false;
        r->client->deadline = 0;
        if (!r->answered && !r->running) {
                r->running = true;
                r->route->handler(r, s->settings.userdata);
        }
        if (r->answered)
                return r->response ? http_request_queue(r) : MHD_NO;
        http_request_suspend(r);
        return MHD_YES;
}

/* The only one that sees the target before it is taken apart. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *connection) {
        HttpServer *s = cls;
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        HttpConnection *c = info->socket_context;

        if (c)
                c->bad_target = false;
        if (c && s->settings.keep_targets) {
                free(c->target);
                c->target = strdup(target); /* or the request is refused */
        }
        return NULL;
}

static size_t on_unescape(void *cls, struct MHD_Connection *connection, char *text) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

        (void) cls;
        return info->socket_context ? http_head_unescape(info->socket_context, text) : MHD_http_unescape(text);
}

static void on_completed(
        void *cls, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode code) {
        (void) cls;
        (void) connection;
        (void) code;
        if (*context)
                http_audit(*context);
        *context = http_request_free(*context);
}

/* --- the loop --- */

void http_server_run_soon(HttpServer *s) {
        if (s->again) /* else it ends */
                (void) sd_event_source_set_enabled(s->again, SD_EVENT_ONESHOT);
}

void http_server_break(HttpServer *s, HttpConnection *c, struct MHD_Connection *connection) {
        c->broken = connection;
        s->n_broken++;
        MHD_suspend_connection(connection);
        http_server_run_soon(s);
}

static void let_go_broken(HttpServer *s) {
        HttpConnection *c;

        if (s->n_broken == 0)
                return;
        TAILQ_FOREACH(c, &s->connections, entry)
        if (c->broken) {
                MHD_resume_connection(c->broken);
                c->broken = NULL;
        }
        s->n_broken = 0;
}

static void run(HttpServer *s) {
        let_go_broken(s);
        /* a body that is there already is taken in a few steps, without the rest of the loop in between */
        for (int i = 0; i < STEPS_PER_TURN; i++) {
                (void) MHD_run(s->daemon);
                if (!wants_to_run(s)) {
                        http_stuck_content(s);
                        return;
                }
        }
        http_stuck_look(s);
        http_server_run_soon(s);
}

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void) source;
        (void) fd;
        (void) revents;
        run(userdata);
        return 0;
}

static int on_again(sd_event_source *source, void *userdata) {
        HttpServer *s = userdata;

        (void) source;
        run(s);
        return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpServer *s = userdata;

        (void) usec;
        (void) sd_event_source_set_time_relative(source, TICK_USEC);
        close_late_ones(s);
        run(s);
        return 0;
}

static void refuse_without_descriptor(HttpServer *s, int listener) {
        s->reserve = fd_close(s->reserve);
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        fd_close(fd);
        s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        s->counters.refused++;
}

static int on_accept(sd_event_source *source, int listener, uint32_t revents, void *userdata) {
        HttpServer *s = userdata;

        (void) source;
        (void) revents;
        for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
                struct sockaddr_storage address = { 0 };
                socklen_t length = sizeof address;
                int one = 1;

                int fd = accept4(listener, (struct sockaddr *) &address, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0) {
                        if (errno == EMFILE || errno == ENFILE)
                                refuse_without_descriptor(s, listener);
                        break;
                }
                if (s->n_connections >= s->settings.connections_max && !close_idle_one(s)) {
                        s->counters.refused++;
                        fd_close(fd);
                        continue;
                }
                if (address.ss_family != AF_UNIX)
                        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                if (MHD_add_connection(s->daemon, fd, (struct sockaddr *) &address, length) != MHD_YES)
                        s->counters.refused++; /* it has closed the descriptor */
        }
        run(s);
        return 0;
}

static int add_listener(HttpServer *s, int fd, sd_event_io_handler_t accept_one) {
        _cleanup_fd_ int owned = fd;
        sd_event_source **listeners = reallocarray(s->listeners, s->n_listeners + 1, sizeof *listeners);

        if (!listeners)
                return -ENOMEM;
        s->listeners = listeners;
        int r = fd_set_nonblock(fd, true);
        if (r >= 0)
                r = sd_event_add_io(s->event, &s->listeners[s->n_listeners], fd, EPOLLIN, accept_one, s);
        if (r < 0)
                return r;
        r = sd_event_source_set_io_fd_own(s->listeners[s->n_listeners], true);
        if (r < 0)
                return r;
        s->n_listeners++;
        owned = -EBADF;
        return 0;
}

static bool is_own(int fd) {
        struct ucred peer;
        socklen_t length = sizeof peer;

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) >= 0 && peer.pid == getpid();
}

static int on_accept_own(sd_event_source *source, int listener, uint32_t revents, void *userdata) {
        HttpServer *s = userdata;
        struct sockaddr address = { .sa_family = AF_UNIX };

        (void) source;
        (void) revents;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return 0;
        if (!is_own(fd)) {
                fd_close(fd);
                return 0;
        }
        s->adding_own = true;
        if (MHD_add_connection(s->daemon, fd, &address, sizeof address.sa_family) != MHD_YES)
                s->counters.refused++; /* it has closed the descriptor */
        s->adding_own = false;
        run(s);
        return 0;
}

int http_server_listen_own(HttpServer *s, char name[static HTTP_OWN_NAME_MAX]) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t length = sizeof address;
        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        /* the kernel finds a name that is free */
        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof address.sun_family) < 0 || listen(fd, 128) < 0 ||
                getsockname(fd, (struct sockaddr *) &address, &length) < 0)
                return -errno;
        size_t n = length - offsetof(struct sockaddr_un, sun_path);
        if (n < 2 || n > HTTP_OWN_NAME_MAX)
                return -EIO;
        memcpy(name, address.sun_path + 1, n - 1);
        name[n - 1] = '\0';
        return add_listener(s, take_fd(fd), on_accept_own);
}

int http_server_listen(HttpServer *s, int fd) {
        return add_listener(s, fd, on_accept);
}

void http_server_close(HttpServer *s, bool (*wanted)(const HttpRequest *r, void *userdata), void *userdata) {
        HttpConnection *c;

        TAILQ_FOREACH(c, &s->connections, entry)
        if (c->request && wanted(c->request, userdata))
                close_connection(c);
}

void http_server_set_accepting(HttpServer *s, bool accepting) {
        for (size_t i = 0; i < s->n_listeners; i++)
                (void) sd_event_source_set_enabled(s->listeners[i], accepting ? SD_EVENT_ON : SD_EVENT_OFF);
}

void http_server_stop_listening(HttpServer *s) {
        for (size_t i = 0; i < s->n_listeners; i++)
                s->listeners[i] = sd_event_source_disable_unref(s->listeners[i]);
        s->n_listeners = 0;
}

static int start(HttpServer *s) {
        s->daemon = MHD_start_daemon(
                MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE, 0, NULL, NULL,
                on_request, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
                on_connection, s, MHD_OPTION_URI_LOG_CALLBACK, on_target, s, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape,
                s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT, 65536U,
                MHD_OPTION_CONNECTION_TIMEOUT, LIBRARY_TIMEOUT_SEC, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
        if (!s->daemon)
                return -ENOMEM;

        const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        int r = info ? sd_event_add_io(s->event, &s->io, info->epoll_fd, EPOLLIN, on_ready, s) : -EOPNOTSUPP;
        if (r >= 0)
                r = sd_event_add_defer(s->event, &s->again, on_again, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->again, SD_EVENT_OFF);
        if (r >= 0) /* whatever else is ready comes first: it may never end */
                r = sd_event_source_set_priority(s->again, SD_EVENT_PRIORITY_NORMAL + 1);
        if (r >= 0)
                r = sd_event_add_time_relative(s->event, &s->tick, CLOCK_MONOTONIC, TICK_USEC, 0, on_tick, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->tick, SD_EVENT_ON);
        return r < 0 ? r : 0;
}

int http_server_new(sd_event *event, const HttpServerSettings *settings, HttpServer **ret) {
        _cleanup_(http_server_freep) HttpServer *s = calloc(1, sizeof *s);

        if (!s)
                return -ENOMEM;
        s->event = event;
        s->settings = *settings;
        TAILQ_INIT(&s->connections);
        s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (s->reserve < 0)
                return -errno;
        if (getrandom(&s->id_prefix, sizeof s->id_prefix, 0) < 0)
                s->id_prefix = clock_realtime();
        int r = http_linger_new(event, &s->linger);
        if (r >= 0)
                r = start(s);
        if (r < 0)
                return r;
        *ret = take_ptr(s);
        return 0;
}

HttpServer *http_server_free(HttpServer *s) {
        HttpConnection *c;

        if (!s)
                return NULL;
        http_server_stop_listening(s);
        free(s->listeners);
        s->io = sd_event_source_disable_unref(s->io);
        s->again = sd_event_source_disable_unref(s->again);
        s->tick = sd_event_source_disable_unref(s->tick);
        if (s->daemon) {
                /* the library wants all connections resumed before it stops; closed ones are found on the way */
                TAILQ_FOREACH(c, &s->connections, entry) {
                        close_connection(c);
                        if (c->request)
                                http_request_abandon(c->request);
                }
                (void) MHD_run(s->daemon);
                let_go_broken(s);
                (void) MHD_run(s->daemon);
                MHD_stop_daemon(s->daemon);
        }
        s->linger = http_linger_free(s->linger);
        s->reserve = fd_close(s->reserve);
        free(s);
        return NULL;
}

void http_server_configure(HttpServer *s, uint64_t body_max, unsigned connections_max) {
        s->settings.body_max = body_max;
        s->settings.connections_max = connections_max;
}

const HttpCounters *http_server_counters(const HttpServer *s) {
        return &s->counters;
}

unsigned http_server_n_busy(const HttpServer *s) {
        return s->n_busy;
}
