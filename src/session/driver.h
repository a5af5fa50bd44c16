/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"

/*
 * What the program around an interpreter says, over the socket that is its standard input. The user's code runs in the
 * same process and can write there whatever it likes: nothing of it is to be trusted.
 *
 * A frame is a word, a space, a decimal length and a newline, then so many bytes. To the driver: first its own text,
 * then
 *   hello                answered with "ready" once it waits
 *   prepare              the same, after having loaded what will be needed
 *   run CODE
 *   taken COUNT          so many results of the run have come, with all that was printed before them
 * From it:
 *   ready COUNT          it waits; COUNT of runs it has done
 *   begin COUNT          the run of this number begins: from now on it may be interrupted
 *   text ... jpeg        a form of the result that is being told
 *   result main|display  that result is complete: the value of the last expression, or something that was shown
 *   name, value, traceback  of the error that ended the run
 *   done COUNT STATUS    STATUS: "ok", "error", "interrupted", or "exit CODE"
 */

/* Word, its name in the answer or NULL, most bytes that are kept. */
/* clang-format off */
#define DRIVER_WORDS(W)                            \
        W(READY,      "ready",      NULL, 64)      \
        W(BEGIN,      "begin",      NULL, 64)      \
        W(RESULT,     "result",     NULL, 64)      \
        W(DONE,       "done",       NULL, 64)      \
        W(TEXT,       "text",       "text", MIB)   \
        W(HTML,       "html",       "html", MIB)   \
        W(MARKDOWN,   "markdown",   "markdown", MIB) \
        W(LATEX,      "latex",      "latex", MIB)  \
        W(SVG,        "svg",        "svg", MIB)    \
        W(JAVASCRIPT, "javascript", "javascript", MIB) \
        W(JSON,       "json",       "json", 256 * KIB) \
        W(PNG,        "png",        "png", 4 * MIB) \
        W(JPEG,       "jpeg",       "jpeg", 4 * MIB) \
        W(NAME,       "name",       "name", 1 * KIB) \
        W(VALUE,      "value",      "value", 64 * KIB) \
        W(TRACEBACK,  "traceback",  "traceback", 256 * KIB)

typedef enum DriverWord {
        DRIVER_NONE,
#define DRIVER_ENUM(word, text, member, max) DRIVER_##word,
        DRIVER_WORDS(DRIVER_ENUM)
#undef DRIVER_ENUM
        DRIVER_WORD_MAX_,
} DriverWord;
/* clang-format on */

#define DRIVER_HEAD_MAX 32U
#define DRIVER_LENGTH_MAX (1 * GIB) /* that is told; most of it is dropped */

typedef struct DriverFrame {
        DriverWord word;  /* DRIVER_NONE: not complete yet */
        const char *data; /* ended by NUL; valid until the reader is used again */
        size_t length;
        bool cut; /* there was more than is kept */
} DriverFrame;

typedef struct DriverReader {
        char head[DRIVER_HEAD_MAX];
        size_t head_used;
        DriverWord word; /* whose bytes are being read */
        uint64_t wanted, seen;
        char *data; /* owned */
        size_t used, size;
} DriverReader;

void driver_reader_clear(DriverReader *r);

/* Takes bytes up to the end of a frame. Returns how many it took; -EBADMSG when this is no frame; -ENOMEM. */
ssize_t driver_read(DriverReader *r, const char *bytes, size_t n, DriverFrame *ret);

/* The word's member in the answer, or NULL. */
const char *driver_member(DriverWord word);

/* Reads the text of "ready" and "begin". Returns 0 or -EBADMSG. */
int driver_parse_count(const DriverFrame *f, uint64_t *ret);

typedef enum DriverStatus {
        DRIVER_OK,
        DRIVER_ERROR,
        DRIVER_INTERRUPTED,
} DriverStatus;

/* Reads the text of "done"; @ret_code: -1 when there is none. Returns 0 or -EBADMSG. */
int driver_parse_done(const DriverFrame *f, uint64_t *ret_count, DriverStatus *ret_status, int *ret_code);
