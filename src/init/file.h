/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/stat.h>

#include "init/builtin.h"
#include "spec/file.h"

/*
 * What the builtins for files (spec/file.h) have in common. They act with the payload's rights on files that the
 * payload may change under them at any time. Nothing is opened before it is known to be a regular file or a folder, so
 * that no FIFO, device or socket is touched; links of /proc that lead where no path does are never followed.
 */

Builtin builtin_read, builtin_write, builtin_stat, builtin_list, builtin_mkdir, builtin_delete, builtin_move,
        builtin_watch, builtin_pack, builtin_unpack, builtin_serve;

/* Opens @path below @folder, following symbolic links. Returns a descriptor or -errno. */
int file_open(int folder, const char *path, int flags);

/* The same for reading, regular files alone: -FILE_ERROR_IS_FOLDER, -FILE_ERROR_NOT_REGULAR. @ret_st: of the opened
 * one. */
int file_open_regular(int folder, const char *path, struct stat *ret_st);

/* Opens the folder that @path lies in, with O_PATH. @path is cut into pieces: @ret_name points to its last part. With
 * @make, missing folders are made. Returns a descriptor or -errno: -EINVAL when the path ends in "." or "..", -EBUSY
 * when it is the root. */
int file_open_parent(int folder, char *path, bool make, const char **ret_name);

/* Opens the folder at @path, as file_open(), and makes what is missing of it. @ret_made: whether the last part was. */
int file_open_folder(int folder, char *path, bool make, bool *ret_made);

/* Contents up to this size go with the records; more than that past them. */
#define FILE_SMALL (32 * 1024)

/* Output, collected. Return 0 or -errno. */
int file_send(const FileRecord *r, const char *name, size_t name_length, const char *target, size_t target_length);
int file_send_node(const struct stat *st, uint32_t flags, const char *name, const char *target);
int file_send_end(uint64_t n, uint32_t flags);
int file_send_bytes(const char *bytes, size_t size);
int file_flush(void);

/* For "serve": contents that would come from stdin, and output that is kept and not written. */
void file_serve_input(const char *bytes, size_t size);
size_t file_serve_output(void *ret);
/* Is it so? @ret_size: of the input. Both may be NULL. */
bool file_is_served(const char **ret_bytes, size_t *ret_size);
/* Room in the output, for @size bytes that are there then. NULL when there is none. */
char *file_reserve(size_t size);

/* Sends a node with the target of a symbolic link, which is @entry of @folder. */
int file_send_entry(int folder, const char *entry, const struct stat *st, const char *name);

/* Reads exactly @size bytes. Returns 0, -ECANCELED when the end comes before, or -errno. */
int file_receive(int fd, void *buf, size_t size);

int64_t file_mtime(const struct stat *st);
