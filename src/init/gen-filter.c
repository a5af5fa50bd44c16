/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init/syscalls.h"

/* Build-time program: compiles the allow list and writes it as a C array to standard output. */

static const char *const allowed[] = {
#define NAME(name) #name,
        SYSCALLS_PAYLOAD(NAME) SYSCALLS_SETUP(NAME) SYSCALLS_WIDENED(NAME)
};
static const char *const refused[] = { SYSCALLS_REFUSED(NAME) };

static void add(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int number = seccomp_syscall_resolve_name(names[i]);
                if (number < 0) /* newer than this libseccomp, or not of this architecture */
                        continue;
                int r = seccomp_rule_add_exact(filter, action, number, 0);
                if (r < 0) {
                        (void) fprintf(stderr, "%s: %s\n", names[i], strerror(-r));
                        exit(EXIT_FAILURE);
                }
        }
}

int main(void) {
        struct {
                uint16_t code;
                uint8_t jt, jf;
                uint32_t k;
        } instruction;
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(38 /* ENOSYS */));
        FILE *program = tmpfile();

        if (!filter || !program)
                return EXIT_FAILURE;
        if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 ||
                seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
                return EXIT_FAILURE;
        add(filter, SCMP_ACT_ALLOW, allowed, sizeof allowed / sizeof allowed[0]);
        add(filter, SCMP_ACT_ERRNO(1 /* EPERM */), refused, sizeof refused / sizeof refused[0]);
        if (seccomp_export_bpf(filter, fileno(program)) < 0)
                return EXIT_FAILURE;

        rewind(program);
        (void) printf("/* Generated from init/syscalls.h. */\n");
        while (fread(&instruction, sizeof instruction, 1, program) == 1)
                (void) printf("{ 0x%02x, %u, %u, 0x%08x },\n", instruction.code, instruction.jt, instruction.jf,
                        instruction.k);
        (void) fclose(program);
        seccomp_release(filter);
        return EXIT_SUCCESS;
}
