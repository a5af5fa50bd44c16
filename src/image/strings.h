/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* A growing array of strings. Who owns the characters is said where it is used. */
typedef struct Strings {
        char **items; /* owned array */
        size_t n;
        size_t n_allocated;
} Strings;

/* Frees the array, not the characters. */
void strings_done(Strings *s);

/* Frees both. */
void strings_done_all(Strings *s);

/* Returns 0 or -ENOMEM. */
int strings_add(Strings *s, char *item);

/* Sorts paths by folder, then by name: those of one folder follow each other. Duplicates are freed (@s owns its
 * characters). */
void strings_sort_unique(Strings *s);

/* @s is sorted so. */
bool strings_contain(const Strings *s, const char *item);
