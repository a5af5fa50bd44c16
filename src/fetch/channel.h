/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fetch/fetch.h"

/* A stream of bytes to a server, with TLS where its URL says https. */

typedef struct Channel Channel;

typedef struct ChannelOps {
        /* It stands. */
        void (*opened)(Channel *c, void *userdata);
        /* There may be something to read, or room to write. */
        void (*readable)(Channel *c, void *userdata);
        void (*writable)(Channel *c, void *userdata);
        /* It could not be opened; channel_trouble() may know more. The channel may be freed, here and in the others. */
        void (*failed)(Channel *c, int error, void *userdata);
} ChannelOps;

/* The server's fetcher has to be for this channel alone: curl closes connections that seem idle to it, when it makes
 * others. @ca_file: certificates that are trusted instead of the system's, or NULL. */
int channel_open(FetchServer *server, const char *ca_file, usec_t patience, const ChannelOps *ops, void *userdata,
        Channel **ret);
/* What was wrong with one that could not be opened, for whoever set it up, or NULL when the error says all. */
const char *channel_trouble(const Channel *c);
Channel *channel_free(Channel *c);
DEFINE_CLEANUP(Channel, channel_free);

/* Return how many bytes; 0 at the end (reading); -EAGAIN, or -errno when it is broken. */
ssize_t channel_read(Channel *c, char *buf, size_t size);
ssize_t channel_write(Channel *c, const char *data, size_t size);

/* Is writable() wanted? */
void channel_want_write(Channel *c, bool wanted);

/* Our address on the connection, or "". */
#define CHANNEL_ADDRESS_MAX 46U
void channel_local_address(const Channel *c, char buf[static CHANNEL_ADDRESS_MAX]);
