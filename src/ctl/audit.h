/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

/* Entries of the journal, as journalctl -o json prints them, that tell what somebody did. Their texts are hostile. */

/* What was done, borrowed; NULL when the entry tells no such thing. */
const char *audit_action(const json_t *entry);

/* The entry as one line for people: new string, or NULL. */
char *audit_line(const json_t *entry);

/* The same for programs: new reference, or NULL. */
json_t *audit_object(const json_t *entry);
