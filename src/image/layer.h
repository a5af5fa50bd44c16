/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "image/plan.h"

/* One layer, being read: a tar file, compressed or not, of a file of the bundle. */
typedef struct Layer Layer;

/* @plain_max: most bytes that it may be uncompressed. Reports. */
int layer_open(const Bundle *b, const PlanLayer *plan, uint64_t plain_max, Layer **ret);
Layer *layer_close(Layer *l);
DEFINE_CLEANUP(Layer, layer_close);

/* The next entry of it, borrowed until the next call. Returns 1, 0 at the end, or -errno. Reports. */
int layer_next(Layer *l, struct archive_entry **ret);

/* Writes the contents of the entry, @size bytes, to the empty file @fd. Returns 0, -ENOSPC and the like (without a
 * report), or -EBADMSG, having reported. */
int layer_copy(Layer *l, int fd, uint64_t size);

/* At its end: reads what is left, and compares size and digests with what was promised. Reports. */
int layer_check(Layer *l);
