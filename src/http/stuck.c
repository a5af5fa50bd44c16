/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/ioctl.h>

#include "http/request-internal.h"

/*
 * The library (0.9.75) turns in circles over a line of a chunked body that is longer than its buffer, until its own
 * time limit: it wants to run at once, again and again, reads no more from that connection, and does not say which it
 * is. What has come for it and is left unread tells; where nothing has, those that may be it are held and let go again.
 */

#define LOOK_USEC (20 * USEC_PER_MSEC)
#define LOOKS_MIN 2U
#define GUILT_MIN 2U
#define STUCK_USEC USEC_PER_SEC

static bool may_be_stuck(const HttpConnection *c) {
        return c->reading && !c->held && !c->closing && !c->request->suspended && c->request->chunked;
}

static void refuse_line(HttpServer *s, HttpConnection *c) {
        http_connection_refuse(s, c, ERROR_MALFORMED, "A line of the chunked body is too long.");
}

/* Has what came for it been left where it is, from one look to the next, since its last piece? */
static bool leaves_unread(const HttpServer *s, HttpConnection *c) {
        usec_t since = MAX(c->piece, s->circling);
        int unread = 0;

        (void) ioctl(c->fd, FIONREAD, &unread);
        c->n_unread = c->seen == since && unread > 0 && unread >= c->seen_unread ? c->n_unread + 1 : 0;
        c->seen = since;
        c->seen_unread = unread;
        return c->n_unread >= LOOKS_MIN;
}

static void hold(HttpConnection *c, usec_t now) {
        c->tried = true;
        c->held = now;
        http_request_suspend(c->request);
}

static void release(HttpConnection *c) {
        c->tried = false;
        c->held = 0; /* the time of a trial is the client's */
        if (c->request)
                http_request_resume(c->request);
}

/* Whoever was found out in two trials is refused. */
static void end_trial(HttpServer *s) {
        HttpConnection *c;

        s->trial = HTTP_TRIAL_NONE;
        s->suspect = NULL;
        TAILQ_FOREACH(c, &s->connections, entry)
        if (c->tried) {
                if (!c->closing && c->guilt >= GUILT_MIN)
                        refuse_line(s, c);
                release(c);
        }
        http_server_run_soon(s); /* to see what is left of it */
}

/* Nothing has come since its buffer was full: it is one without which the library is content. All that may be it are
 * held; when that is so, they are let go again, one in each turn. */
static void begin_trial(HttpServer *s, usec_t now) {
        HttpConnection *c;

        TAILQ_FOREACH(c, &s->connections, entry)
        if (c->closing && c->reading)
                return; /* one that has been refused goes on for a moment */
        TAILQ_FOREACH(c, &s->connections, entry)
        if (may_be_stuck(c) && now - MAX(c->piece, s->circling) > STUCK_USEC) {
                if (c->accused != s->circling)
                        c->guilt = 0;
                c->accused = s->circling;
                c->doubtful = true;
                hold(c, now);
                s->trial = HTTP_TRIAL_HOLDING;
        }
}

static void release_next(HttpServer *s) {
        HttpConnection *c;

        TAILQ_FOREACH(c, &s->connections, entry)
        if (c->tried && c->doubtful) {
                c->doubtful = false;
                s->suspect = c;
                release(c);
                return;
        }
        end_trial(s);
}

void http_stuck_look(HttpServer *s) {
        usec_t now = clock_monotonic();
        HttpConnection *c = s->suspect;

        if (s->circling == 0)
                s->circling = s->looked = now;
        if (s->trial == HTTP_TRIAL_RELEASING && c && may_be_stuck(c)) {
                if (now - c->piece > STUCK_USEC) {
                        c->guilt++; /* since it was let go; or something else began just then */
                        hold(c, now);
                }
                s->suspect = NULL;
                return;
        }
        if (s->trial != HTTP_TRIAL_NONE) {
                end_trial(s); /* it is something else */
                return;
        }
        if (now - s->looked <= LOOK_USEC)
                return;
        s->looked = now;
        TAILQ_FOREACH(c, &s->connections, entry)
        if (may_be_stuck(c) && leaves_unread(s, c))
                refuse_line(s, c);
        begin_trial(s, now);
}

void http_stuck_content(HttpServer *s) {
        if (s->trial == HTTP_TRIAL_NONE) {
                s->circling = 0;
                return;
        }
        if (s->suspect)
                s->suspect->guilt = 0;
        s->suspect = NULL;
        s->trial = HTTP_TRIAL_RELEASING;
        release_next(s);
}
