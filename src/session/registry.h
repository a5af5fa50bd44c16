/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/text.h"

/*
 * Which sessions there were, and why they ended: a small file that is mapped, so that noting something costs no system
 * call and survives the worker, and, as far as it was written to the disk, the machine. A session that was alive when
 * all ended is found as such. The newest REGISTRY_SIZE are remembered.
 *
 * Whoever touches a mapped page that was written back waits for the file system's journal, on a slow disk for seconds:
 * so the mapped file is one in memory, where there is a place for it, and another process writes it to the disk.
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
/* The same, but what is mapped is the file @memory (NULL: @path itself), which is as new as the worker that had it last;
 * a new one begins with what @path has. Returns 0, -EBUSY or another -errno. */
int registry_open_memory(const char *path, const char *memory, Registry **ret);
/* Writes what is not the same in @fd, which is @path of registry_open_memory(). Waits for the disk. Returns 0 or -errno. */
int registry_save(const Registry *r, int fd);
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
