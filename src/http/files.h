/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "http/api.h"
#include "session/file.h"

/* Shared by the routes for files. */

/* The path that the argument @name gives, checked; every other argument has to be one of @known (ended by NULL). NULL
 * after having answered. */
const char *http_path(HttpRequest *r, const char *name, const char *const *known);

/* Reads a switch: "1", "true", "yes" or the opposites; @ret keeps its value when the argument is missing. Returns false
 * after having answered. */
bool http_switch(HttpRequest *r, const char *name, bool *ret);

/* Reads a number of @min to @max in the same way. */
bool http_number(HttpRequest *r, const char *name, uint64_t min, uint64_t max, uint64_t *ret);

/* A file's mode in octal digits, checked; @fallback when the argument is missing. NULL after having answered. */
const char *http_mode(HttpRequest *r, const char *fallback);

/* Sets ETag, Last-Modified and X-File-Mode. */
void http_set_file_headers(HttpRequest *r, const FileRecord *node);

/* Answers with what went wrong with @path. */
void http_answer_file_error(HttpRequest *r, const Operation *o, const char *path);
