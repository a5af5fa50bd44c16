/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "coord/exchange.h"
#include "spec/fork.h"

#define METHODS "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
#define CONNECT_PATIENCE_USEC (1 * USEC_PER_SEC)

/* --- the body, on its way to the worker --- */

static bool send_or_fail(Exchange *x) {
        Error error = { 0 };
        int k = exchange_send(x, &error);

        if (k < 0)
                exchange_fail(x, &error, k);
        return k >= 0;
}

static void end_body(Exchange *x) {
        x->body_ended = true;
        if (x->fetch && x->answer_waits)
                exchange_begin_answer(x);
        else if (x->fetch)
                fetch_wake_read(x->fetch);
        else if (!x->finding)
                (void) send_or_fail(x);
}

static size_t on_client_writes(HttpRequest *r, const char *data, size_t size, void *userdata) {
        Exchange *x = userdata;

        (void) r;
        if (size == 0) {
                if (!x->body_ended)
                        end_body(x);
                return 0;
        }
        if (x->body_sent > 0) {
                memmove(x->body, x->body + x->body_sent, x->body_used - x->body_sent);
                x->body_used -= x->body_sent;
                x->body_sent = 0;
        }
        size_t n = MIN(size, x->body_size - x->body_used);
        memcpy(x->body + x->body_used, data, n);
        x->body_used += n;
        x->body_held = n < size;
        if (x->fetch)
                fetch_wake_read(x->fetch);
        return n;
}

ssize_t exchange_read_body(Fetch *f, char *buf, size_t size, void *userdata) {
        Exchange *x = userdata;
        size_t n = MIN(size, x->body_used - x->body_sent);

        (void) f;
        if (n == 0)
                return x->body_ended ? FETCH_END : 0;
        memcpy(buf, x->body + x->body_sent, n);
        x->body_sent += n;
        if (x->body_held && x->body_sent == x->body_used) {
                x->body_held = false;
                http_body_wake(x->request);
        }
        return (ssize_t) n;
}

/* --- the request --- */

/* Commands take as long as they take, and have time limits of their own. */
static usec_t head_patience(const Exchange *x) {
        const char *target = http_request_target(x->request), *end = strchrnul(target, '?');
        static const char *const slow[] = { "/exec", "/run", "/wait", "/fork", "/snapshots", "/pause", "/resume" };

        if (x->upgrading || strstr(target, "/ports/") || (x->body_length > 0 && !x->body_whole))
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(slow); i++) {
                size_t n = strlen(slow[i]);
                if ((size_t) (end - target) > n && strncmp(end - n, slow[i], n) == 0)
                        return 0;
        }
        return x->job.coord->config->answer_timeout;
}

/* What is no count the worker refuses. */
static unsigned count_of_fork(const Exchange *x) {
        unsigned count = 1;

        if (x->body_length == 0)
                return count;
        if (!x->body_whole)
                return FORK_COUNT_MAX;
        json_t *j = json_loadb(x->body, x->body_used, JSON_REJECT_DUPLICATES, NULL);
        json_int_t given = json_integer_value(json_object_get(j, "count"));
        if (given >= 1 && given <= (json_int_t) FORK_COUNT_MAX)
                count = (unsigned) given;
        json_decref(j);
        return count;
}

static void on_places(QuotaPlaces *p, int result, Error *error, void *userdata) {
        Exchange *x = userdata;

        (void) p;
        if (result < 0)
                exchange_fail(x, error, result);
        else
                (void) send_or_fail(x);
}

/* Takes the places of its sessions, once. Returns 1 when that takes a while. */
static int reserve_fork(Exchange *x, Error *error) {
        if (quota_is_pending(x->places))
                return 1;
        if (x->places || !exchange_is_fork(x))
                return 0;
        return quota_reserve(x->job.coord, http_request_owner(x->request), count_of_fork(x), on_places, x, &x->places,
                error);
}

int exchange_send(Exchange *x, Error *error) {
        Coordinator *c = x->job.coord;
        KnownSession *k = sessions_find(c->sessions, x->session_id);
        Outgoing o;

        if (!k)
                return error_set(error, ERROR_NOT_FOUND, "There is no session with this id.");
        int r = find_check(c, k, error);
        if (r < 0) {
                if (!exchange_retry(x, k))
                        return r;
                error_clear(error);
                return 0;
        }
        r = reserve_fork(x, error);
        if (r != 0)
                return MIN(r, 0); /* on_places() comes back here */
        Worker *w = k->worker;
        r = outgoing_make(&o, c, x->request, w, error);
        if (r < 0)
                return r;
        x->upgrading = o.upgrade;

        FetchRequest q = {
                .method = http_request_method(x->request),
                .target = http_request_target(x->request),
                .headers = o.headers,
                .n_headers = o.n,
                .body = x->body_whole ? x->body : NULL,
                .body_size = x->body_whole ? x->body_used : x->body_length,
                .connect_patience = CONNECT_PATIENCE_USEC,
                .head_patience = head_patience(x),
                .upgrade = x->upgrading,
        };
        if (!q.body && q.body_size == 0 && (strcmp(q.method, "POST") == 0 || strcmp(q.method, "PUT") == 0))
                q.body = ""; /* says that there is none */
        r = fetch_start(w->server, &q, &exchange_ops, x, &x->fetch);
        if (r < 0)
                return r == -EHOSTUNREACH ? error_set(error, ERROR_WORKER_LOST, "The worker's name has no address.")
                                          : r;
        x->worker = w;
        worker_wait(w, &x->waiter);
        return 0;
}

static void on_found(Finding *f, KnownSession *k, Error *error, void *userdata) {
        Exchange *x = userdata;

        x->finding = finding_free(f);
        if (!k)
                exchange_fail(x, error, -ENOENT);
        else if (!x->body_whole || x->body_ended)
                (void) send_or_fail(x);
}

static int read_head(Exchange *x, Error *error) {
        const char *length = http_request_header(x->request, "Content-Length"),
                   *encoding = http_request_header(x->request, "Transfer-Encoding"),
                   *method = http_request_method(x->request);

        if (strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(method) || strlen(method) > 16 ||
                strcmp(method, "CONNECT") == 0 || strcmp(method, "TRACE") == 0) {
                http_request_set_header(x->request, "Allow", METHODS);
                return error_set_field(error, ERROR_METHOD_NOT_ALLOWED, "method", NULL, "This method is not known.");
        }
        for (const char *p = http_request_target(x->request); *p; p++)
                if (*p <= ' ' || *p >= 0x7f)
                        return error_set_field(
                                error, ERROR_MALFORMED, "path", NULL, "The path has bytes that have to be encoded.");
        if (encoding)
                x->body_length = FETCH_SIZE_UNKNOWN;
        else if (length && parse_unsigned(length, &x->body_length) < 0)
                return error_set_field(error, ERROR_MALFORMED, "Content-Length", NULL, "This is no length.");
        x->body_whole = x->body_length > 0 && x->body_length <= EXCHANGE_BODY_WHOLE;
        x->body_ended = x->body_length == 0;
        if (x->body_ended)
                return 0;
        x->body_size = x->body_whole ? (size_t) x->body_length : EXCHANGE_BUFFER;
        x->body = malloc(x->body_size);
        return x->body ? 0 : -ENOMEM;
}

static void begin(HttpRequest *r, Coordinator *c, bool is_session) {
        const char *id = http_request_parameter(r, 0);
        KnownSession *session;
        Error error = { 0 };

        Exchange *x = calloc(1, sizeof *x);
        if (!x) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        x->request = r;
        x->is_session = is_session;
        x->waiter.lost = exchange_on_worker_lost;
        x->waiter.patient = true;
        job_begin(c, &x->job, NULL);

        int k = id_is_valid(id) ? read_head(x, &error)
                                : error_set(&error, ERROR_NOT_FOUND, "There is no session with this id.");
        if (k >= 0)
                k = find_session(c, id, r, on_found, x, &session, &x->finding, &error);
        if (k >= 0) {
                (void) snprintf(x->session_id, sizeof x->session_id, "%s", id);
                if (k == 0 && (!x->body_whole || x->body_ended))
                        k = exchange_send(x, &error);
        }
        if (k < 0) {
                exchange_fail(x, &error, k);
                return;
        }
        http_request_defer(r, exchange_on_cancelled, x);
        http_body_receive(r, on_client_writes, x);
}

void coord_session_proxy(HttpRequest *r, void *userdata) {
        begin(r, userdata, false);
}

void coord_session(HttpRequest *r, void *userdata) {
        begin(r, userdata, true);
}
