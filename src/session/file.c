/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "spec/json-put.h"

#define DESCRIPTION_MAX 512U /* bytes of all in it that has no length of its own */

/* --- records --- */

int file_reader_open(FileReader *r, size_t size, bool exact) {
        assert(size >= FILE_RECORD_SIZE_MAX);

        *r = (FileReader){ .bytes = malloc(size), .size = size, .exact = exact };
        return r->bytes ? 0 : -ENOMEM;
}

void file_reader_close(FileReader *r) {
        free(take_ptr(r->bytes));
}

/* How much may be read for the next record. */
static size_t wanted(const FileReader *r) {
        FileRecord head;

        if (!r->exact)
                return r->size - r->used;
        if (r->used < sizeof head)
                return sizeof head - r->used;
        memcpy(&head, r->bytes, sizeof head); /* checked before */
        return FILE_RECORD_SIZE(head.name_length, head.target_length) - r->used;
}

int file_reader_next(FileReader *r, Operation *o, const FileRecord **ret) {
        for (;;) {
                size_t at = r->taken;
                ssize_t n = file_record_check(r->bytes + at, r->used - at);
                if (n > 0) {
                        r->taken = at + (size_t) n;
                        *ret = (const FileRecord *) (const void *) (r->bytes + at); /* aligned, as all sizes are */
                        return 1;
                }
                if (n < 0) {
                        operation_break(o);
                        return OPERATION_END;
                }
                memmove(r->bytes, r->bytes + at, r->used - at);
                r->used -= at;
                r->taken = 0;
                n = operation_read(o, r->bytes + r->used, wanted(r));
                if (n <= 0)
                        return (int) n;
                r->used += (size_t) n;
        }
}

/* --- names and paths --- */

int file_path_check(const char *field, const char *path, size_t length, Error *error) {
        if (!path || length == 0)
                return error_set_field(error, ERROR_MALFORMED, field, NULL, "Give \"%s\".", field);
        if (memchr(path, '\0', length))
                return error_set_field(
                        error, ERROR_INVALID_VALUE, field, NULL, "\"%s\" contains a NUL character.", field);
        if (length >= FILE_PATH_MAX)
                return error_set_field(
                        error, ERROR_INVALID_VALUE, field, "4095 bytes", "\"%s\" is longer than a path may be.", field);
        return 0;
}

char *file_path_join(const char *path, const char *name, size_t name_length) {
        bool absolute = path[0] == '/';
        size_t n = strlen(path);
        char *text;

        while (n > 1 && path[n - 1] == '/')
                n--;
        if (n == 1 && (path[0] == '.' || path[0] == '/')) {
                n = 0;
                path = "";
        }
        int k = asprintf(&text, "%s%s%.*s%s%.*s", absolute ? "" : SANDBOX_HOME, !absolute && n > 0 ? "/" : "", (int) n,
                path, name_length > 0 || (absolute && n == 0) ? "/" : "", (int) name_length, name);
        return k < 0 ? NULL : text;
}

/* How bytes are told: as they are, or where they are no UTF-8 as a text that is like them, and as base64. */
typedef struct Told {
        const char *text; /* NULL: out of memory */
        size_t length;
        char key[32], *base64; /* under this name too, or NULL */
        char *owned;
} Told;

static Told tell(const char *name, const char *bytes, size_t length) {
        Told t = { .text = bytes, .length = length };

        if (utf8_is_valid(bytes, length))
                return t;
        (void) snprintf(t.key, sizeof t.key, "%s_base64", name);
        t.base64 = base64_encode(bytes, length);
        t.owned = t.base64 ? utf8_replace(bytes, length, &t.length) : NULL;
        t.text = t.owned;
        return t;
}

static void told_done(Told *t) {
        free(t->base64);
        free(t->owned);
}

int file_set_text(json_t *object, const char *name, const char *bytes, size_t length) {
        _cleanup_(told_done) Told t = tell(name, bytes, length);

        if (!t.text || json_object_set_new_nocheck(object, name, json_stringn_nocheck(t.text, t.length)) < 0)
                return -1;
        return t.base64 ? json_object_set_new_nocheck(object, t.key, json_string_nocheck(t.base64)) : 0;
}

/* --- what clients see --- */

const char *file_type_text(uint32_t mode) {
        switch (mode & S_IFMT) {
        case S_IFREG:
                return "file";
        case S_IFDIR:
                return "directory";
        case S_IFLNK:
                return "symlink";
        case S_IFIFO:
                return "fifo";
        case S_IFSOCK:
                return "socket";
        default:
                return "device";
        }
}

char *file_tag(const FileRecord *node, char buf[static FILE_TAG_MAX]) {
        (void) snprintf(
                buf, FILE_TAG_MAX, "%" PRIx64 "-%" PRIx64 "-%" PRIx64, node->inode, node->size, (uint64_t) node->mtime);
        return buf;
}

/* As file_set_text(). @length bytes take up to BYTES_MAX() at @p. Returns the end, NULL when out of memory. */
#define BYTES_MAX(length) (JSON_ESCAPED_MAX(length) + 2 * (length) + 80)
static char *put_bytes(char *p, const char *name, const char *bytes, size_t length) {
        _cleanup_(told_done) Told t = tell(name, bytes, length);

        if (!t.text)
                return NULL;
        p = json_put_text(p, name, t.text, t.length);
        return t.base64 ? json_put_text(p, t.key, t.base64, strlen(t.base64)) : p;
}

static char *put_mode(char *p, uint32_t mode) {
        const char text[] = { (char) ('0' + (mode >> 9 & 7)), (char) ('0' + (mode >> 6 & 7)),
                (char) ('0' + (mode >> 3 & 7)), (char) ('0' + (mode & 7)) };

        return json_put_text(p, "mode", text, sizeof text);
}

char *file_describe(const FileRecord *node, const char *path) {
        _cleanup_free_ char *whole = file_path_join(path, file_record_name(node), node->name_length);
        const char *type = file_type_text(node->mode);
        char modified[TIMESTAMP_MAX];

        if (!whole)
                return NULL;
        size_t length = strlen(whole);
        _cleanup_free_ char *text = malloc(DESCRIPTION_MAX + 2 * BYTES_MAX(length) + BYTES_MAX(node->target_length));
        if (!text)
                return NULL;
        const char *slash = strrchr(whole, '/'), *name = slash ? slash + 1 : whole;
        char *p = put_bytes(text, "path", whole, length);
        if (p)
                p = put_bytes(p, "name", name, strlen(name));
        if (!p)
                return NULL;
        p = json_put_text(p, "type", type, strlen(type));
        p = json_put_number(p, "size", node->size);
        p = put_mode(p, node->mode);
        p = json_put_number(p, "uid", node->uid);
        p = json_put_number(p, "gid", node->gid);
        p = json_put_number(p, "inode", node->inode & INT64_MAX);
        (void) format_timestamp(node->mtime > 0 ? (usec_t) node->mtime / 1000 : 0, modified);
        p = json_put_text(p, "modified_at", modified, strlen(modified));
        if (S_ISLNK(node->mode))
                p = put_bytes(p, "target", file_record_target(node), node->target_length);
        if (!p)
                return NULL;
        if (node->flags & FILE_UNREADABLE)
                p = json_put_boolean(p, "unreadable", true);
        (void) stpcpy(p, "}");
        *text = '{';
        return take_ptr(text);
}

/* --- errors --- */

typedef struct ErrorRow {
        int error;
        ErrorKind kind;
        const char *text; /* after the path */
} ErrorRow;

/* clang-format off */
static const ErrorRow error_rows[] = {
        { ENOENT,       ERROR_NOT_FOUND,        "there is no such file" },
        { ENOTDIR,      ERROR_WRONG_STATE,      "a part of the path is a file, not a folder" },
        { EACCES,       ERROR_FORBIDDEN,        "the user of the sandbox may not do this" },
        { EPERM,        ERROR_FORBIDDEN,        "the user of the sandbox may not do this" },
        { EROFS,        ERROR_FORBIDDEN,        "this part of the file system is read-only; the home folder, /tmp and "
                                                "/dev/shm can be written to" },
        { EISDIR,       ERROR_WRONG_STATE,      "it is a folder" },
        { ENXIO,        ERROR_WRONG_STATE,      "it is a device, FIFO or socket, not a regular file" },
        { ENODEV,       ERROR_WRONG_STATE,      "it is a device, FIFO or socket, not a regular file" },
        { EEXIST,       ERROR_WRONG_STATE,      "it exists already" },
        { ENOTEMPTY,    ERROR_WRONG_STATE,      "the folder is not empty; \"recursive=1\" deletes what it contains" },
        { EBUSY,        ERROR_WRONG_STATE,      "it is in use as the root of a file system" },
        { ETXTBSY,      ERROR_WRONG_STATE,      "it is in use" },
        { EAGAIN,       ERROR_WRONG_STATE,      "a program in the sandbox has a lease on it" },
        { EXDEV,        ERROR_WRONG_STATE,      "the path leads out of the folder" },
        { ELOOP,        ERROR_INVALID_VALUE,    "it leads through too many symbolic links, or one of /proc" },
        { ENAMETOOLONG, ERROR_INVALID_VALUE,    "a name is longer than 255 bytes, or the path too long or too deep" },
        { EINVAL,       ERROR_INVALID_VALUE,    "this path cannot be used for it" },
        { ESTALE,       ERROR_CONDITION_FAILED, "it is not as the condition of the request wants it" },
        { ENOSPC,       ERROR_DISK_LIMIT,       "no room: the session's \"disk_limit\", or its number of files, is "
                                                "reached" },
        { EDQUOT,       ERROR_DISK_LIMIT,       "no room: the session's \"disk_limit\" is reached" },
        { EFBIG,        ERROR_DISK_LIMIT,       "no room: a file cannot be larger than the session's \"disk_limit\"" },
        { ENOMEM,       ERROR_DISK_LIMIT,       "no memory: the session's \"memory_limit\" is reached" },
        { EMFILE,       ERROR_QUOTA,            "too many files are open" },
        { EBADMSG,      ERROR_INVALID_VALUE,    "what was sent for it makes no sense" },
        { ECANCELED,    ERROR_WRONG_STATE,      "it changed meanwhile, or not all of it came" },
};
/* clang-format on */

int file_error(const Operation *o, const char *path, Error *error) {
        const char *reason = operation_reason(o);
        int e = operation_errno(o);
        size_t length;

        if (e == EBADMSG && reason) {
                _cleanup_free_ char *text = utf8_replace(reason, strlen(reason), &length);
                return error_set_field(error, ERROR_INVALID_VALUE, "body", NULL, "%s", text ? text : "");
        }

        for (size_t i = 0; e != 0 && i < ELEMENTSOF(error_rows); i++) {
                const ErrorRow *row = &error_rows[i];
                if (row->error != e)
                        continue;
                _cleanup_free_ char *shown = utf8_replace(path, strlen(path), &length);
                return error_set_field(error, row->kind, "path",
                        row->kind == ERROR_DISK_LIMIT ? (e == ENOMEM ? "memory_limit" : "disk_limit") : NULL,
                        "%.200s: %s.", shown ? shown : "", row->text);
        }
        return operation_error(o, error);
}
