/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* Reads a stream of events (Server-Sent Events, HTML Living Standard 9.2) as it comes. */
typedef struct Events {
        /* @name and @data: ended by NUL, valid during the call. Returns 0, or -errno to read no further. */
        int (*handle)(const char *name, const char *data, size_t length, void *userdata);
        void *userdata;

        uint64_t id; /* of the event, or 0 */
        char name[32];
        char *line, *data; /* owned */
        size_t line_length, line_room, data_length, data_room;
} Events;

#define EVENT_MAX (4 * MIB) /* bytes of one */

/* Returns 0, what @handle returned, or -EFBIG. */
int events_feed(Events *e, const char *bytes, size_t size);

void events_clear(Events *e);
#define _cleanup_events_ _cleanup_(events_clear)
