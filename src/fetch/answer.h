/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/* An HTTP/1.1 answer, read as it comes, in pieces of any size. What two programs could understand differently is
 * refused: lines that do not end in CRLF, folded lines, lengths that are given twice, encodings other than chunked. */

#define ANSWER_LINE_MAX (32U * 1024U)
#define ANSWER_LINES_MAX (128U * 1024U) /* bytes of all heads, those before it, and what follows a body in chunks */

typedef enum AnswerEvent {
        ANSWER_MORE,   /* all was taken, and it goes on */
        ANSWER_HEADER, /* a line of the head, without its end */
        ANSWER_HEAD,   /* the head is complete */
        ANSWER_DATA,   /* a piece of the body */
        ANSWER_END,
} AnswerEvent;

typedef enum AnswerState {
        ANSWER_STATUS_LINE,
        ANSWER_HEADERS,
        ANSWER_INTERIM, /* the rest of a head such as 100, that comes before the one that counts */
        ANSWER_BODY,
        ANSWER_BODY_TO_END, /* of the connection */
        ANSWER_CHUNK_SIZE,
        ANSWER_CHUNK,
        ANSWER_CHUNK_END,
        ANSWER_TRAILERS,
        ANSWER_OVER,
} AnswerState;

typedef struct Answer {
        AnswerState state;
        unsigned status;
        bool is_head; /* of a HEAD request: no body whatever it says */
        bool is_old;  /* HTTP/1.0 */
        bool keeps;   /* the connection goes on after it */
        bool has_length, chunked;
        uint64_t length; /* bytes that the head tells of, when it has_length */
        uint64_t left;   /* bytes, of the body or the chunk */
        uint64_t n_read; /* bytes, of all */
        size_t n_lines;  /* bytes, of heads and trailers */
        char *line;      /* owned: what there is of a line */
        size_t line_used, line_size;
} Answer;

/* For the next answer on the same connection. */
void answer_begin(Answer *a, bool is_head);
void answer_end(Answer *a); /* frees what it holds */

/* Takes from the @size bytes at @data, which are moved on. @ret, @ret_size: the line or the piece; until the next call.
 * Returns an AnswerEvent, -EPROTO or -ENOMEM. */
int answer_read(Answer *a, const char **data, size_t *size, const char **ret, size_t *ret_size);

/* The piece that was read last was not taken: it is as if it had not been read. */
void answer_unread(Answer *a, size_t size);

/* The connection has ended. Returns 0 when that is the end of the answer too, -EPROTO, or -ECONNRESET. */
int answer_close(Answer *a);
