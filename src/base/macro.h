/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _noreturn_ __attribute__((noreturn))
#define _unused_ __attribute__((unused))

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
/* clang-format off */
#define CONTAINER_OF(ptr, type, member) ((type *) (void *) ((char *) (ptr) - offsetof(type, member)))
/* clang-format on */

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* clang-format off */
/* Hands the value on and leaves the variable empty, so that its cleanup does nothing. */
#define take_ptr(p)                        \
        ({                                 \
                __auto_type _p = &(p);     \
                __auto_type _taken = *_p;  \
                *_p = NULL;                \
                _taken;                    \
        })

#define take_fd(fd)              \
        ({                       \
                int *_p = &(fd); \
                int _fd = *_p;   \
                *_p = -EBADF;    \
                _fd;             \
        })
/* clang-format on */

/* free_counted() is for what counted its references, after the last. Neither is shown to the analyzer of gcc 12: it reads
 * what goes by free_p() as never written, and takes each reference that is dropped for the last one. */
#ifdef ANALYZER
void free_p(void *p);
void free_counted(void *p);
#else
static inline void free_p(void *p) {
        free(*(void **) p);
}
#define free_counted free
#endif
#define _cleanup_free_ _cleanup_(free_p)

/* clang-format off */
/* Defines name##p() for use with _cleanup_: calls the destructor, which accepts NULL. */
#define DEFINE_CLEANUP(type, func)                 \
        static inline void func##p(type **p) {     \
                if (*p)                            \
                        (void) func(*p);           \
        }                                          \
        struct _require_semicolon_
/* clang-format on */
