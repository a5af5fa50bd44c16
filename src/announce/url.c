/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "announce/url.h"

#include <stdio.h>
#include <string.h>

#include "base/macro.h"

typedef enum Reach {
        REACH_NONE,
        REACH_TCP_HERE, /* loopback */
        REACH_SOCKET,
        REACH_ALL, /* any address: which one is to be found out */
        REACH_ADDRESS,
} Reach;

static bool is_loopback(const char *host, size_t n) {
        return n == 0 || (n >= 4 && memcmp(host, "127.", 4) == 0) || (n == 3 && memcmp(host, "::1", 3) == 0);
}

/* @ret_host, @ret_n: of an address, without brackets; @ret_port: what is behind the colon. */
static Reach judge(const char *socket, const char **ret_host, size_t *ret_n, const char **ret_port) {
        const char *colon = strrchr(socket, ':'), *host = socket;
        size_t n = colon ? (size_t) (colon - socket) : 0;

        if (socket[0] == '/')
                return REACH_SOCKET;
        if (!colon || socket[0] == '@')
                return REACH_NONE;
        if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
                host++;
                n -= 2;
        }
        *ret_host = host;
        *ret_n = n;
        *ret_port = colon + 1;
        if ((n == 7 && memcmp(host, "0.0.0.0", 7) == 0) || (n == 2 && memcmp(host, "::", 2) == 0))
                return REACH_ALL;
        return is_loopback(host, n) ? REACH_TCP_HERE : REACH_ADDRESS;
}

static int put_tcp(const char *host, size_t n, const char *port, char url[static ANNOUNCE_URL_MAX]) {
        bool v6 = memchr(host, ':', n) != NULL;
        int k = snprintf(
                url, ANNOUNCE_URL_MAX, "http://%s%.*s%s:%s", v6 ? "[" : "", (int) n, host, v6 ? "]" : "", port);

        return k < 0 || (size_t) k >= ANNOUNCE_URL_MAX ? -ENAMETOOLONG : 0;
}

int announce_url(const char *const *listen, size_t n, const char *local, char url[static ANNOUNCE_URL_MAX]) {
        bool here = is_loopback(local, strlen(local));
        const char *best = NULL, *host = "", *port = "", *best_host = "", *best_port = "";
        size_t host_n = 0, best_n = 0;
        Reach reach = REACH_NONE;

        for (size_t i = 0; i < n; i++) {
                Reach k = judge(listen[i], &host, &host_n, &port);
                if (k == REACH_ALL && here)
                        k = REACH_TCP_HERE;
                if (k <= reach || (k < REACH_ALL && !here))
                        continue;
                reach = k;
                best = listen[i];
                best_host = host;
                best_n = host_n;
                best_port = port;
        }
        switch (reach) {
        case REACH_SOCKET: {
                int k = snprintf(url, ANNOUNCE_URL_MAX, "unix:%s", best);
                return k < 0 || (size_t) k >= ANNOUNCE_URL_MAX ? -ENAMETOOLONG : 0;
        }
        case REACH_TCP_HERE:
                return memchr(best_host, ':', best_n) ? put_tcp("::1", 3, best_port, url)
                                                      : put_tcp("127.0.0.1", 9, best_port, url);
        case REACH_ALL:
                return put_tcp(local, strlen(local), best_port, url);
        case REACH_ADDRESS:
                return put_tcp(best_host, best_n, best_port, url);
        default:
                return -ENOENT;
        }
}
