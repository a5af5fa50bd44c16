/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "store/redis.h"

/* A real redis-server of the test's own, on a socket in a folder that is removed in the end; and, for answers that a
 * real one cannot be made to give, one that says what it is told to. */

typedef struct RedisFixture {
        char folder[64], socket[96];
        pid_t server;
        int fake;   /* listening, or -EBADF */
        int client; /* of the fake */
        sd_event *event;
        RedisSettings settings;
        Store *store;
        unsigned n_ready, n_away; /* how often we were told */
} RedisFixture;

void redis_fixture_init(RedisFixture *f);
void redis_fixture_done(RedisFixture *f);

/* @options: of redis-server, ended by NULL. Exits with 77 when there is no redis-server. */
void redis_fixture_start_server(RedisFixture *f, const char *const *options);
void redis_fixture_stop_server(RedisFixture *f);
/* From here on it does nothing, until SIGCONT. */
void redis_fixture_freeze_server(RedisFixture *f);
/* Runs redis-cli with a command line. Returns what it prints, a new string. */
char *redis_fixture_cli(RedisFixture *f, const char *command);

/* A port that is free, as the one 10,000 above it is, which members of a cluster take. */
unsigned redis_fixture_port(void);

void redis_fixture_connect(RedisFixture *f); /* to the socket, or what f->settings say */
/* Turns the loop until the store is there, or is not. */
void redis_fixture_wait(RedisFixture *f, bool available);
void redis_fixture_run(RedisFixture *f, usec_t usec);

/* The fake: takes the next connection and reads what comes first. */
void redis_fixture_fake(RedisFixture *f);
void redis_fixture_fake_accept(RedisFixture *f);
void redis_fixture_fake_say(RedisFixture *f, const char *text);
