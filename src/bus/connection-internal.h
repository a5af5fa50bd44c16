/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>

#include "bus/connection.h"

/* Shared by connection.c, sender.c and call.c only. */

#define SENDERS_MAX 64U

typedef struct BusSender {
        char name[24]; /* unique names are short, and never used twice by one bus */
        uid_t uid;
} BusSender;

struct BusConnection {
        sd_event *event; /* borrowed */
        BusConnectionSettings settings;
        sd_bus *bus; /* owned; NULL: not connected */
        bool direct; /* no daemon between */
        bool ready;  /* all names are ours */
        size_t n_names;
        sd_event_source *retry;
        usec_t backoff;

        BusSender senders[SENDERS_MAX]; /* those asked for last, a ring */
        unsigned next_sender;
        usec_t mute_until; /* the bus did not answer: it is not asked before this time */

        usec_t refusal_told; /* when the last one was logged: anybody can cause them */

        LIST_HEAD(, BusCall) calls;
        unsigned n_calls;
};

/* call.c: the bus is gone, nobody can be answered. */
void bus_calls_drop(BusConnection *c);
