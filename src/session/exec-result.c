/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "session/exec.h"
#include "spec/json-put.h"

#define FIXED_MAX 1024U        /* bytes of all that has no length of its own */
#define KEPT_MAX (64U * 1024U) /* bytes of an answer that may be mostly empty */

const char *exec_reason_text(ExecReason reason) {
        static const char *const texts[] = {
#define EXEC_REASON_TEXT(name, text) [EXEC_##name] = text,
                EXEC_REASONS(EXEC_REASON_TEXT)
#undef EXEC_REASON_TEXT
        };
        assert(reason < EXEC_REASON_MAX_);
        return texts[reason];
}

/* How bytes are told: as they are, if they can be, else in a new buffer, which is *@ret_made too. NULL when out of
 * memory. */
static const char *tell(const Exec *e, const char *bytes, size_t *length, char **ret_made) {
        if (!e->base64 && utf8_is_valid(bytes, *length))
                return bytes;
        *ret_made = e->base64 ? base64_encode(bytes, *length) : utf8_replace(bytes, *length, length);
        if (e->base64 && *ret_made)
                *length = strlen(*ret_made);
        return *ret_made;
}

json_t *exec_text(const Exec *e, const char *bytes, size_t length) {
        _cleanup_free_ char *made = NULL;
        const char *text = tell(e, bytes, &length, &made);

        return text ? json_stringn_nocheck(text, length) : NULL;
}

/* What was kept of a stream, in a new buffer. */
static char *tell_capture(const Exec *e, const Capture *c, size_t *ret_length) {
        char *bytes = capture_join(c, ret_length), *made = NULL;

        if (!bytes || tell(e, bytes, ret_length, &made) == bytes)
                return bytes;
        free(bytes);
        return made;
}

static char *put_signal(char *p, int signal) {
        const char *name = sigabbrev_np(signal);
        char text[24];

        if (signal == 0)
                return json_put(p, "signal", "null");
        if (name)
                (void) snprintf(text, sizeof text, "\"SIG%s\"", name);
        else
                (void) snprintf(text, sizeof text, "\"SIG%d\"", signal);
        return json_put(p, "signal", text);
}

static char *put_streams(char *p, const Exec *e, char *const texts[2], const size_t lengths[2]) {
        p = json_put_text(p, "stdout", texts[0], lengths[0]);
        p = json_put_text(p, "stderr", texts[1], lengths[1]);
        p = json_put_boolean(p, "stdout_truncated", capture_is_truncated(&e->capture[0]));
        p = json_put_boolean(p, "stderr_truncated", capture_is_truncated(&e->capture[1]));
        p = json_put_number(p, "stdout_bytes", e->capture[0].total);
        return json_put_number(p, "stderr_bytes", e->capture[1].total);
}

char *exec_result_text(const Exec *e, bool with_streams) {
        _cleanup_free_ char *out = NULL, *err = NULL;
        const char *reason = exec_reason_text(e->reason);
        size_t lengths[2] = { 0, 0 };

        if (with_streams) {
                out = tell_capture(e, &e->capture[0], &lengths[0]);
                err = tell_capture(e, &e->capture[1], &lengths[1]);
                if (!out || !err)
                        return NULL;
        }
        size_t size = FIXED_MAX + JSON_ESCAPED_MAX(lengths[0] + lengths[1]);
        char *text = malloc(size), *p = text;
        if (!text)
                return NULL;
        p = json_put_text(p, "exec_id", e->id, strlen(e->id));
        p = e->exit_code >= 0 ? json_put_number(p, "exit_code", (uint64_t) e->exit_code)
                              : json_put(p, "exit_code", "null");
        p = put_signal(p, e->signal);
        p = json_put_text(p, "reason", reason, strlen(reason));
        if (with_streams)
                p = put_streams(p, e, (char *const[]){ out, err }, lengths);
        p = json_put_fraction(p, "duration_ms", e->ended - e->started, 3);
        p = json_put_fraction(p, "cpu_ms", e->cpu_usec, 3);
        p = json_put_number(p, "max_rss_kb", e->max_rss / 1024);
        p = stpcpy(p, "}");
        *text = '{';
        if (size <= KEPT_MAX)
                return text;
        char *shorter = realloc(text, (size_t) (p - text) + 1); /* it may take long to leave */
        return shorter ? shorter : text;
}

json_t *exec_result(const Exec *e) {
        _cleanup_free_ char *text = exec_result_text(e, false);

        return text ? json_loads(text, 0, NULL) : NULL;
}

static int set(json_t *j, const char *name, json_t *value) {
        return json_object_set_new_nocheck(j, name, value);
}

json_t *exec_describe(const Exec *e) {
        _cleanup_json_ json_t *j = e->is_done ? exec_result(e) : json_object();
        char created[TIMESTAMP_MAX];
        int r = 0;

        if (!j)
                return NULL;
        r |= set(j, "exec_id", json_string_nocheck(e->id));
        r |= set(j, "state", json_string_nocheck(e->is_done ? "ended" : "running"));
        r |= set(j, "command", json_string(e->command));
        r |= set(j, "pid", e->pid > 0 ? json_integer(e->pid) : json_null());
        r |= set(j, "background", json_boolean(e->background));
        r |= set(j, "encoding", json_string_nocheck(e->base64 ? "base64" : "utf-8"));
        r |= set(j, "pty", json_boolean(e->terminal));
        r |= set(j, "stdin_open", json_boolean(e->in >= 0 && !e->channel && (e->stdin_open || e->terminal)));
        r |= set(j, "created_at", json_string_nocheck(format_timestamp(e->created, created)));
        if (e->keeps_log) {
                r |= set(j, "output_from", json_integer((json_int_t) output_first(&e->log)));
                r |= set(j, "output_next", json_integer((json_int_t) output_end(&e->log)));
        }
        return r == 0 ? take_ptr(j) : NULL;
}

int exec_signal_parse(const json_t *value, int *ret, Error *error) {
        if (!json_is_integer(value) && !json_is_string(value))
                return error_set_field(
                        error, ERROR_MALFORMED, "signal", NULL, "\"signal\" has to be a string or a whole number.");
        if (json_is_integer(value) && json_integer_value(value) >= 1 && json_integer_value(value) <= SIGRTMAX) {
                *ret = (int) json_integer_value(value);
                return 0;
        }
        const char *name = json_string_value(value);
        if (name && strncmp(name, "SIG", 3) == 0)
                name += 3;
        for (int i = 1; name && i < SIGRTMIN; i++) {
                const char *known = sigabbrev_np(i);
                if (known && strcmp(known, name) == 0) {
                        *ret = i;
                        return 0;
                }
        }
        return error_set_field(error, ERROR_INVALID_VALUE, "signal", NULL,
                "\"signal\" has to be the name of a signal as \"TERM\", or its number.");
}
