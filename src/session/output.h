/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/text.h"

/*
 * What a command printed, in the order in which it came: about the last @max bytes of both streams together. Offsets
 * count all bytes from the beginning; what was dropped is remembered, so that a reader is told how much it missed.
 *
 * The bytes of each stream lie in a file in memory that only grows (its oldest part is punched out), and are moved
 * there from the pipe by the kernel: a worker that is killed at any moment loses none and repeats none, since the size
 * of the file says how far it came. Which bytes came when stands in a third file, which is mapped. All three outlive
 * the worker in the hands of the spawner.
 */

typedef enum OutputStream { OUTPUT_STDOUT, OUTPUT_STDERR } OutputStream;

typedef struct OutputPiece {
        uint64_t offset;
        uint64_t position; /* in its stream's file */
        OutputStream stream;
        size_t length;
        uint64_t missing; /* bytes before it that were asked for and are gone */
} OutputPiece;

/* How a command ended, kept with its output. */
typedef struct OutputResult {
        uint32_t over; /* the rest is set */
        uint32_t reason;
        int32_t exit_code;
        int32_t signal;
        uint64_t cpu_usec, max_rss;
        usec_t ended; /* monotonic */
} OutputResult;

/* Which command it is, for a later worker. */
typedef struct OutputMeta {
        char id[UUID_TEXT_MAX + 3];
        char command[256];
        usec_t created;  /* wall clock */
        usec_t started;  /* monotonic */
        usec_t deadline; /* monotonic, USEC_INFINITY: none */
        int32_t pid;
        uint32_t background, base64, terminal;
} OutputMeta;

typedef struct OutputShared OutputShared;

typedef struct OutputLog {
        uint64_t max;
        uint64_t wanted;      /* offset of the first byte that is not dropped even if there are more than @max */
        uint64_t size[2];     /* of the files */
        int data[2];          /* owned */
        int index;            /* owned */
        OutputShared *shared; /* owned: the mapping of @index */
} OutputLog;

#define OUTPUT_LOG_INIT                                                                                                \
        { .data = { -EBADF, -EBADF }, .index = -EBADF, .wanted = UINT64_MAX }
#define OUTPUT_FDS 3U

/* Makes an empty one. Returns 0 or -errno. */
int output_new(OutputLog *l, uint64_t max);

/* Takes up one that a former worker made: @fds as output_fds() gave them (taken on success). Returns 0, -EBADMSG when
 * they are not of this form, or -errno. */
int output_open(OutputLog *l, int fds[static OUTPUT_FDS]);
void output_fds(const OutputLog *l, int ret[static OUTPUT_FDS]); /* borrowed */

void output_clear(OutputLog *l);

/* Moves what is in the pipe @fd to the log, at most @limit bytes. Returns how many, 0 at the end of the stream, or
 * -errno
 * (-EAGAIN: nothing there now). */
ssize_t output_fill(OutputLog *l, OutputStream stream, int fd, size_t limit);

/* Appends a text of our own. */
int output_add(OutputLog *l, OutputStream stream, const char *data, size_t length);

/* The stream has ended: the beginning of a character that waited for its rest comes as it is. */
void output_finish(OutputLog *l, OutputStream stream);

/* What lies at @from and behind it is kept, even if that is more than @max: whoever adds then has to know an end.
 * UINT64_MAX: no more than @max again. */
void output_want(OutputLog *l, uint64_t from);

/* Offsets of the oldest byte kept and of the next to come. */
uint64_t output_first(const OutputLog *l);
uint64_t output_end(const OutputLog *l);

/* How many bytes can be added before a byte at @from or behind it is dropped. */
size_t output_room(const OutputLog *l, uint64_t from);

/* The piece at @from, or what comes after it. Returns false when there is nothing. */
bool output_next(const OutputLog *l, uint64_t from, OutputPiece *ret);

/* Copies bytes of a piece. Returns how many or -errno. */
ssize_t output_read(const OutputLog *l, const OutputPiece *p, char *buf, size_t size);

OutputMeta *output_meta(OutputLog *l); /* to read and write */
/* Copies what follows @first in the same stream, as far as it is there: at most @size bytes, up to the offset @limit
 * and, with @characters, to the end of a character. Returns how many. */
size_t output_gather(
        const OutputLog *l, const OutputPiece *first, uint64_t limit, char *buf, size_t size, bool characters);

void output_set_result(OutputLog *l, const OutputResult *result);
void output_get_result(const OutputLog *l, OutputResult *ret);
