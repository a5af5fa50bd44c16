/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "session/exec.h"

const char *exec_reason_text(ExecReason reason) {
        static const char *const texts[] = {
#define EXEC_REASON_TEXT(name, text) [EXEC_##name] = text,
                EXEC_REASONS(EXEC_REASON_TEXT)
#undef EXEC_REASON_TEXT
        };
        assert(reason < EXEC_REASON_MAX_);
        return texts[reason];
}

json_t *exec_text(const Exec *e, const char *bytes, size_t length) {
        _cleanup_free_ char *text = NULL;

        if (e->base64) {
                text = base64_encode(bytes, length);
                return text ? json_string_nocheck(text) : NULL;
        }
        if (utf8_is_valid(bytes, length))
                return json_stringn_nocheck(bytes, length);
        text = utf8_replace(bytes, length, &length);
        return text ? json_stringn_nocheck(text, length) : NULL;
}

static json_t *captured_text(const Exec *e, const Capture *c) {
        size_t length;
        _cleanup_free_ char *bytes = capture_join(c, &length);

        return bytes ? exec_text(e, bytes, length) : NULL;
}

static json_t *signal_text(int signal) {
        const char *name = sigabbrev_np(signal);

        if (signal == 0)
                return json_null();
        return name ? json_sprintf("SIG%s", name) : json_sprintf("SIG%d", signal);
}

static int set(json_t *j, const char *name, json_t *value) {
        return json_object_set_new_nocheck(j, name, value);
}

json_t *exec_result(const Exec *e, bool with_streams) {
        _cleanup_json_ json_t *j = json_object();
        int r = 0;

        if (!j)
                return NULL;
        r |= set(j, "exec_id", json_string_nocheck(e->id));
        r |= set(j, "exit_code", e->exit_code >= 0 ? json_integer(e->exit_code) : json_null());
        r |= set(j, "signal", signal_text(e->signal));
        r |= set(j, "reason", json_string_nocheck(exec_reason_text(e->reason)));
        if (with_streams) {
                r |= set(j, "stdout", captured_text(e, &e->capture[0]));
                r |= set(j, "stderr", captured_text(e, &e->capture[1]));
                r |= set(j, "stdout_truncated", json_boolean(capture_is_truncated(&e->capture[0])));
                r |= set(j, "stderr_truncated", json_boolean(capture_is_truncated(&e->capture[1])));
                r |= set(j, "stdout_bytes", json_integer((json_int_t) e->capture[0].total));
                r |= set(j, "stderr_bytes", json_integer((json_int_t) e->capture[1].total));
        }
        r |= set(j, "duration_ms", json_real((double) (e->ended - e->started) / 1000.0));
        r |= set(j, "cpu_ms", json_real((double) e->cpu_usec / 1000.0));
        r |= set(j, "max_rss_kb", json_integer((json_int_t) (e->max_rss / 1024)));
        return r == 0 ? take_ptr(j) : NULL;
}

json_t *exec_describe(const Exec *e) {
        _cleanup_json_ json_t *j = e->is_done ? exec_result(e, false) : json_object();
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
