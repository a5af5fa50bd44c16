/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/memory.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096U
#define STACK_NEEDED 256U /* for a call, below the frame of what gives back the stack */
#define STACK_USED (32U * 1024U)

static void give_back(uintptr_t from, uintptr_t to) {
        from = (from + PAGE - 1) & ~(uintptr_t) (PAGE - 1);
        to &= ~(uintptr_t) (PAGE - 1);
        if (from < to)
                (void) madvise((void *) from, to - from, MADV_DONTNEED); /* it is memory that is saved, no more */
}

void memory_give_back(void *from, size_t size) {
        give_back((uintptr_t) from, (uintptr_t) from + size);
}

_noinline_ void memory_give_stack_back(const void *frame) {
        uintptr_t here = (uintptr_t) __builtin_frame_address(0);

        give_back(here - STACK_USED, here - STACK_NEEDED);
        give_back((uintptr_t) frame, (uintptr_t) environ);
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
