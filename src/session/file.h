/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "session/operation.h"
#include "spec/file.h"

/* What the operations on files say, read and told to clients. */

#define FILE_PATIENCE_USEC (30 * USEC_PER_SEC)

/* Takes records out of what an operation puts out. */
typedef struct FileReader {
        char *bytes; /* owned, @size of them */
        size_t size, used, taken;
        bool exact; /* reads no further than the record, since contents follow */
} FileReader;

/* @size: FILE_RECORD_SIZE_MAX or more. Returns 0 or -ENOMEM. */
int file_reader_open(FileReader *r, size_t size, bool exact);
void file_reader_close(FileReader *r);

/* Returns 1 with the next record, valid until the next call; 0 when there is none now; OPERATION_END when no more will
 * come. What is no record breaks the operation, which is an end too. */
int file_reader_next(FileReader *r, Operation *o, const FileRecord **ret);

/* A path that a client named, checked: 1 to 4095 bytes. Returns 0 or -errno with @error set. @field: how it calls it.
 */
int file_path_check(const char *field, const char *path, size_t length, Error *error);

/* The path from the root: relative ones begin at the home folder. @name: below it, or "". New string or NULL. */
char *file_path_join(const char *path, const char *name, size_t name_length);

/* {"path","name","type","size","mode","uid","gid","modified_at","inode","target"?}; "path_base64", "name_base64" and
 * "target_base64" where a text is not valid UTF-8. @path: as the client named it. New JSON text or NULL. */
char *file_describe(const FileRecord *node, const char *path);

/* Adds a text that may be any bytes. Returns 0 or -1. */
int file_set_text(json_t *object, const char *name, const char *bytes, size_t length);

const char *file_type_text(uint32_t mode);

/* As "INODE-SIZE-MTIME". Returns @buf. */
char *file_tag(const FileRecord *node, char buf[static FILE_TAG_MAX]);

/* Sets @error for an operation on @path that did not end well. Returns -errno. */
int file_error(const Operation *o, const char *path, Error *error);
