/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/memory.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096U

void memory_give_back(void *start, size_t size) {
        uintptr_t from = ((uintptr_t) start + PAGE - 1) & ~(uintptr_t) (PAGE - 1);
        uintptr_t to = ((uintptr_t) start + size) & ~(uintptr_t) (PAGE - 1);

        if (from < to)
                (void) madvise((void *) from, to - from, MADV_DONTNEED); /* it is memory that is saved, no more */
}

/* What most commands look up in the image first. */
static const char *const usual[] = {
        "/bin/sh",
        "/usr/bin/env",
        "/etc/ld.so.preload",
        "/etc/ld.so.cache",
#if defined(__x86_64__)
        "/lib64/ld-linux-x86-64.so.2",
        "/lib64/libc.so.6",
        "/lib/x86_64-linux-gnu/libc.so.6",
#elif defined(__aarch64__)
        "/lib/ld-linux-aarch64.so.1",
        "/lib64/libc.so.6",
        "/lib/aarch64-linux-gnu/libc.so.6",
#endif
};

void memory_touch(void *from, size_t size) {
        volatile char *p = from;

        for (size_t at = 0; at < size; at += PAGE) {
                char same = p[at];
                p[at] = same;
        }
        char same = p[size - 1];
        p[size - 1] = same;
}

void memory_look_up_usual(void) {
        for (size_t i = 0; i < ELEMENTSOF(usual); i++)
                if (access(usual[i], F_OK) < 0)
                        continue; /* that it is not there is remembered too */
}
