/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "session/session.h"

/* Puts the files of an archive into a session that nobody has got yet. Names in it are as they are below the root. */

typedef struct Fill Fill;

/* Called once, from the loop. @result: 0, or -errno with @error set. */
typedef void FillDone(int result, Error *error, void *userdata);

/* @archive: borrowed, read from its offset on. Returns 0 or -errno with @error set. */
int fill_start(Session *s, int archive, FillDone *done, void *userdata, Fill **ret, Error *error);
/* Gives it up: nobody is called. NULL is accepted; returns NULL. */
Fill *fill_free(Fill *f);
