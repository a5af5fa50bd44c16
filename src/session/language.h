/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* The interpreters that keep their state, and the program around each that runs code in it (drivers/). */

#define LANGUAGE_ARGC_MAX 5U

typedef struct Language {
        const char *name;
        const char *aliases[4];                  /* ended by NULL */
        const char *program;                     /* that an image has to have */
        const char *argv[LANGUAGE_ARGC_MAX + 1]; /* ended by NULL */
        const char *driver;                      /* sent first */
        size_t driver_length;
        bool driver_counted; /* its length goes before it */
        const char *behind; /* sent behind the code of each run */
} Language;

/* By name or alias, or NULL. */
const Language *language_find(const char *name);

/* The @i-th, or NULL. */
const Language *language_at(size_t i);

#define LANGUAGES_TEXT "\"python\", \"bash\" or \"node\""
