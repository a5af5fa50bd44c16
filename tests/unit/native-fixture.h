/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

#include "fake-backend.h"

/* The backend over a spawner that the test plays, on a socket of its own or behind a listening one. */

#define N_SLOTS 8U

typedef struct Owner {
        Sandbox *sandbox; /* owned */
        unsigned n_notified;
        SandboxState state;
} Owner;

typedef struct Fixture {
        sd_event *event;
        Backend *backend;
        char folder[32], path[64];
        int listener, spawner; /* owned */
        unsigned n_changes;
        Owner owners[N_SLOTS];
} Fixture;

extern const SandboxSpec spec;

/* On a socket of its own, or behind a listening one. */
int setup_socket(void **state);
int setup_path(void **state);
int teardown(void **state);

void on_state(Sandbox *s, void *userdata);

/* The next message of the worker. */
SpawnMessage heard(Fixture *f);
void assert_silent(Fixture *f);
void assert_kill(Fixture *f, uint32_t slot, uint64_t generation);

void say_raw(Fixture *f, const void *data, size_t size, const int *fds, size_t n_fds);
void say(Fixture *f, SpawnMessage m);
void accept_worker(Fixture *f);
void hang_up(Fixture *f);
void welcome(Fixture *f);
void sync_up(Fixture *f);

/* Asks for a sandbox. Returns the cookie. */
uint64_t start(Fixture *f, unsigned i);
/* Answers with the sandbox in @slot. Returns process 1's end of the control socket. */
int created(Fixture *f, uint64_t cookie, uint32_t slot, uint64_t generation);
void init_says(Fixture *f, int init, InitEventType type);
/* A sandbox that is ready in @slot. Returns process 1's end. */
int make(Fixture *f, unsigned i, uint64_t generation);

unsigned count_fds(void);
