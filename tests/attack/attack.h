/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The attack suite: what hostile code in a sandbox would try. One static program holds all cases, so that it runs in
 * any image: `attack NAME [PART]` ends with a line "held: ...", "BROKEN: ..." or "skipped: ..." and status 0, 1 or 77.
 * The runner (run.c) starts it through the public API alone.
 *
 * No case harms what it attacks: files are opened and not written, floods stop at a bound.
 */

typedef enum AttackKind {
        /* one command in one sandbox */
        ATTACK_SINGLE,
        /* the same, while a neighbour measures how long its own commands take */
        ATTACK_FLOOD,
        /* parts 'a' and 'b' in two sandboxes at once: 'b' starts when 'a' is ready, 'a' is told when 'b' has ended */
        ATTACK_PAIR,
        /* the same in one sandbox */
        ATTACK_TOGETHER,
        /* part 'a' in a sandbox that is deleted, then part 'b' in those that come after it */
        ATTACK_HEIR,
        /* the detail of each of several new sandboxes has to differ */
        ATTACK_DIFFER,
        /* the runner judges, see kinds.c */
        ATTACK_OUTSIDE,
} AttackKind;

#define NEEDS_LIMITS 1U /* makes sense only where the kernel limits memory, CPU and tasks */
#define MAY_END 2U      /* the sandbox may be ended by what is done in it */
#define REPEAT 4U       /* part 'b' is run many times */
#define SHORT 8U        /* part 'b' may take two seconds, and has to be answered soon after */
#define LASTS 32U       /* part 'a' goes on for as long as the runner wants it to, ten minutes at most */
#define KNOWN 16U       /* does not hold as things are: SECURITY.md says why; does not count as failed */

typedef struct Attack {
        const char *name;
        AttackKind kind;
        unsigned flags;
        const char *stopper; /* the mechanism that has to hold */
        const char *mirrors; /* what it is modelled on */
        int (*run)(char part);
} Attack;

extern const Attack attacks[];
extern const size_t n_attacks;

#define ATTACK(name, kind, flags, stopper, mirrors) int attack_##name(char part);
#include "cases.h"
#undef ATTACK

/* The verdict. @broken() may be said many times: the first counts. All return the exit status. */
int held(const char *format, ...) __attribute__((format(printf, 1, 2)));
int broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
int skipped(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Remembers the first reason for a later verdict(). */
void hole(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What hole() remembered, or held with this text. */
int verdict(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Part 'a' of a pair: says that it is ready, and waits until the other part has ended (or for long enough). */
void ready(void);
void wait_for_other(void);

/* Reads a small file. Returns the length or -errno; ends it with NUL. */
ssize_t read_file(const char *path, char *buf, size_t size);

/* Does the file have any byte to read? */
bool has_content(const char *path);

/* Sets and reads /proc/self/status style lines: the number after @key. -1 when there is none. */
long status_number(const char *path, const char *key, int base);

/* How many processes there are in a state, a letter of /proc/PID/stat. */
unsigned count_in_state(char state);

/* Runs @function in a child, gives its exit status, or -signal. */
int in_child(int (*function)(void *), void *argument);

void sleep_ms(unsigned ms);
uint64_t now_ms(void);

/* A syscall whose answer is judged: errno of it, or 0 when it was done. */
#define TRY(call) (errno = 0, (long) (call) >= 0 ? 0 : errno)

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))
