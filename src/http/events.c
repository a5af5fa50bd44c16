/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/events.h"

#include <stdio.h>
#include <string.h>

#include "spec/json.h"

#define KEEP_ALIVE_USEC (15 * USEC_PER_SEC)
#define KEEP_ALIVE ": keep-alive\n\n"

struct HttpEvents {
        HttpRequest *request;
        const HttpEventsHandlers *handlers;
        void *userdata;
        bool waiting;
        sd_event_source *keep_alive;
        bool keep_alive_due;
        char *out; /* owned: the event that is on its way */
        size_t length, sent;
};

bool http_wants_events(const HttpRequest *r) {
        const char *accept = http_request_header(r, "Accept");

        return accept && strstr(accept, "text/event-stream");
}

static HttpEvents *events_free(HttpEvents *e) {
        e->keep_alive = sd_event_source_disable_unref(e->keep_alive);
        free(e->out);
        free(e);
        return NULL;
}

static void end(HttpEvents *e, bool gone) {
        e->handlers->ended(gone, e->userdata);
        (void) events_free(e);
}

static void on_cancelled(HttpRequest *r, void *userdata) {
        (void) r;
        end(userdata, true);
}

/* @text is taken. */
static int set_out(HttpEvents *e, char *text) {
        if (!text)
                return -ENOMEM;
        free(e->out);
        e->out = text;
        e->length = strlen(text);
        e->sent = 0;
        return 1;
}

static int put(HttpEvents *e, const char *name, const char *id, json_t *data) {
        _cleanup_free_ char *text = data ? json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
        char *out;

        json_decref(data);
        if (!text || asprintf(&out, "event: %s\n%sdata: %s\n\n", name, id, text) < 0)
                return -ENOMEM;
        return set_out(e, out);
}

int http_events_put(HttpEvents *e, const char *name, json_t *data) {
        return put(e, name, "", data);
}

int http_events_put_id(HttpEvents *e, const char *name, uint64_t id, json_t *data) {
        char line[40];

        (void) snprintf(line, sizeof line, "id: %llu\n", (unsigned long long) id);
        return put(e, name, line, data);
}

int http_events_put_text(
        HttpEvents *e, const char *name, uint64_t id, uint64_t offset, const char *text, size_t length) {
        static char event[160 + JSON_ESCAPED_MAX(HTTP_EVENT_TEXT_MAX)]; /* one thread, used up before this returns */

        assert(length <= HTTP_EVENT_TEXT_MAX);

        int n = snprintf(event, 100, "event: %s\nid: %llu\ndata: {\"offset\":%llu,\"data\":\"", name,
                (unsigned long long) id, (unsigned long long) offset);
        assert(n > 0 && n < 100);
        (void) strcpy(json_escape(text, length, event + n), "\"}\n\n");
        return set_out(e, strdup(event));
}

static int next(HttpEvents *e) {
        int k = e->handlers->next(e, e->userdata);

        if (k == 0 && e->keep_alive_due) {
                e->keep_alive_due = false;
                k = set_out(e, strdup(KEEP_ALIVE));
        }
        return k < 0 && k != HTTP_STREAM_END ? HTTP_STREAM_BROKEN : k;
}

static ssize_t on_read(HttpRequest *r, char *buf, size_t size, void *userdata) {
        HttpEvents *e = userdata;
        size_t used = 0;
        int k = 1;

        (void) r;
        while (used < size) {
                if (e->sent == e->length) {
                        k = next(e);
                        if (k <= 0)
                                break;
                }
                size_t n = MIN(size - used, e->length - e->sent);
                memcpy(buf + used, e->out + e->sent, n);
                e->sent += n;
                used += n;
        }
        if (used > 0) {
                (void) sd_event_source_set_time_relative(e->keep_alive, KEEP_ALIVE_USEC);
                return (ssize_t) used;
        }
        e->waiting = k == 0;
        if (k < 0)
                end(e, k != HTTP_STREAM_END);
        return k;
}

void http_events_wake(HttpEvents *e) {
        if (!e->waiting)
                return;
        e->waiting = false;
        http_stream_wake(e->request);
}

static int on_keep_alive(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpEvents *e = userdata;

        (void) usec;
        e->keep_alive_due = true;
        (void) sd_event_source_set_time_relative(source, KEEP_ALIVE_USEC);
        http_events_wake(e);
        return 0;
}

int http_events_begin(
        HttpRequest *r, sd_event *event, const HttpEventsHandlers *handlers, void *userdata, HttpEvents **ret) {
        HttpEvents *e = malloc(sizeof *e);

        if (!e)
                return -ENOMEM;
        *e = (HttpEvents){ .request = r, .handlers = handlers, .userdata = userdata };
        int k = sd_event_add_time_relative(
                event, &e->keep_alive, CLOCK_MONOTONIC, KEEP_ALIVE_USEC, USEC_PER_SEC, on_keep_alive, e);
        if (k >= 0)
                k = sd_event_source_set_enabled(e->keep_alive, SD_EVENT_ON);
        if (k < 0) {
                (void) events_free(e);
                return -ENOMEM;
        }
        *ret = e;
        http_stream_begin(r, 200, "text/event-stream", HTTP_LENGTH_UNKNOWN, on_read, on_cancelled, e);
        return 0;
}
