/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "session/session.h"
#include "spec/json-put.h"

/* The public description of a session is half of what a session from the pool costs, when the library builds and writes
 * it: so it is written by hand. */

#define FIXED_MAX 1024U /* bytes of all that has no length of its own */

const char *session_state_text(const Session *s) {
        return s->ended ? "ended" : s->paused ? "paused" : "running";
}

usec_t session_expires(const Session *s) {
        usec_t now = clock_monotonic();

        if (s->left > 0) /* if it went on now */
                return clock_realtime() + s->left;
        return clock_realtime() + (s->deadline > now ? s->deadline - now : 0);
}

static char *put_text(char *p, const char *name, const char *text) {
        return json_put_text(p, name, text, strlen(text));
}

static char *put_seconds(char *p, const char *name, usec_t t) {
        if (t % USEC_PER_SEC == 0)
                return json_put_number(p, name, t / USEC_PER_SEC);
        return json_put_fraction(p, name, t, 6);
}

static char *put_limits(char *p, const Limits *l) {
        char *begin = p = json_put(p, "limits", "");

        p = json_put_number(p, "memory_limit", l->memory);
        p = json_put_number(p, "cpu_quota", l->cpu_quota);
        p = json_put_number(p, "pids_limit", l->pids);
        p = json_put_number(p, "disk_limit", l->disk);
        *begin = '{';
        return stpcpy(p, "}");
}

static size_t room(const char *text) {
        return text ? JSON_ESCAPED_MAX(strlen(text)) : 0;
}

char *session_describe_text(const Session *s, const char *worker_id, bool attached) {
        _cleanup_free_ char *metadata = NULL;
        char time[TIMESTAMP_MAX], *text, *p;

        if (s->metadata && json_object_size(s->metadata) > 0) {
                metadata = json_dumps(s->metadata, JSON_COMPACT | JSON_REAL_PRECISION(15));
                if (!metadata)
                        return NULL;
        }
        text = p = malloc(FIXED_MAX + room(worker_id) + room(s->image) + room(s->key) + room(s->owner) +
                          (metadata ? strlen(metadata) : 0));
        if (!text)
                return NULL;
        p = put_text(p, "session_id", s->id);
        p = put_text(p, "worker_id", worker_id);
        p = put_text(p, "state", session_state_text(s));
        p = put_text(p, "image", s->image);
        p = put_text(p, "user", SANDBOX_USER);
        p = put_text(p, "created_at", format_timestamp(s->created, time));
        p = put_text(p, "expires_at", format_timestamp(session_expires(s), time));
        p = put_seconds(p, "timeout", s->timeout);
        if (s->key)
                p = put_text(p, "key", s->key);
        if (s->owner)
                p = put_text(p, "owner", s->owner);
        p = json_put(p, "metadata", metadata ? metadata : "{}");
        p = put_text(p, "network", "none");
        p = put_limits(p, &s->limits);
        p = json_put_boolean(p, "attached", attached);
        p = json_put_boolean(p, "from_pool", s->from_pool);
        (void) stpcpy(p, "}");
        *text = '{';
        return text;
}

json_t *session_describe(const Session *s, const char *worker_id, bool attached) {
        _cleanup_free_ char *text = session_describe_text(s, worker_id, attached);

        return text ? json_loads(text, 0, NULL) : NULL;
}
