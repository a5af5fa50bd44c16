/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* What sandboxes need of this machine, and what would make them safer, read from files alone. */

typedef enum FindingState {
        FINDING_GOOD,
        FINDING_NOTE, /* worth to know */
        FINDING_WEAK, /* works, could be better */
        FINDING_BAD,  /* no sandbox starts, or limits do not hold */
} FindingState;

typedef struct Finding {
        const char *name;
        FindingState state;
        char *detail; /* owned; what was found */
        char *fix;    /* owned; commands or a file to change, NULL for none */
} Finding;

typedef struct Findings {
        Finding *items;
        size_t n;
} Findings;

void findings_clear(Findings *f);
#define _cleanup_findings_ _cleanup_(findings_clear)

/* Adds one; takes the texts. @fix may be NULL. */
void findings_add(Findings *f, const char *name, FindingState state, char *detail, char *fix);
const char *finding_state_name(FindingState state);

/* All checks. @root: prefix of all paths, "" for the real ones. */
void host_check(const char *root, Findings *f);

/* Parts of it, in files of their own. */
void host_check_ids(const char *root, Findings *f);
void host_check_hardening(const char *root, Findings *f);

/* Reads at most @size - 1 bytes of a file below @root, longer ones in part, ended with NUL. Returns the length or
 * -errno. */
ssize_t host_read(const char *root, const char *path, char *buf, size_t size);

/* The number at the start of that file, or @fallback. */
long host_number(const char *root, const char *path, long fallback);

/* Is @word one of the words, at white space, of @text? */
bool host_has_word(const char *text, const char *word);
