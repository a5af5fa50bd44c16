/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/macro.h"

/* Addresses of host names: c-ares on an event loop, which reads /etc/hosts and asks the servers of /etc/resolv.conf. */

typedef struct Names Names;         /* all lookups */
typedef struct NameQuery NameQuery; /* one: a pending call, freeing it gives it up */

#define NAME_ADDRESSES_MAX 8U

/* @addresses: @n of them (none: the lookup failed), borrowed. Never called from within names_look_up(). The query is
 * over, it need not be freed any more. */
typedef void NameDone(const char *const *addresses, size_t n, void *userdata);

int names_new(sd_event *event, Names **ret);
Names *names_free(Names *n); /* ends what goes on, without telling anybody */
DEFINE_CLEANUP(Names, names_free);

int names_look_up(Names *n, const char *host, NameDone *done, void *userdata, NameQuery **ret);
NameQuery *name_query_free(NameQuery *q);
