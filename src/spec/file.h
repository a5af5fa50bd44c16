/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/wire.h"

/*
 * What the builtins of sandbox-init that work on files say, and what the program for archives says to them: records
 * over pipes, each a FileRecord and the strings that belong to it. Where file contents follow they come as bare bytes,
 * as many as the record before them says. What comes out of a sandbox is not to be trusted: see file_record_check().
 *
 *   read PATH all|ask                 NODE of the file, then its contents: all of it, or FileRange from stdin first
 *   write PATH LENGTH MODE CONDITION  stdin: contents; stdout: NODE of the new file. LENGTH and MODE may be "-";
 *                                     CONDITION: see FILE_CONDITION_... Without a FileCommit on its stderr, which is a
 *                                     pipe to read from, nothing has happened
 *   stat PATH follow|link             NODE
 *   list PATH DEPTH LIMIT             NODE of the folder, NODE for each file below it, END
 *   mkdir PATH MODE                   NODE
 *   delete PATH one|tree              END
 *   move FROM TO replace|keep         NODE
 *   pack PATH [NAME...]               as list, the contents after each regular file and zeros up to a multiple of 8
 *                                     bytes; END. With names, of these folders below PATH alone, at most 4 of them
 *   unpack PATH                       stdin: as pack's answer; stdout: END
 *   watch PATH one|tree               END when it watches, then CHANGE after CHANGE
 *
 *   serve                             one after the other of stat, write, mkdir, "delete PATH one" and "read PATH all"
 *                                     that come as messages over descriptor 3, see FileQuestion
 *
 * Paths start at the root or, relative, at the folder that the builtin is started in. Names in records are relative to
 * the folder that was asked for. The exit status tells of failures by errno.
 */

#define FILE_PATH_MAX 4096U       /* with NUL, as the kernel's */
#define FILE_DEPTH_MAX 1024U      /* folders within folders that are gone through */
#define FILE_ENTRIES_MAX 1000000U /* of an archive that is unpacked */

typedef enum FileRecordType {
        FILE_RECORD_NODE = 1,
        FILE_RECORD_CHANGE, /* @change; the target is the former name of what was moved */
        FILE_RECORD_END,    /* @size: how many nodes there were; @flags */
        FILE_RECORD_TYPE_MAX_,
} FileRecordType;

typedef enum FileChange {
        FILE_CREATED = 1,
        FILE_MODIFIED,
        FILE_DELETED,
        FILE_MOVED,
        FILE_ATTRIBUTES,
        FILE_OVERFLOW, /* changes came faster than they were read: some are not told */
        FILE_CHANGE_MAX_,
} FileChange;

#define FILE_SIZE_UNKNOWN (1U << 0) /* NODE of read: contents come until the end of the pipe */
#define FILE_WAS_CREATED (1U << 1)  /* NODE of write, mkdir: there was none before */
#define FILE_TRUNCATED (1U << 2)    /* END: there is more than was asked for */
#define FILE_UNREADABLE (1U << 3)   /* NODE: a folder that may not be looked into. END: there was one */
#define FILE_HARD_LINK (1U << 4)    /* NODE for unpack: the target is an entry that was there before */

typedef struct FileRecord {
        uint32_t type;
        uint32_t flags;
        uint32_t name_length; /* without NUL; the strings have none */
        uint32_t target_length;
        uint32_t mode; /* as st_mode */
        uint32_t uid, gid;
        uint32_t change;
        uint64_t size, inode;
        int64_t mtime;  /* nanoseconds since 1970 */
        uint64_t start; /* read: of the contents that follow, @length of them */
        uint64_t length;
} FileRecord;

/* Of a record with its strings, and zeros after them up to a multiple of 8 bytes. */
#define FILE_RECORD_SIZE(name_length, target_length)                                                                   \
        ((sizeof(FileRecord) + (size_t) (name_length) + (size_t) (target_length) + 7) & ~(size_t) 7)
#define FILE_RECORD_SIZE_MAX FILE_RECORD_SIZE(FILE_PATH_MAX, FILE_PATH_MAX)

/* For "read": which bytes. @length 0: none. */
typedef struct FileRange {
        uint64_t start, length;
} FileRange;

/* For "write": all was sent, so many bytes. */
typedef struct FileCommit {
        uint64_t length;
} FileCommit;

/* For "write": "any", "new" (there must be none), "old" (there must be one) or the "INODE-SIZE-MTIME", in hexadecimal
 * digits, of what has to be there; else the status is ESTALE. */
#define FILE_TAG_MAX 56U

/*
 * For "serve", which saves a process for what is small: a SOCK_SEQPACKET socket, a message for each question, one for each
 * answer in the same order. The strings are those of argv, each with its NUL; @data_length bytes of contents follow for
 * "write". What takes longer, or is larger than FILE_SMALL_MAX, is answered by FILE_ERROR_LARGE and nothing has happened.
 */
#define FILE_SMALL_MAX (64U * 1024U)

typedef struct FileQuestion {
        uint32_t strings_length;
        uint32_t data_length;
} FileQuestion;

#define FILE_STRINGS_MAX (2 * FILE_PATH_MAX + 256U)
#define FILE_QUESTION_SIZE_MAX (sizeof(FileQuestion) + FILE_STRINGS_MAX + FILE_SMALL_MAX)

/* @length bytes follow: what the builtin would put out. */
typedef struct FileAnswer {
        uint32_t error; /* what would be its exit status */
        uint32_t length;
} FileAnswer;

#define FILE_ANSWER_SIZE_MAX (sizeof(FileAnswer) + FILE_RECORD_SIZE_MAX + FILE_SMALL_MAX)

/* Statuses that say more than their errno usually does. */
#define FILE_ERROR_NOT_REGULAR ENXIO /* a device, FIFO or socket */
#define FILE_ERROR_IS_FOLDER EISDIR
#define FILE_ERROR_CONDITION ESTALE
#define FILE_ERROR_LARGE EOVERFLOW
#define FILE_ERROR_ABORTED ECANCELED

/* Is @r, of which @available bytes are there, complete with its strings and of the form that it has to have? Returns
 * its size with the strings, 0 when more bytes are needed to tell or to have it all, or -EBADMSG. Never looks at more
 * than @available bytes. */
ssize_t file_record_check(const void *bytes, size_t available);

static inline const char *file_record_name(const FileRecord *r) {
        return (const char *) (r + 1);
}

static inline const char *file_record_target(const FileRecord *r) {
        return file_record_name(r) + r->name_length;
}
