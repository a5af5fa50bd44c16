/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "bus/bus.h"
#include "fake-backend.h"

/* The worker's objects over a socketpair: a client, who is also polkit, on the other end. */

#define WORKER_PATH "/org/sandboxd/worker"
#define WORKER "org.sandboxd.Worker1"
#define SESSION "org.sandboxd.Session1"
#define CLIENT_UID 1234U

typedef enum PolkitAnswer {
        POLKIT_YES,
        POLKIT_NO,
        POLKIT_CHALLENGE,
        POLKIT_ABSENT,
        POLKIT_BROKEN,
        POLKIT_SILENT,
} PolkitAnswer;

typedef struct BusFixture {
        sd_event *event;
        FakeBackend *fake;
        Pool *pool;
        Registry *registry;
        SessionManager *sessions;
        Bus *bus;
        sd_bus *client;

        PolkitAnswer polkit;
        unsigned n_asked; /* times polkit was asked */
        char action[64], own[8], owner[32], session[64];
        bool interactive;

        char signals[4096]; /* "Interface.Member path;" of each that came */
} BusFixture;

/* @root: the caller is root; else CLIENT_UID. Only root can play both: returns false when this process is not. */
bool bus_fixture_open(BusFixture *f, bool root);
void bus_fixture_close(BusFixture *f);
#define _cleanup_fixture_ _cleanup_(bus_fixture_close)

/* As sd_bus_message_new_method_call(). */
sd_bus_message *bus_message(BusFixture *f, const char *path, const char *interface, const char *member);

/* Sends @m (taken) and waits for the answer, which is the caller's; NULL when it is an error, in @ret_error. */
sd_bus_message *bus_send(BusFixture *f, sd_bus_message *m, sd_bus_error *ret_error);

/* The same, for those that have to succeed or to fail with org.sandboxd.Error.@name and a text that has @part in it.
 * @m is taken. */
sd_bus_message *bus_expect_answer(BusFixture *f, sd_bus_message *m);
void bus_expect_error(BusFixture *f, sd_bus_message *m, const char *name, const char *part);

/* Sends without waiting; @ret: becomes the answer, the caller's. */
void bus_send_only(BusFixture *f, sd_bus_message *m, sd_bus_message **ret);

/* Creates a session over the bus. Returns its path, to be freed. */
char *bus_create(BusFixture *f, char ret_id[static UUID_TEXT_MAX]);
/* One without the bus, of @owner. */
Session *bus_create_for(BusFixture *f, const char *owner);

/* Waits for the next command and gives its number; @ret_fds: its streams, the caller's. */
uint32_t bus_await_command(BusFixture *f, const char *path, char *strings, size_t size, int ret_fds[3]);
/* It ends with @status as wait(2) gives it. */
void bus_end_command(BusFixture *f, const char *path, uint32_t number, int status);
FakeSandbox *bus_sandbox(BusFixture *f, const char *path);
