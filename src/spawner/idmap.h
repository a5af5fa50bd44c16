/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* How the subordinate ids of the spawner's user are divided: the range's first id owns the images of all workers,
 * then comes a slice of ids for the sandboxes of each worker. */

typedef struct IdRange {
        uint32_t start;
        uint32_t count;
} IdRange;

typedef struct IdLayout {
        uint32_t image;   /* host id that is NAMESPACE_IMAGE_ID */
        uint32_t own;     /* host id that is NAMESPACE_OWN_ID */
        uint32_t sandbox; /* host id that is NAMESPACE_SANDBOX_ID */
        uint32_t count;   /* how many sandbox ids */
} IdLayout;

#define ID_RANGE_MIN 4097U     /* smallest that holds one slice */
#define ID_RANGE_FULL 1114112U /* what the package allocates: 64 slices of 16,384 above 65,536 */

/* Finds the first range of @name (or of @id, written as a number) in a subid(5) file.
 * Returns 0, -ENOENT when there is none of at least ID_RANGE_MIN ids, or -errno. */
int idmap_range_read(const char *path, const char *name, uint32_t id, IdRange *ret);

/* How many workers the range can hold. */
uint32_t idmap_slices(const IdRange *range);

/* Returns -ERANGE when @slice does not exist. */
int idmap_layout(const IdRange *range, uint32_t slice, uint32_t own, IdLayout *ret);

/* The slice of worker @name, a line "NAME SLICE" of the file at @path, given and written when it is new.
 * Returns -EUSERS when all are given away. */
int idmap_slice_assign(const char *path, const char *name, uint32_t n_slices, uint32_t *ret);

#define ID_MAP_TEXT_MAX 128U
/* The text of a uid_map or gid_map file. Returns @buf. */
char *idmap_text(const IdLayout *layout, char buf[static ID_MAP_TEXT_MAX]);
