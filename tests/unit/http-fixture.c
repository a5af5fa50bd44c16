/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http-fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);

        clock_shift_for_test(0);
        if (!f || sd_event_new(&f->event) < 0)
                return -1;
        http_routes_start(&f->routes, f->event, 8);
        for (size_t i = 0; i < ELEMENTSOF(f->clients); i++)
                f->clients[i].fd = http_routes_connect(&f->routes);
        *state = f;
        return 0;
}

int teardown(void **state) {
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(f->clients); i++)
                (void) fd_close(f->clients[i].fd);
        http_routes_stop(&f->routes);
        f->event = sd_event_unref(f->event);
        free(f);
        clock_shift_for_test(0);
        return 0;
}

/* --- a client --- */

void send_bytes(Client *c, const char *data, size_t size) {
        assert_int_equal(send(c->fd, data, size, MSG_NOSIGNAL), size);
}

void send_text(Client *c, const char *text) {
        send_bytes(c, text, strlen(text));
}

void take(Client *c) {
        ssize_t n = recv(c->fd, c->text + c->used, sizeof c->text - 1 - c->used, MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EAGAIN))
                c->closed = true;
        if (n > 0)
                c->used += (size_t) n;
        c->text[c->used] = '\0';
}

/* How long the first answer is, 0 when it is not there in full. */
static size_t whole(const Client *c) {
        const char *end = strstr(c->text, "\r\n\r\n"), *length = strcasestr(c->text, "\r\nContent-Length: ");

        if (!end)
                return 0;
        size_t head = (size_t) (end + 4 - c->text);
        if (length && length < end)
                head += strtoul(length + 18, NULL, 10);
        else if (strcasestr(c->text, "\r\nTransfer-Encoding: chunked")) {
                const char *last = memmem(c->text, c->used, "\r\n0\r\n\r\n", 7);
                return last ? (size_t) (last + 7 - c->text) : 0;
        }
        return c->used >= head ? head : 0;
}

static char answer[256 * 1024];

const char *next_answer(Fixture *f, Client *c) {
        RUN_UNTIL(f->event, (take(c), whole(c) > 0 || c->closed));
        size_t n = whole(c);
        memcpy(answer, c->text, n);
        answer[n] = '\0';
        memmove(c->text, c->text + n, c->used - n + 1);
        c->used -= n;
        return answer;
}

const char *ask(Fixture *f, const char *request) {
        send_text(&f->clients[0], request);
        return next_answer(f, &f->clients[0]);
}

const char *get(Fixture *f, const char *path, const char *headers) {
        char text[2048];

        (void) snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, headers);
        return ask(f, text);
}

void assert_status(const char *text, unsigned status) {
        char wanted[32];

        (void) snprintf(wanted, sizeof wanted, "HTTP/1.1 %u ", status);
        if (strncmp(text, wanted, strlen(wanted)) != 0)
                fail_msg("not %u: %.200s", status, text);
}

void assert_has(const char *text, const char *wanted) {
        if (!strstr(text, wanted))
                fail_msg("no \"%s\" in: %s", wanted, text);
}

const char *body_of(const char *text) {
        return strstr(text, "\r\n\r\n") + 4;
}

json_t *problem_of(const char *text) {
        assert_has(text, "Content-Type: application/problem+json\r\n");
        json_t *j = json_loads(body_of(text), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(j);
        assert_string_equal(json_string_value(json_object_get(j, "type")), "about:blank");
        assert_true(json_is_string(json_object_get(j, "title")));
        assert_true(json_is_string(json_object_get(j, "detail")));
        assert_int_equal(json_integer_value(json_object_get(j, "status")), strtol(text + 9, NULL, 10));
        return j;
}

void assert_problem(const char *text, unsigned status, const char *field) {
        assert_status(text, status);
        _cleanup_json_ json_t *j = problem_of(text);
        if (field)
                assert_string_equal(json_string_value(json_object_get(j, "field")), field);
}

void assert_closes(Fixture *f, Client *c) {
        RUN_UNTIL(f->event, (take(c), c->closed));
}

void answer_waiting(Fixture *f, const char *text) {
        HttpRequest *r = f->routes.waiting;

        assert_non_null(r);
        f->routes.waiting = NULL;
        http_answer_text(r, 200, "text/plain", strdup(text));
}
