/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "http/request.h"

/* An answer that is a stream of events (Server-Sent Events, HTML Living Standard 9.2), with a comment now and then
 * while there are none. */

typedef struct HttpEvents HttpEvents;

typedef struct HttpEventsHandlers {
        /* Makes the next event, with http_events_put(). Returns 1; 0 when there is none now, then http_events_wake()
         * has to follow; HTTP_STREAM_END after the last one; or -errno, which breaks the connection. */
        int (*next)(HttpEvents *e, void *userdata);
        /* Called once, the last time that @userdata is used. @gone: the client went before the end. */
        void (*ended)(bool gone, void *userdata);
} HttpEventsHandlers;

/* Does the client want it? */
bool http_wants_events(const HttpRequest *r);

/* Answers @r. @ret: valid until ended(). Returns 0, or -ENOMEM: then @r is not answered and nothing is called. */
int http_events_begin(
        HttpRequest *r, sd_event *event, const HttpEventsHandlers *handlers, void *userdata, HttpEvents **ret);
void http_events_wake(HttpEvents *e);

/* For next(), once each time. @data is taken. Returns 1 or -ENOMEM. */
int http_events_put(HttpEvents *e, const char *name, json_t *data);
int http_events_put_id(HttpEvents *e, const char *name, uint64_t id, json_t *data);
/* {"offset":@offset,"data":@text}, as fast as can be. @text: valid UTF-8 of at most HTTP_EVENT_TEXT_MAX bytes. */
#define HTTP_EVENT_TEXT_MAX (16U * 1024U)
int http_events_put_text(
        HttpEvents *e, const char *name, uint64_t id, uint64_t offset, const char *text, size_t length);
