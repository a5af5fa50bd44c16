/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/stack.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/init.h"
#include "init/memory.h"

#define PAGE 4096U
#define SIZE (256U * 1024U)

/* Among the variables, so that few tables of pages do for both; the first page is never there. */
static _Alignas(PAGE) char stack[PAGE + SIZE];

/* The first one, and the clock that the kernel puts beside it: it calls them [stack], [vvar], [vvar_vclock] and [vdso].
 * Where that cannot be done only memory is lost. */
static void keep_first_from_children(void) {
        static char *no_environment[] = { NULL };
        char maps[4096];

        if (file_read(AT_FDCWD, "/proc/self/maps", maps, sizeof maps) < 0)
                return;
        environ = no_environment; /* what libc keeps of it */
        program_invocation_name = program_invocation_short_name = (char *) INIT_PROCESS_NAME;
        for (char *line = strtok(maps, "\n"); line; line = strtok(NULL, "\n")) {
                uintptr_t from, to;
                const char *name = strchr(line, '[');
                if (name && (strncmp(name, "[stack]", 7) == 0 || strncmp(name, "[v", 2) == 0) &&
                        sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2)
                        (void) madvise((void *) from, to - from, MADV_DONTFORK);
        }
}

/* From the upper end. Returns -errno only. */
static int begin(void (*run)(void)) {
        ucontext_t next;

        if (getcontext(&next) < 0)
                return -errno;
        next.uc_stack = (stack_t){ .ss_sp = stack + PAGE, .ss_size = SIZE };
        makecontext(&next, run, 0);
        return setcontext(&next) < 0 ? -errno : 0;
}

int stack_move(void (*run)(void)) {
        if (mprotect(stack, PAGE, PROT_NONE) < 0)
                return -errno;
        keep_first_from_children();
        return begin(run);
}

int stack_begin_again(void (*run)(void)) {
        return begin(run);
}

void stack_give_back(void) {
        memory_give_back(stack + PAGE, SIZE - PAGE);
}
