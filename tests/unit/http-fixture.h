/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

#include "fake-backend.h"
#include "http-routes.h"
#include "spec/json.h"

/* Clients of a server with the routes of http-routes.h, on the same event loop. */

typedef struct Client {
        int fd; /* owned */
        char text[256 * 1024];
        size_t used;
        bool closed;
} Client;

typedef struct Fixture {
        sd_event *event;
        HttpRoutes routes;
        Client clients[3];
} Fixture;

int setup(void **state);
int teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

void send_bytes(Client *c, const char *data, size_t size);
void send_text(Client *c, const char *text);
/* Takes what has come. */
void take(Client *c);
/* The next answer, or "" when the connection ends without one. Valid until the next call. */
const char *next_answer(Fixture *f, Client *c);
/* Over the first client. */
const char *ask(Fixture *f, const char *request);
const char *get(Fixture *f, const char *path, const char *headers);
/* Answers the request on "GET /later". */
void answer_waiting(Fixture *f, const char *text);

const char *body_of(const char *text);
json_t *problem_of(const char *text);
void assert_status(const char *text, unsigned status);
void assert_has(const char *text, const char *wanted);
void assert_problem(const char *text, unsigned status, const char *field);
void assert_closes(Fixture *f, Client *c);
