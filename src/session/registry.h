/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/text.h"

/*
 * Which sessions there were, and why they ended: a small file that is mapped, so that noting something costs no system
 * call and survives the worker, and, as far as the kernel wrote it back, the machine. A session that was alive when
 * all ended is found as such. The newest REGISTRY_SIZE are remembered.
 */

#define REGISTRY_SIZE 8192U
#define REGISTRY_OWNER_MAX 71U

typedef struct Registry Registry;

typedef struct RegistryEntry {
        char id[UUID_TEXT_MAX + 3];
        char owner[REGISTRY_OWNER_MAX + 1];
        uint32_t state; /* 0: free, 1: alive, 2 + the reason of its end */
        uint32_t padding[3];
} RegistryEntry;

#define REGISTRY_ALIVE 1U
#define REGISTRY_ENDED 2U

/* Opens or makes the file @path; NULL: in memory, for this process only. A file of another form is made anew.
 * Returns 0, -EBUSY (another process has it open) or another -errno. */
int registry_open(const char *path, Registry **ret);
Registry *registry_free(Registry *r);
DEFINE_CLEANUP(Registry, registry_free);

/* Notes a new session, in place of the oldest. Returns its entry, valid as long as the registry. */
RegistryEntry *registry_add(Registry *r, const char *id, const char *owner);
/* Or NULL. Looks through all. */
RegistryEntry *registry_find(const Registry *r, const char *id);
void registry_end(RegistryEntry *e, const char *id, unsigned reason);

/* All entries that are not free. */
unsigned registry_size(const Registry *r);
RegistryEntry *registry_entry(const Registry *r, unsigned i);
