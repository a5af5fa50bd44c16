/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/*
 * Turns the records of a tree of files (spec/file.h) into a tar archive and back, between two pipes. A process of its
 * own, since both sides may be hostile, and a library that knows many formats reads them: it has nothing but its three
 * descriptors and may do nothing but read and write them.
 */

/* Exit statuses. */
#define ARCHIVE_BROKEN 1  /* one side ended too early or makes no sense: the other one knows more */
#define ARCHIVE_REFUSED 2 /* the archive cannot be used: stderr has one line that says why */

/* Both return the exit status. */
int pack_run(bool gzip);
int unpack_run(void);

/* Takes away all rights that are not needed from here on. @size_max: bytes of a file that is written to. Returns 0 or
 * -errno. */
int confine(uint64_t size_max);

/* Says why on stderr. Returns ARCHIVE_REFUSED. */
int refuse(const char *format, ...) _printf_(1, 2);

/* Returns 0 or -errno. */
int write_all(const void *bytes, size_t size);
