/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "ctl/escape.h"
#include "ctl/exec.h"
#include "ctl/interrupt.h"
#include "ctl/raw.h"
#include "ctl/reader.h"
#include "ctl/request.h"
#include "ctl/session.h"
#include "ctl/terminal.h"
#include "ctl/websocket.h"

/* A terminal in a session: what is typed goes to it, what it shows is shown. */

#define SHELL "if [ -x /bin/bash ]; then exec /bin/bash -l; else exec /bin/sh -l; fi"
#define INPUT_QUEUE_MAX (64 * KIB)
#define HANGUP_TIMEOUT (5 * USEC_PER_SEC)

typedef struct Shell {
        WebSocket *socket; /* owned */
        Escape escape;
        bool input_over, output_over, left;
        json_t *end; /* owned: how the command ended */
} Shell;

/* --- what comes from it --- */

static void show(Shell *s, const char *bytes, size_t size) {
        while (size > 0 && !s->output_over) {
                ssize_t n = write(STDOUT_FILENO, bytes, size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN) {
                        struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
                        (void) poll(&p, 1, -1);
                        continue;
                }
                if (n < 0) {
                        s->output_over = true;
                        return;
                }
                bytes += n;
                size -= (size_t) n;
        }
}

static void on_message(bool text, const char *data, size_t length, void *userdata) {
        Shell *s = userdata;
        _cleanup_json_ json_t *j = NULL;

        if (!text) {
                show(s, data, length);
                return;
        }
        j = json_loadb(data, length, JSON_REJECT_DUPLICATES, NULL);
        if (json_object_get(j, "exit")) {
                json_decref(s->end);
                s->end = json_incref(json_object_get(j, "exit"));
        }
}

/* --- what goes to it --- */

static void send_size(Shell *s) {
        unsigned rows, columns;

        raw_size(&rows, &columns);
        _cleanup_free_ char *text = xasprintf("{\"resize\":[%u,%u]}", rows, columns);
        websocket_send(s->socket, true, text, strlen(text));
}

static void read_input(Shell *s) {
        char typed[4096], passed[2 * sizeof typed];
        ssize_t n = read(STDIN_FILENO, typed, sizeof typed);

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) {
                s->input_over = true;
                websocket_send(s->socket, false, "\4", 1); /* the key that means "end of input" */
                return;
        }
        if (!raw_is_on()) {
                websocket_send(s->socket, false, typed, (size_t) n);
                return;
        }
        size_t length = escape_filter(&s->escape, typed, (size_t) n, passed, &s->left);
        if (length > 0)
                websocket_send(s->socket, false, passed, length);
}

/* Stopped by a signal, not by a key: the terminal is the caller's meanwhile. */
static void stop_self(void) {
        bool was = raw_is_on();

        raw_leave();
        (void) raise(SIGSTOP);
        if (was)
                (void) raw_enter();
}

static int converse(Shell *s) {
        int r = websocket_run(s->socket); /* what came with the answer */

        while (r == 0 && !s->left && !s->output_over && interrupt_count() == 0) {
                bool room = websocket_queued(s->socket) < INPUT_QUEUE_MAX;
                struct pollfd p[3] = {
                        { .fd = websocket_fd(s->socket), .events = websocket_events(s->socket) },
                        { .fd = interrupt_fd(), .events = POLLIN },
                        { .fd = s->input_over || !room ? -1 : STDIN_FILENO, .events = POLLIN },
                };
                if (poll(p, ELEMENTSOF(p), -1) < 0 && errno != EINTR)
                        return -errno;
                interrupt_drain();
                if (interrupt_stopped()) {
                        stop_self();
                        send_size(s);
                }
                if (interrupt_resized())
                        send_size(s);
                if (p[2].revents)
                        read_input(s);
                r = websocket_run(s->socket);
        }
        return r;
}

/* --- its beginning and end --- */

static int start(Ctl *ctl, const char *session_id, char **ret_id) {
        const char *term = getenv("TERM");
        unsigned rows, columns;
        _cleanup_json_ json_t *body = NULL, *answer = NULL;

        raw_size(&rows, &columns);
        body = json_pack("{s:s, s:{s:i, s:i}, s:o}", "command", SHELL, "pty", "rows", (int) rows, "cols", (int) columns,
                "env", ctl->options.env ? json_copy(ctl->options.env) : json_object());
        if (!body)
                out_of_memory();
        if (term && *term && isatty(STDOUT_FILENO) && !json_object_get(json_object_get(body, "env"), "TERM"))
                (void) json_object_set_new(json_object_get(body, "env"), "TERM", json_string(term));
        if (exec_call(ctl, session_id, body, 0, &answer) < 0)
                return -EREMOTEIO;
        Reader r = reader_open(answer);
        const char *id = reader_id(&r, "exec_id", REQUIRED);
        if (reader_finish(&r, "exec") < 0)
                return -EPROTO;
        *ret_id = xstrdup(id);
        return 0;
}

/* As a terminal does that is closed. */
static void hang_up(Ctl *ctl, const char *session_id, const char *exec_id) {
        _cleanup_free_ char *path = xasprintf("/v1/sessions/%s/execs/%s/signal", session_id, exec_id);
        _cleanup_json_ json_t *body = json_pack("{s:s}", "signal", "HUP");
        _cleanup_answer_ Answer a = { 0 };

        (void) ctl_try(ctl,
                &(Call){
                        .method = "POST",
                        .path = path,
                        .body = body,
                        .timeout = HANGUP_TIMEOUT,
                        .shielded = true,
                },
                &a);
}

static int open_socket(Ctl *ctl, const char *path, Shell *s) {
        int r = ctl_connect(ctl);

        if (r == 0)
                r = websocket_open(ctl->client, path, on_message, s, &s->socket);
        if (r == -ENOPROTOOPT) {
                /* a request that is not for a WebSocket is refused for the same reason, and tells it */
                if (ctl_call(ctl, &(Call){ .method = "GET", .path = path }, NULL) == 0)
                        print_error("The server does not open a terminal there");
        } else if (r < 0)
                print_error("%s", client_error(ctl->client));
        return r;
}

static int status_of(const Shell *s) {
        _cleanup_exec_result_ ExecResult result = { 0 };

        if (!s->end) {
                if (!s->left && interrupt_count() == 0)
                        print_error("The connection to the terminal was lost");
                return s->left ? 0 : STATUS_REFUSED;
        }
        if (exec_end_read(s->end, &result) < 0)
                return STATUS_REFUSED;
        if (result.message)
                print_error("%s", result.message);
        return result.status;
}

/* @attached: it was there before, and goes on when it is left. */
static int run_shell(Ctl *ctl, const char *session_id, const char *exec_id, bool attached) {
        _cleanup_free_ char *path = xasprintf("/v1/sessions/%s/execs/%s/tty", session_id, exec_id);
        bool terminal = isatty(STDIN_FILENO);
        Shell s = { .escape = ESCAPE_INIT };

        if (open_socket(ctl, path, &s) < 0)
                return STATUS_REFUSED;
        interrupt_catch_terminal();
        if (terminal && raw_enter() < 0)
                print_note("The terminal cannot be switched to pass every key on");
        if (attached)
                send_size(&s);
        (void) converse(&s);
        raw_leave();
        if (s.left)
                print_note("%s", attached ? "Left; the command goes on" : "Left");
        if (!s.end && !attached)
                hang_up(ctl, session_id, exec_id);
        int status = status_of(&s);
        (void) websocket_free(s.socket);
        json_decref(s.end);
        return status;
}

int command_shell(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *session = NULL;
        _cleanup_free_ char *exec_id = NULL;
        SessionView v = { 0 };
        const char *session_id = argc > 0 ? argv[0] : NULL;
        int status = STATUS_REFUSED;

        if ((argc > 0 && !ctl_check_id(argv[0])) || (argc > 1 && !ctl_check_id(argv[1])))
                return STATUS_REFUSED;
        if (interrupt_catch() < 0)
                return STATUS_REFUSED;
        if (!session_id) {
                if (session_create(ctl, &session) < 0 || session_view(session, &v) < 0)
                        return STATUS_REFUSED;
                session_id = v.id;
        }
        if (argc > 1) {
                _cleanup_free_ char *path = xasprintf("/v1/sessions/%s/execs/%s", argv[0], argv[1]);
                if (ctl_call(ctl, &(Call){ .method = "GET", .path = path }, NULL) == 0)
                        status = run_shell(ctl, session_id, argv[1], true);
        } else if (interrupt_count() == 0 && start(ctl, session_id, &exec_id) == 0)
                status = run_shell(ctl, session_id, exec_id, false);
        if (session)
                (void) session_delete(ctl, session_id); /* it has said why */
        return status;
}
