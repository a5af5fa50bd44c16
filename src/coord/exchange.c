/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/exchange.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "coord/record.h"
#include "coord/tunnel.h"

#define EVENTS_BLOCK 2048U
#define SESSION_ANSWER_MAX (256U * 1024U) /* of a description of a session */
#define RETRY_STEP_USEC (30 * USEC_PER_MSEC)

Exchange *exchange_free(Exchange *x) {
        if (!x)
                return NULL;
        x->finding = finding_free(x->finding);
        x->fetch = fetch_free(x->fetch);
        x->timer = sd_event_source_disable_unref(x->timer);
        if (x->worker)
                worker_wait_end(x->worker, &x->waiter);
        x->places = quota_release(x->places);
        job_done(&x->job);
        free(x->body);
        free(x->answer);
        free(x);
        return NULL;
}

/* The client has gone, or the server ends: the worker is told by the end of its connection. */
void exchange_on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        (void) exchange_free(userdata);
}

void exchange_fail(Exchange *x, Error *error, int result) {
        HttpRequest *r = x->request;

        (void) exchange_free(x);
        http_answer_error(r, error, result);
}

bool exchange_is_repeatable(const Exchange *x) {
        return !x->answer_begun && (x->body_whole || x->body_length == 0);
}

bool exchange_is_fork(const Exchange *x) {
        const char *target = http_request_target(x->request), *end = strchrnul(target, '?');

        return end - target >= 5 && memcmp(end - 5, "/fork", 5) == 0 &&
               strcmp(http_request_method(x->request), "POST") == 0;
}

/* The worker's connection ended before its answer did. */
static void break_off(Exchange *x) {
        Error error = { 0 };

        if (x->tunnelling)
                return; /* is found out when the client's end is there */
        x->job.coord->counters.broken++;
        if (x->answer_begun) {
                x->answer_broken = true;
                http_stream_wake(x->request); /* its next read says so and frees us */
                return;
        }
        int k = x->no_memory ? error_set(&error, ERROR_INTERNAL, "Out of memory; what was asked may have been done.")
                             : error_set(&error, ERROR_WORKER_LOST,
                                       "Worker %s did not answer to the end; what was asked may have been done.",
                                       x->worker ? worker_name(x->worker) : "");
        error.retry_after = 1;
        (void) snprintf(error.session_id, sizeof error.session_id, "%s", x->session_id);
        exchange_fail(x, &error, k);
}

void exchange_on_worker_lost(WorkerWaiter *w) {
        Exchange *x = CONTAINER_OF(w, Exchange, waiter);

        x->fetch = fetch_free(x->fetch);
        break_off(x);
}

/* --- the answer, on its way to the client --- */

static size_t take_answer(Exchange *x, char *buf, size_t size) {
        size_t n = MIN(size, x->answer_used - x->answer_sent);

        if (n == 0)
                return 0;
        memcpy(buf, x->answer + x->answer_sent, n);
        x->answer_sent += n;
        if (x->answer_sent == x->answer_used)
                x->answer_sent = x->answer_used = 0;
        return n;
}

static ssize_t on_client_reads(HttpRequest *r, char *buf, size_t size, void *userdata) {
        Exchange *x = userdata;
        size_t n = take_answer(x, buf, size);

        (void) r;
        while (n < size && x->answer_held && x->fetch) {
                x->answer_held = false;
                fetch_wake_data(x->fetch); /* may put more into the buffer at once */
                if (x->answer_used == 0)
                        break;
                n += take_answer(x, buf + n, size - n);
        }
        if (n > 0)
                return (ssize_t) n;
        if (!x->answer_broken && !x->answer_ended) {
                /* nothing for now: that may take long, and there may be many */
                free(x->answer);
                x->answer = NULL;
                x->answer_size = 0;
                return 0;
        }
        bool broken = x->answer_broken;
        (void) exchange_free(x);
        return broken ? HTTP_STREAM_BROKEN : HTTP_STREAM_END;
}

/* Room for @size bytes more? Answers that are wanted as a whole get all they need. Returns -EAGAIN when there will be,
 * -ENOMEM. */
static int make_room(Exchange *x, size_t size) {
        size_t wanted = x->answer_used + size;

        if (!x->answer_whole && x->answer_used > 0 && wanted > EXCHANGE_BUFFER)
                return -EAGAIN;
        if (wanted <= x->answer_size)
                return 0;
        char *p = realloc(x->answer, wanted);
        if (!p)
                return -ENOMEM;
        x->answer = p;
        x->answer_size = wanted;
        return 0;
}

/* What is in the way is dropped up to its end: nobody would say when there is memory again. */
static void drop_answer(Exchange *x) {
        x->answer_broken = x->no_memory = true;
        if (x->answer_begun)
                http_stream_wake(x->request);
}

static bool on_data(Fetch *f, const char *data, size_t size, void *userdata) {
        Exchange *x = userdata;

        (void) f;
        if (x->answer_sent > 0) {
                memmove(x->answer, x->answer + x->answer_sent, x->answer_used - x->answer_sent);
                x->answer_used -= x->answer_sent;
                x->answer_sent = 0;
        }
        int r = x->no_memory ? -ENOMEM : make_room(x, size);
        if (r == -EAGAIN) {
                x->answer_held = true;
                return false;
        }
        if (r < 0) {
                drop_answer(x);
                return true;
        }
        memcpy(x->answer + x->answer_used, data, size);
        x->answer_used += size;
        if (x->answer_begun)
                http_stream_wake(x->request);
        return true;
}

static bool is_copied(const char *name, const char *connection) {
        return !header_is_hop(name) && strcasecmp(name, "Date") != 0 && strcasecmp(name, "X-Request-Id") != 0 &&
               strncasecmp(name, HEADER_PREFIX, strlen(HEADER_PREFIX)) != 0 &&
               !(connection && header_has_token(connection, name));
}

static void copy_headers(Exchange *x) {
        const char *connection = fetch_header(x->fetch, "Connection");

        for (size_t i = 0; i < fetch_n_headers(x->fetch); i++) {
                FetchHeader h = fetch_header_at(x->fetch, i);
                if (is_copied(h.name, connection))
                        http_request_set_header(x->request, h.name, h.value);
        }
}

static void on_head(Fetch *f, void *userdata) {
        Exchange *x = userdata;
        unsigned status = fetch_status(f);
        uint64_t length = fetch_length(f);

        if (status == 101) {
                if (x->upgrading)
                        tunnel_begin(x);
                else
                        x->answer_broken = true;
                return;
        }
        bool no_body = status == 204 || status == 304;
        bool is_head = strcmp(http_request_method(x->request), "HEAD") == 0;
        size_t whole = x->is_session ? SESSION_ANSWER_MAX : EXCHANGE_ANSWER_WHOLE;
        if (no_body || (!is_head && length != FETCH_SIZE_UNKNOWN && length <= whole)) {
                x->answer_whole = true;
                return;
        }
        if (x->body_ended)
                exchange_begin_answer(x);
        else
                x->answer_waits = true;
}

void exchange_begin_answer(Exchange *x) {
        uint64_t length = fetch_length(x->fetch);

        x->answer_waits = false;
        x->answer_begun = true;
        copy_headers(x);
        if (length == FETCH_SIZE_UNKNOWN) /* in chunks, the connection's own memory is used */
                http_stream_block(x->request, EVENTS_BLOCK);
        http_stream_begin(x->request, fetch_status(x->fetch), NULL,
                length == FETCH_SIZE_UNKNOWN ? HTTP_LENGTH_UNKNOWN : length, on_client_reads, exchange_on_cancelled, x);
}

/* What the answer says of the session. */
static void learn(Exchange *x, unsigned status, const char *bytes, size_t length) {
        Coordinator *c = x->job.coord;
        KnownSession *k;

        if (status == 410 || (status == 204 && x->is_session && strcmp(http_request_method(x->request), "DELETE") == 0))
                forget_session(c, x->session_id);
        if (status != 200 || !x->is_session || strcmp(http_request_method(x->request), "PATCH") != 0)
                return;
        json_t *j = json_loadb(bytes ? bytes : "", length, JSON_REJECT_DUPLICATES, NULL);
        if (j && learn_session(c, x->worker, http_request_owner(x->request), j, &k) >= 0) {
                _cleanup_free_ char *text = json_dumps(j, JSON_COMPACT);
                if (text)
                        (void) record_put(c, k, text, NULL, NULL, NULL);
        }
        json_decref(j);
}

/* New sessions of the same worker, out of one that is there. */
static void learn_fork(Exchange *x, unsigned status, const char *bytes, size_t length) {
        Coordinator *c = x->job.coord;
        KnownSession *k;
        json_t *item;
        size_t i;

        if (status != 201 || !exchange_is_fork(x))
                return;
        json_t *j = json_loadb(bytes ? bytes : "", length, JSON_REJECT_DUPLICATES, NULL);
        json_array_foreach(json_object_get(j, "sessions"), i, item) {
                if (learn_session(c, x->worker, http_request_owner(x->request), item, &k) < 0)
                        continue;
                _cleanup_free_ char *text = json_dumps(item, JSON_COMPACT);
                if (text)
                        (void) record_put(c, k, text, x->places, NULL, NULL);
        }
        json_decref(j);
}

static void answer_whole(Exchange *x) {
        HttpRequest *r = x->request;
        unsigned status = fetch_status(x->fetch);
        size_t length = x->answer_used;
        char *bytes = take_ptr(x->answer);

        copy_headers(x);
        learn(x, status, bytes, length);
        learn_fork(x, status, bytes, length);
        (void) exchange_free(x);
        if (length == 0) {
                free(bytes);
                http_answer_empty(r, status);
        } else
                http_answer_bytes(r, status, NULL, bytes, length);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Exchange *x = userdata;
        Error error = { 0 };

        (void) source;
        (void) usec;
        x->timer = sd_event_source_disable_unref(x->timer);
        int r = exchange_send(x, &error);
        if (r < 0)
                exchange_fail(x, &error, r);
        return 0;
}

/* The worker has not seen it: it is restarted, or has a new token. */
bool exchange_retry(Exchange *x, const KnownSession *k) {
        if (!exchange_is_repeatable(x) || !k || !k->worker || !worker_may_recover(k->worker))
                return false;
        if (x->retry_until == 0)
                x->retry_until = clock_monotonic() + WORKER_RECOVERY_USEC;
        if (clock_monotonic() > x->retry_until ||
                sd_event_add_time_relative(x->job.coord->event, &x->timer, CLOCK_MONOTONIC, RETRY_STEP_USEC,
                        USEC_PER_MSEC, on_retry, x) < 0)
                return false;
        x->fetch = fetch_free(x->fetch);
        x->answer_used = 0;
        x->answer_whole = false;
        return true;
}

static void on_done(Fetch *f, int result, void *userdata) {
        Exchange *x = userdata;
        unsigned status = result == 0 ? fetch_status(f) : 0;

        worker_wait_end(x->worker, &x->waiter);
        if (x->tunnelling) {
                x->fetch = fetch_free(x->fetch);
                return;
        }
        if (result < 0 || status == 421)
                worker_doubt(x->worker);
        /* it was not seen, or refused unseen for a fencing token that is no longer right */
        if ((result == -ECONNREFUSED || status == 421) &&
                exchange_retry(x, sessions_find(x->job.coord->sessions, x->session_id)))
                return;
        if (status == 421)
                result = -ECONNREFUSED; /* the client knows nothing of tokens */
        if (result < 0 || x->answer_broken) {
                x->fetch = fetch_free(x->fetch);
                x->no_memory |= result == -ENOMEM;
                break_off(x);
                return;
        }
        x->job.coord->counters.proxied++;
        if (!x->answer_begun && !x->answer_waits) {
                answer_whole(x);
                return;
        }
        x->answer_ended = true;
        if (x->answer_waits) { /* what the client still sends is of no interest any more */
                x->body_ended = true;
                exchange_begin_answer(x);
        }
        x->fetch = fetch_free(x->fetch);
        http_stream_wake(x->request);
}

const FetchOps exchange_ops = {
        .head = on_head,
        .data = on_data,
        .read = exchange_read_body,
        .done = on_done,
};
