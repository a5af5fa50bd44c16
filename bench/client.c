/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sample.h"

#define POOL_PATIENCE_USEC 30e6
#define POOL_POLL_USEC 300
#define SETTLE_USEC 300

void client_open(Client *c, const char *address) {
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        struct sockaddr_in in = { .sin_family = AF_INET };
        bool local = address[0] == '/';
        char host[64];
        unsigned port;
        int one = 1;

        if (local)
                (void) snprintf(un.sun_path, sizeof un.sun_path, "%s", address);
        else if (sscanf(address, "%63[0-9.]:%u", host, &port) == 2 && inet_pton(AF_INET, host, &in.sin_addr) == 1)
                in.sin_port = htons((uint16_t) port);
        else
                errx(2, "%s: neither ADDR:PORT nor the path of a socket", address);

        c->fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || (local ? connect(c->fd, (struct sockaddr *) &un, sizeof un)
                                : connect(c->fd, (struct sockaddr *) &in, sizeof in)) < 0)
                err(EXIT_FAILURE, "%s", address);
        if (!local)
                (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void client_close(Client *c) {
        (void) close(c->fd);
        c->fd = -EBADF;
}

/* Returns the length of the whole answer once its head is there, else 0. */
static size_t answer_length(Client *c, size_t used) {
        c->answer[used] = '\0';
        char *end = strstr(c->answer, "\r\n\r\n");

        if (!end)
                return 0;
        const char *length = strcasestr(c->answer, "\r\nContent-Length:");
        c->body = end + 4;
        return (size_t) (c->body - c->answer) + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
}

double client_request(Client *c, const char *method, const char *path, const char *json, unsigned wanted) {
        char head[512], text[4096];
        size_t used = 0, whole = 0;

        (void) snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: bench\r\n", method, path);
        int length =
                json ? snprintf(text, sizeof text, "%sContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                               head, strlen(json), json)
                     : snprintf(text, sizeof text, "%s\r\n", head);
        if (length >= (int) sizeof text)
                errx(EXIT_FAILURE, "the request is too long");

        double start = now_usec();
        if (send(c->fd, text, (size_t) length, MSG_NOSIGNAL) != length)
                err(EXIT_FAILURE, "sending a request");
        while (whole == 0 || used < whole) {
                ssize_t n = recv(c->fd, c->answer + used, sizeof c->answer - 1 - used, 0);
                if (n <= 0)
                        errx(EXIT_FAILURE, "%s %s: the connection was closed", method, path);
                used += (size_t) n;
                if (whole == 0)
                        whole = answer_length(c, used);
        }
        c->usec = now_usec() - start;

        c->answer[used] = '\0';
        c->status = (unsigned) strtoul(c->answer + 9, NULL, 10);
        if (c->status != wanted)
                errx(EXIT_FAILURE, "%s %s: %u instead of %u: %s", method, path, c->status, wanted, c->body);
        return c->usec;
}

static const char *find_member(const Client *c, const char *member) {
        char name[64];

        (void) snprintf(name, sizeof name, "\"%s\":", member);
        const char *p = strstr(c->body, name);
        if (!p)
                errx(EXIT_FAILURE, "an answer without \"%s\": %s", member, c->body);
        return p + strlen(name);
}

long client_number(const Client *c, const char *member) {
        return strtol(find_member(c, member), NULL, 10);
}

double session_create(Client *c, const char *json, char id[static SESSION_ID_MAX]) {
        double usec = client_request(c, "POST", "/create_session", json, 201);

        if (sscanf(find_member(c, "session_id"), "\"%79[^\"]\"", id) != 1)
                errx(EXIT_FAILURE, "an answer without an id: %s", c->body);
        return usec;
}

double session_exec(Client *c, const char *id, const char *json) {
        char path[SESSION_ID_MAX + 32];

        (void) snprintf(path, sizeof path, "/v1/sessions/%s/exec", id);
        double usec = client_request(c, "POST", path, json, 200);
        if (client_number(c, "exit_code") != 0 || !strstr(c->body, "\"exited\""))
                errx(EXIT_FAILURE, "a command failed: %s", c->body);
        return usec;
}

double session_delete(Client *c, const char *id) {
        char path[SESSION_ID_MAX + 32];

        (void) snprintf(path, sizeof path, "/v1/sessions/%s", id);
        return client_request(c, "DELETE", path, NULL, 204);
}

void pool_wait(Client *c) {
        double deadline = now_usec() + POOL_PATIENCE_USEC;

        for (;;) {
                (void) client_request(c, "GET", "/health", NULL, 200);
                if (client_number(c, "pool_ready") >= client_number(c, "pool_size"))
                        break;
                if (now_usec() > deadline)
                        errx(EXIT_FAILURE, "the pool does not fill: %s", c->body);
                (void) usleep(POOL_POLL_USEC);
        }
        (void) usleep(SETTLE_USEC);
}
