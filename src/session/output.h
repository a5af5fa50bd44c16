/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/*
 * What a command printed, in the order in which it came: the last @max bytes of both streams together. Offsets count
 * all bytes from the beginning; those of bytes that were dropped are remembered, so that a reader is told how much it
 * missed.
 */

typedef enum OutputStream { OUTPUT_STDOUT, OUTPUT_STDERR } OutputStream;

typedef struct OutputPiece {
        uint64_t offset;
        OutputStream stream;
        const char *data; /* borrowed, until the log is written to */
        size_t length;
        uint64_t missing; /* bytes before it that were asked for and are gone */
} OutputPiece;

typedef struct OutputChunk {
        uint64_t offset;
        uint32_t length;
        uint32_t stream;
} OutputChunk;

typedef struct OutputLog {
        size_t max;
        uint64_t first, next; /* offsets of the oldest byte kept, and of the next to come */
        char *ring;           /* owned, @size bytes; byte at offset N lies at N % @size once @size is @max */
        size_t size;
        OutputChunk *chunks; /* owned ring of @n_chunks_max */
        unsigned n_chunks, n_chunks_max, first_chunk;
        /* the beginning of a character whose end has not come yet, by stream */
        char pending[2][4];
        unsigned n_pending[2];
} OutputLog;

void output_clear(OutputLog *l);

/* Appends. Bytes of an unfinished UTF-8 character at the end wait for the rest, so that pieces end between characters.
 * Returns 0 or -ENOMEM. */
int output_add(OutputLog *l, OutputStream stream, const char *data, size_t length);

/* The stream has ended: what waits comes as it is. */
int output_finish(OutputLog *l, OutputStream stream);

/* How many bytes can be added before a byte at @from or behind it is dropped. */
size_t output_room(const OutputLog *l, uint64_t from);

/* The piece at @from, or what comes after it. Returns false when there is nothing. */
bool output_next(const OutputLog *l, uint64_t from, OutputPiece *ret);
