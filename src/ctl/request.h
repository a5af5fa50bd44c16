/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "ctl/options.h"

/* Body of POST /v1/sessions. New reference, never NULL. */
json_t *request_create(const Options *o);

/* Body of POST .../exec for the words of a command; with --shell they are its $0, $1 ... @input: what --stdin read,
 * NULL for none. @ret: new reference. 0 or -EINVAL after an error was printed. */
int request_exec(const Options *o, int argc, char **argv, const char *input, size_t input_length, json_t **ret);

/* Reads all of @fd, at most @limit bytes. @ret: new buffer. 0 or -errno; -EFBIG: there is more. */
int read_all(int fd, size_t limit, char **ret, size_t *ret_length);
