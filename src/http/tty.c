/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "http/api.h"
#include "http/websocket.h"

/* A terminal over a WebSocket: binary messages are its bytes, both ways; text messages are JSON: {"resize":[rows,cols]}
 * from the client, {"missing":N} and {"exit":{...}} to it. Without a terminal it is a pipe to stdin and from both
 * streams. More than one may watch. */

typedef struct Tty {
        WebSocket *socket; /* NULL: not open yet */
        Exec *exec;        /* owned */
        ExecReader reader;
        char *input; /* owned: what the command does not take yet */
        size_t input_length;
        bool over;
} Tty;

#define INPUT_MAX (256U * 1024U)

static void tty_free(Tty *t) {
        exec_reader_detach(t->exec, &t->reader);
        if (t->input)
                exec_write_cancel(t->exec);
        (void) exec_unref(t->exec);
        free(t->input);
        free(t);
}

static void on_closed(void *userdata) {
        tty_free(userdata);
}

static void send_json(Tty *t, json_t *j) {
        _cleanup_free_ char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

        json_decref(j);
        if (text)
                (void) websocket_send(t->socket, true, text, strlen(text));
}

static void send_output(Tty *t) {
        static char buf[32 * 1024]; /* one thread, used up before this returns */
        OutputPiece p;

        while (!t->over && websocket_room(t->socket) > 0 && output_next(&t->exec->log, t->reader.offset, &p)) {
                if (p.missing > 0)
                        send_json(t, json_pack("{sI}", "missing", (json_int_t) p.missing));
                ssize_t n = output_read(&t->exec->log, &p, buf, sizeof buf);
                if (n <= 0 || websocket_send(t->socket, false, buf, (size_t) n) < 0)
                        return;
                exec_reader_advance(t->exec, &t->reader, p.offset + (size_t) n);
        }
        if (t->over || !t->exec->is_done || output_next(&t->exec->log, t->reader.offset, &p))
                return;
        t->over = true;
        send_json(t, json_pack("{so}", "exit", exec_result(t->exec)));
        websocket_close(t->socket, 1000, "the command has ended");
}

static void on_news(ExecReader *reader) {
        Tty *t = CONTAINER_OF(reader, Tty, reader);

        if (t->socket)
                send_output(t);
}

static void on_writable(WebSocket *w, void *userdata) {
        (void) w;
        send_output(userdata);
}

static void on_opened(WebSocket *w, void *userdata) {
        Tty *t = userdata;

        t->socket = w;
        send_output(t);
}

static void write_input(Tty *t, const char *data, size_t length);

static void on_written(Exec *e, void *userdata) {
        Tty *t = userdata;
        _cleanup_free_ char *data = take_ptr(t->input);
        size_t length = t->input_length;

        (void) e;
        t->input_length = 0;
        if (data)
                write_input(t, data, length);
}

static void write_input(Tty *t, const char *data, size_t length) {
        Error error = { 0 };
        ssize_t n = 0;

        if (!t->input) {
                n = exec_write(t->exec, data, length, on_written, t, &error);
                error_clear(&error);
                if (n < 0 || (size_t) n == length)
                        return; /* it takes no input: as a terminal whose program does not read */
        }
        size_t rest = length - (size_t) n;
        char *p = t->input_length + rest <= INPUT_MAX ? realloc(t->input, t->input_length + rest) : NULL;
        if (!p) {
                websocket_close(t->socket, 1008, "too much input that the command does not read");
                return;
        }
        memcpy(p + t->input_length, data + n, rest);
        t->input = p;
        t->input_length += rest;
}

static void control(Tty *t, const char *data, size_t length) {
        _cleanup_json_ json_t *j = json_loadb(data, length, JSON_REJECT_DUPLICATES, NULL);
        const json_t *size = json_object_get(j, "resize");
        Error error = { 0 };
        json_int_t rows = json_integer_value(json_array_get(size, 0)),
                   columns = json_integer_value(json_array_get(size, 1));

        if (json_array_size(size) == 2 && rows >= 1 && columns >= 1 && rows <= TERMINAL_SIZE_MAX &&
                columns <= TERMINAL_SIZE_MAX)
                (void) exec_resize(t->exec, (uint16_t) rows, (uint16_t) columns, &error);
        else
                websocket_close(t->socket, 1007, "text messages have to be {\"resize\":[rows,cols]}");
        error_clear(&error);
}

static void on_message(WebSocket *w, bool text, const char *data, size_t length, void *userdata) {
        Tty *t = userdata;

        (void) w;
        if (text)
                control(t, data, length);
        else if (length > 0)
                write_input(t, data, length);
}

static const WebSocketHandlers handlers = {
        .opened = on_opened,
        .message = on_message,
        .writable = on_writable,
        .closed = on_closed,
};

void http_exec_tty(HttpRequest *r, void *userdata) {
        const char *from = http_request_argument(r, "from");
        Exec *e = http_find_exec(r, userdata);
        Error error = { 0 };
        uint64_t offset = 0;

        if (!e)
                return;
        if (from && (parse_unsigned(from, &offset) < 0 || offset > output_end(&e->log))) {
                int k = error_set_field(
                        &error, ERROR_INVALID_VALUE, "from", NULL, "\"from\" has to be an offset of the output.");
                http_answer_error(r, &error, k);
                return;
        }
        Tty *t = calloc(1, sizeof *t);
        if (!t) {
                http_answer_error(r, &error, -ENOMEM);
                return;
        }
        t->exec = exec_ref(e);
        t->reader.wake = on_news;
        exec_reader_attach(e, &t->reader, offset);
        if (websocket_accept(r, e->event, &handlers, t) < 0)
                tty_free(t);
}
