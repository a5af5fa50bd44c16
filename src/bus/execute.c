/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "bus/bus-internal.h"
#include "bus/streams.h"

/* Most that an answer carries of one stream: the bus takes messages of 32 MiB, and ends the connection of who sends
 * more. */
#define OUTPUT_MAX (8 * MIB)
#define ARGUMENTS_MAX INIT_ARGC_MAX

/* --- Execute --- */

const BusOption bus_execute_options[] = {
        { "Cwd", "cwd" },
        { "Env", "env" },
        { "Timeout", "timeout" },
        { "Stdin", "stdin", true },
        { "MaxOutput", "max_output" },
        { 0 },
};

static int append_output(sd_bus_message *reply, const Capture *c) {
        size_t length;
        _cleanup_free_ char *bytes = capture_join(c, &length);

        return bytes ? sd_bus_message_append_array(reply, 'y', bytes, length) : -ENOMEM;
}

static int answer_executed(BusCall *c, const Exec *e) {
        sd_bus_message *reply = NULL;

        int r = sd_bus_message_new_method_return(c->message, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "is", e->exit_code, exec_reason_text(e->reason));
        for (int i = 0; i < 2 && r >= 0; i++)
                r = append_output(reply, &e->capture[i]);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        (void) sd_bus_message_unref(reply);
        return r;
}

static void on_done(Exec *e, void *userdata) {
        BusCall *c = userdata;
        Error none = { 0 };
        int r = -EIO;

        if (e->error.kind == ERROR_NONE)
                r = answer_executed(c, e);
        else
                bus_options_explain(bus_execute_options, &e->error);
        if (r < 0)
                bus_call_fail(c, e->error.kind == ERROR_NONE ? &none : &e->error, r);
        else
                bus_call_end(c);
        (void) exec_unref(e);
}

/* Nobody waits for the result any more: the command ends, with all that it started. */
static void cancel_execute(BusCall *c) {
        Exec *e = c->state;

        e->done = NULL;
        exec_kill(e, EXEC_CANCELLED);
        (void) exec_unref(e);
}

static int read_execute(BusCall *c, ExecSpec *spec, Error *error) {
        _cleanup_bus_options_ BusOptions options = { 0 };
        const char *command;

        int r = sd_bus_message_read(c->message, "s", &command);
        if (r >= 0)
                r = bus_options_read(c->message, bus_execute_options, &options, error);
        if (r >= 0 && json_object_set_new(options.object, "command", json_string(command)) < 0)
                r = -ENOMEM;
        if (r >= 0)
                r = exec_spec_parse(spec, options.object, error);
        if (r < 0)
                return r;
        if (spec->output_max > OUTPUT_MAX && json_object_get(options.object, "max_output"))
                return error_set_field(error, ERROR_INVALID_VALUE, "max_output", "8 MiB",
                        "\"max_output\" can be 8 MiB here at most; ExecuteFd takes any amount.");
        spec->output_max = MIN(spec->output_max, OUTPUT_MAX);
        if (options.bytes) {
                spec->stdin_data = take_ptr(options.bytes);
                spec->stdin_length = options.n_bytes;
        }
        return 0;
}

static int execute(BusCall *c, Error *error, sd_bus_error *ret_error) {
        const Bus *b = c->userdata;
        _cleanup_exec_spec_ ExecSpec spec = { .output_max = session_manager_settings(b->context.sessions)->output_max };
        Session *s;
        Exec *e;

        (void) ret_error;
        int r = bus_call_session(c, &s, error);
        if (r >= 0)
                r = read_execute(c, &spec, error);
        spec.caller = c->caller;
        if (r >= 0)
                r = session_exec(s, &spec, false, on_done, c, &e, error);
        if (r < 0) {
                bus_options_explain(bus_execute_options, error);
                return r;
        }
        c->state = e;
        c->cancel = cancel_execute;
        return 1;
}

int bus_method_execute(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusSession *f = userdata;

        return bus_session_call(f->bus, m, f->session, execute, ret_error);
}

/* --- ExecuteFd --- */

const BusOption bus_execute_fd_options[] = {
        { "Cwd", "cwd" },
        { "Env", "env" },
        { "Timeout", "timeout" },
        { 0 },
};

typedef struct PendingStart {
        BusCall *call;
        Exec *exec;        /* owned */
        ExecReader reader; /* told when it runs */
} PendingStart;

static void pending_start_free(PendingStart *p) {
        exec_reader_detach(p->exec, &p->reader);
        (void) exec_unref(p->exec);
        free(p);
}

static void on_started(ExecReader *reader) {
        PendingStart *p = CONTAINER_OF(reader, PendingStart, reader);
        Exec *e = p->exec;

        if (e->pid == 0 && !e->is_done)
                return;
        if (e->error.kind != ERROR_NONE) {
                bus_options_explain(bus_execute_fd_options, &e->error);
                bus_call_fail(p->call, &e->error, -EIO);
        } else {
                (void) sd_bus_reply_method_return(p->call->message, "s", e->id);
                bus_call_end(p->call);
        }
        pending_start_free(p);
}

static void cancel_start(BusCall *c) {
        pending_start_free(c->state); /* it goes on, as it would a moment later */
}

/* @streams: borrowed from the message. */
static int read_execute_fd(BusCall *c, ExecSpec *spec, int streams[static 3], Error *error) {
        _cleanup_bus_options_ BusOptions options = { 0 };
        json_t *argv = NULL;

        int r = bus_strings_read(c->message, "argv", ARGUMENTS_MAX, &argv, error);
        if (r >= 0)
                r = bus_options_read(c->message, bus_execute_fd_options, &options, error);
        if (r < 0) {
                json_decref(argv);
                return r;
        }
        if (json_object_set_new(options.object, "argv", argv) < 0 ||
                json_object_set_new(options.object, "background", json_true()) < 0)
                return -ENOMEM;
        r = exec_spec_parse(spec, options.object, error);
        for (unsigned i = 0; i < 3 && r >= 0; i++) {
                r = sd_bus_message_read_basic(c->message, 'h', &streams[i]);
                if (r >= 0)
                        r = bus_stream_check(streams[i], i, error);
        }
        return r;
}

static int execute_fd(BusCall *c, Error *error, sd_bus_error *ret_error) {
        int streams[3] = { -EBADF, -EBADF, -EBADF };
        _cleanup_exec_spec_ ExecSpec spec = { .streams = streams };
        PendingStart *p = NULL;
        Session *s;

        (void) ret_error;
        int r = bus_call_session(c, &s, error);
        if (r >= 0)
                r = read_execute_fd(c, &spec, streams, error);
        spec.caller = c->caller;
        if (r >= 0) {
                p = calloc(1, sizeof *p);
                r = p ? session_exec(s, &spec, true, NULL, NULL, &p->exec, error) : -ENOMEM;
        }
        if (r < 0) {
                free(p);
                bus_options_explain(bus_execute_fd_options, error);
                return r;
        }
        p->call = c;
        p->reader.wake = on_started;
        exec_reader_attach(p->exec, &p->reader, UINT64_MAX); /* reads nothing, holds nothing up */
        c->state = p;
        c->cancel = cancel_start;
        return 1;
}

int bus_method_execute_fd(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusSession *f = userdata;

        return bus_session_call(f->bus, m, f->session, execute_fd, ret_error);
}
