/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/text.h"

/*
 * What a worker knows of its sessions, for the one after it: a file in memory with a place for each slot of the
 * backend. Writing is copying memory; a worker that is killed in the middle of it leaves a place that counts as empty.
 */

typedef struct RecordTable RecordTable;

#define RECORD_MAX (256U * 1024U) /* bytes of one record and its head; pages are used only as they are written */

/* Makes one with @n places. Returns 0 or -errno. */
int record_table_new(uint32_t n, RecordTable **ret);
/* Takes up that of a former worker (@fd is taken, always). -EBADMSG: it is of another form. */
int record_table_open(int fd, RecordTable **ret);
RecordTable *record_table_free(RecordTable *t);
DEFINE_CLEANUP(RecordTable, record_table_free);

int record_table_fd(const RecordTable *t); /* borrowed */
/* Who wrote it, over all restarts: another one means that all sessions of before are gone. */
const char *record_table_incarnation(const RecordTable *t);
uint32_t record_table_size(const RecordTable *t);

/* @generation: whose place it is, not 0. Returns 0, -ERANGE (no such place) or -EMSGSIZE. */
int record_write(RecordTable *t, uint32_t slot, uint64_t generation, const void *bytes, size_t length);
void record_clear(RecordTable *t, uint32_t slot);
/* Returns false when the place is empty. @ret_bytes: borrowed, may change under the caller only by its own writing. */
bool record_read(
        const RecordTable *t, uint32_t slot, uint64_t *ret_generation, const char **ret_bytes, size_t *ret_length);
