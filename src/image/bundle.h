/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* The files that an image comes as, by their names: members of a tar file, or files of a folder that another process
 * opens, which has the right to. All of it may be hostile. */
typedef struct Bundle {
        int file;   /* borrowed: a tar file that is not compressed, or -EBADF */
        int broker; /* borrowed: the socket to the one that opens files, or -EBADF */
} Bundle;

/* One of the files, being read. */
typedef struct Blob Blob;

/* Returns 0, -ENOENT, -EBADMSG (the tar file is damaged) or -errno. Does not report. */
int bundle_open(const Bundle *b, const char *name, Blob **ret);

/* The next bytes, in @ret, valid until the next call. Returns their number, 0 at the end, or -errno. */
ssize_t blob_next(Blob *b, const void **ret);

Blob *blob_close(Blob *b);
DEFINE_CLEANUP(Blob, blob_close);

/* Reads a file of at most @max bytes as a whole; a NUL follows. @sha256: in hexadecimal digits what it has to be, or
 * NULL. Returns 0, -EFBIG, -EKEYREJECTED (another content) or as bundle_open(). */
int bundle_read(const Bundle *b, const char *name, size_t max, const char *sha256, char **ret, size_t *ret_length);

/* Is it compressed as a whole, by gzip or zstd? */
bool bundle_is_packed(int fd);
/* Writes what @fd is compressed from to @to, at most @max bytes. Returns 0, -EFBIG, -EBADMSG or -errno. */
int bundle_unpack(int fd, int to, uint64_t max);

/* The other side of a broker's socket: answers one request with a file below @folder. Returns 0, or 1 when there will
 * be no more. */
int bundle_serve(int sock, int folder);
