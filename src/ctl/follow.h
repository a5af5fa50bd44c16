/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl/ctl.h"

/* Passes on what a command prints as it comes. @call: for an event stream of it, but for how it is taken in. @base64:
 * how its output is encoded. @until: offset to end at, UINT64_MAX for the end of the command. @ret: the document of its
 * end; new reference; NULL when the stream ended without. Returns 0, or -errno after an error was printed. */
int follow_output(Ctl *ctl, const Call *call, bool base64, uint64_t until, json_t **ret);
