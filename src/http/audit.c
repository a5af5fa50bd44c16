/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "http/request-internal.h"
#include "log/log.h"

/*
 * What is told of each request, for those who look into what happened: who, from where, what and with which result.
 * Never what a command, a file or a key contains. Sessions that are created and commands that end have messages of
 * their own, which carry the same fields.
 */

/* Refusals are what somebody without a key can cause at will. */
#define REFUSALS_BURST 50U
#define REFUSALS_PER_SEC 5U

void http_connection_describe(HttpConnection *c, const struct sockaddr *peer) {
        char address[INET6_ADDRSTRLEN] = "?";
        struct ucred who;
        socklen_t size = sizeof who;

        if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && who.pid > 0 &&
                (!peer || peer->sa_family == AF_UNIX)) {
                (void) snprintf(c->caller, sizeof c->caller, "unix:uid=%u,pid=%d", (unsigned) who.uid, (int) who.pid);
                return;
        }
        if (peer && peer->sa_family == AF_INET) {
                struct sockaddr_in in;
                memcpy(&in, peer, sizeof in);
                (void) inet_ntop(AF_INET, &in.sin_addr, address, sizeof address);
                (void) snprintf(c->caller, sizeof c->caller, "%s:%u", address, ntohs(in.sin_port));
        } else if (peer && peer->sa_family == AF_INET6) {
                struct sockaddr_in6 in6;
                memcpy(&in6, peer, sizeof in6);
                (void) inet_ntop(AF_INET6, &in6.sin6_addr, address, sizeof address);
                (void) snprintf(c->caller, sizeof c->caller, "[%s]:%u", address, ntohs(in6.sin6_port));
        }
}

const char *http_request_caller(const HttpRequest *r) {
        return r->client->caller;
}

static bool may_tell_refusal(HttpServer *s) {
        usec_t now = clock_monotonic();
        uint64_t more = (now - s->refusals_since) * REFUSALS_PER_SEC / USEC_PER_SEC;

        if (more > 0) {
                s->refusals_left = (unsigned) MIN((uint64_t) s->refusals_left + more, REFUSALS_BURST);
                s->refusals_since = now;
        }
        if (s->refusals_left == 0) {
                s->refusals_hidden++;
                return false;
        }
        s->refusals_left--;
        return true;
}

static void tell_refusal(HttpRequest *r) {
        HttpServer *s = r->server;
        char status[16], hidden[24];

        if (!may_tell_refusal(s))
                return;
        (void) snprintf(status, sizeof status, "%u", r->status);
        (void) snprintf(hidden, sizeof hidden, "%llu", (unsigned long long) s->refusals_hidden);
        log_event(LOG_NOTICE, &MESSAGE_REQUEST_REFUSED,
                LOG_FIELDS({ "REASON", r->status == 401   ? "no valid key"
                                       : r->status == 403 ? "not allowed"
                                                          : "too many requests" },
                        { "SANDBOXD_STATUS", status }, { "SANDBOXD_CALLER", r->client->caller },
                        { "SANDBOXD_OWNER", r->owner }, { "REQUEST_ID", r->id },
                        { "SANDBOXD_HIDDEN", s->refusals_hidden > 0 ? hidden : NULL }),
                "Refused a request of %s: status %u", r->client->caller, r->status);
        s->refusals_hidden = 0;
}

/* Is the first "{}" of the route's pattern a session? */
static bool names_session(const HttpRoute *route) {
        return strncmp(route->pattern, "/v1/sessions/{}", sizeof "/v1/sessions/{}" - 1) == 0;
}

/* Is the second one a command? */
static bool names_exec(const HttpRoute *route) {
        return strncmp(route->pattern, "/v1/sessions/{}/execs/{}", sizeof "/v1/sessions/{}/execs/{}" - 1) == 0;
}

void http_audit(HttpRequest *r) {
        const HttpRoute *route = r->route;
        bool left = r->status == 0 || r->status == 499; /* before the answer: it may have been done or not */
        char status[16];

        if (r->status == 401 || r->status == 403 || r->status == 429)
                tell_refusal(r);
        if (!route || !route->audit || (r->status >= 400 && !left) || !r->running)
                return;
        (void) snprintf(status, sizeof status, "%u", r->status);
        log_event(LOG_INFO, &MESSAGE_AUDIT,
                LOG_FIELDS({ "SANDBOXD_ACTION", route->audit }, { "SANDBOXD_OWNER", r->owner },
                        { "SANDBOXD_CALLER", r->client->caller },
                        { "SESSION_ID", names_session(route) ? r->parameters[0] : NULL },
                        { "EXEC_ID", names_exec(route) ? r->parameters[1] : NULL },
                        { "SANDBOXD_PATH", http_request_argument(r, "path") }, { "REQUEST_ID", r->id },
                        { "SANDBOXD_STATUS", left ? NULL : status }, { "REASON", left ? "the client left" : NULL }),
                "%s by %s, %s", route->audit, r->owner ? r->owner : "anybody", r->client->caller);
}
