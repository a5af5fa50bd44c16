/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/channel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "fetch/fetch-internal.h"

struct Channel {
        sd_event *event; /* borrowed */
        Fetch *fetch;    /* owns the connection */
        const ChannelOps *ops;
        void *userdata;
        sd_event_source *io;
        bool tls;
        bool want_write;
};

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Channel *c = userdata;

        (void) source;
        (void) fd;
        /* one of them, which may free it; the other is told in the next turn */
        if (revents & EPOLLOUT)
                c->ops->writable(c, c->userdata);
        else
                c->ops->readable(c, c->userdata);
        return 0;
}

static void on_done(Fetch *f, int result, void *userdata) {
        Channel *c = userdata;

        if (result == 0 && f->sock < 0)
                result = -ECONNRESET;
        if (result == 0) {
                fetcher_forget_socket(f->fetcher, f->sock);
                result = sd_event_add_io(c->event, &c->io, f->sock, EPOLLIN, on_ready, c);
        }
        if (result < 0)
                c->ops->failed(c, result, c->userdata);
        else
                c->ops->opened(c, c->userdata);
}

static const FetchOps channel_ops = { .done = on_done };

int channel_open(FetchServer *server, const char *ca_file, usec_t patience, const ChannelOps *ops, void *userdata,
        Channel **ret) {
        _cleanup_(channel_freep) Channel *c = calloc(1, sizeof *c);
        FetchRequest q = {
                .method = "GET",
                .target = "/",
                .patience = patience,
                .connect_only = true,
                .ca_file = ca_file,
        };

        if (!c)
                return -ENOMEM;
        c->event = server->fetcher->event;
        c->ops = ops;
        c->userdata = userdata;
        c->tls = strncmp(server->url, "https:", 6) == 0;
        int r = fetch_start(server, &q, &channel_ops, c, &c->fetch);
        if (r < 0)
                return r;
        *ret = take_ptr(c);
        return 0;
}

Channel *channel_free(Channel *c) {
        if (!c)
                return NULL;
        c->io = sd_event_source_disable_unref(c->io);
        c->fetch = fetch_free(c->fetch);
        free(c);
        return NULL;
}

const char *channel_trouble(const Channel *c) {
        if (!c->fetch || c->fetch->failure < 0)
                return NULL;
        switch (c->fetch->code) {
        case CURLE_COULDNT_RESOLVE_HOST:
                return "The name of the host has no address";
        case CURLE_SSL_CACERT_BADFILE:
                return "The certificates that are to be trusted cannot be read";
        case CURLE_PEER_FAILED_VERIFICATION:
                return "The server's certificate is not trusted, or of another name";
        case CURLE_SSL_CONNECT_ERROR:
                return "The server does not agree on TLS";
        default:
                return NULL;
        }
}

static ssize_t outcome(CURLcode code, const size_t *n) {
        return code == CURLE_OK ? (ssize_t) *n : code == CURLE_AGAIN ? -EAGAIN : -ECONNRESET;
}

ssize_t channel_read(Channel *c, char *buf, size_t size) {
        size_t n = 0;

        if (c->tls)
                return outcome(curl_easy_recv(c->fetch->handle->curl, buf, size, &n), &n);
        ssize_t got = recv(c->fetch->sock, buf, size, MSG_DONTWAIT);
        return got < 0 ? errno == EINTR ? -EAGAIN : -errno : got;
}

ssize_t channel_write(Channel *c, const char *data, size_t size) {
        size_t n = 0;

        if (c->tls)
                return outcome(curl_easy_send(c->fetch->handle->curl, data, size, &n), &n);
        ssize_t sent = send(c->fetch->sock, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        return sent < 0 ? errno == EINTR ? -EAGAIN : -errno : sent;
}

void channel_want_write(Channel *c, bool wanted) {
        if (!c->io || c->want_write == wanted)
                return;
        c->want_write = wanted;
        (void) sd_event_source_set_io_events(c->io, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void channel_local_address(const Channel *c, char buf[static CHANNEL_ADDRESS_MAX]) {
        union {
                struct sockaddr sa;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
                struct sockaddr_storage storage;
        } a;
        socklen_t size = sizeof a;

        buf[0] = '\0';
        if (getsockname(c->fetch->sock, &a.sa, &size) < 0)
                return;
        if (a.sa.sa_family == AF_INET)
                (void) inet_ntop(AF_INET, &a.in.sin_addr, buf, CHANNEL_ADDRESS_MAX);
        else if (a.sa.sa_family == AF_INET6)
                (void) inet_ntop(AF_INET6, &a.in6.sin6_addr, buf, CHANNEL_ADDRESS_MAX);
}
