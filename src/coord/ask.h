/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/coord.h"

/* Asks the workers, a few at a time, for a session that is not known here. Unknown ids cost a question to each worker,
 * so there is a limit of questions a second. */

typedef struct Ask Ask;

/* @result: 0 (it is known now), -ENOENT (nobody has it), -EOWNERDEAD (it has ended, of @reason), -EAGAIN (not all could
 * be asked). The ask is over; it has to be freed. */
typedef void AskDone(Ask *a, int result, const char *reason, void *userdata);

/* As @r's sender, where workers look at that. Returns 0, -EAGAIN (too many questions) or -ENOMEM. */
int ask_workers(Coordinator *c, const char *id, const HttpRequest *r, AskDone *done, void *userdata, Ask **ret);
/* May @n workers be asked for something that is not known here? Counts it. */
bool ask_is_allowed(Coordinator *c, size_t n);
Ask *ask_free(Ask *a);
DEFINE_CLEANUP(Ask, ask_free);
