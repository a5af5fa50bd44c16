/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attack/attack.h"
#include "base/macro.h"
#include "init/syscalls.h"

/* doc/seccomp.md and SECURITY.md say what the sources say. */

static char *read_source(const char *path) {
        char name[512], *text = NULL;
        size_t size = 0;

        (void) snprintf(name, sizeof name, "%s/%s", SOURCE_ROOT, path);
        FILE *f = fopen(name, "re");
        if (!f)
                fail_msg("%s cannot be opened", name);
        if (getdelim(&text, &size, '\0', f) < 0)
                fail_msg("%s cannot be read", name);
        (void) fclose(f);
        return text;
}

/* Is `name` in the text between @from and @to? */
static bool names(const char *from, const char *to, const char *name) {
        char quoted[96];

        (void) snprintf(quoted, sizeof quoted, "`%.64s`", name);
        const char *p = strstr(from, quoted);
        return p && p < to;
}

static unsigned count_names(const char *from, const char *to) {
        unsigned n = 0;

        for (const char *p = from; (p = strchr(p, '`')) && p < to; p++)
                n++;
        return n / 2;
}

#define NAME(name) #name,
static const char *const files[] = { SYSCALLS_FILES(NAME) };
static const char *const processes[] = { SYSCALLS_PROCESSES(NAME) };
static const char *const memory[] = { SYSCALLS_MEMORY(NAME) };
static const char *const events[] = { SYSCALLS_EVENTS(NAME) };
static const char *const sockets[] = { SYSCALLS_SOCKETS(NAME) };
static const char *const ipc[] = { SYSCALLS_IPC(NAME) };
static const char *const systems[] = { SYSCALLS_SYSTEM(NAME) };
static const char *const setup[] = { SYSCALLS_SETUP(NAME) };
static const char *const refused[] = { SYSCALLS_REFUSED(NAME) };
static const char *const widened[] = { SYSCALLS_WIDENED(NAME) };

static void test_groups(void **state) {
        static const struct {
                const char *title, *next;
                const char *const *calls;
                size_t n;
        } groups[] = {
                { "### Files\n", "\n### ", files, ELEMENTSOF(files) },
                { "### Processes\n", "\n### ", processes, ELEMENTSOF(processes) },
                { "### Memory\n", "\n### ", memory, ELEMENTSOF(memory) },
                { "### Events\n", "\n### ", events, ELEMENTSOF(events) },
                { "### Sockets\n", "\n### ", sockets, ELEMENTSOF(sockets) },
                { "### Interprocess communication\n", "\n### ", ipc, ELEMENTSOF(ipc) },
                { "### System\n", "\n\n`ptrace` ", systems, ELEMENTSOF(systems) },
                { "to `clone`.\n", "\n## ", setup, ELEMENTSOF(setup) },
                { "\n\n| group | calls |", "\n\nWhat else", widened, ELEMENTSOF(widened) },
                { "## Refused\n", "\n\n`io_uring_setup`", refused, ELEMENTSOF(refused) },
        };
        char *doc = read_source("doc/seccomp.md");

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(groups); i++) {
                const char *from = strstr(doc, groups[i].title), *to = from ? strstr(from + 5, groups[i].next) : NULL;
                if (!from || !to)
                        fail_msg("doc/seccomp.md has no section \"%s\"", groups[i].title);
                from += strlen(groups[i].title);
                for (size_t j = 0; j < groups[i].n; j++)
                        if (!names(from, to, groups[i].calls[j]))
                                fail_msg("doc/seccomp.md does not name %s", groups[i].calls[j]);
                assert_int_equal(count_names(from, to), groups[i].n);
        }
        free(doc);
}

/* Each rule of the filter about arguments has a row, and each row a rule. Those before the lock decide alone, so that
 * their calls have to be allowed. */
static void test_rules(void **state) {
        static const char *const macros[] = { "        CALL(", "        NOT_FIRST(" };
        char *doc = read_source("doc/seccomp.md"), *source = read_source("src/init/filter.c");
        const char *from = strstr(doc, "## Allowed with some arguments"), *to = strstr(doc, "## Taken away");
        const char *allowed = strstr(doc, "## Allowed\n"), *lock = strstr(source, "lock_head[]");
        unsigned n = 0;

        (void) state;
        assert_non_null(from);
        assert_non_null(to);
        assert_non_null(allowed);
        assert_non_null(lock);
        for (size_t i = 0; i < ELEMENTSOF(macros); i++)
                for (const char *p = source; (p = strstr(p, macros[i]));) {
                        char name[64];
                        p += strlen(macros[i]);
                        (void) snprintf(name, sizeof name, "%.*s", (int) strcspn(p, ",)"), p);
                        if (strcmp(name, "name") == 0) /* the macro itself */
                                continue;
                        if (!names(from, to, name))
                                fail_msg("doc/seccomp.md has no row about the arguments of %s", name);
                        if (p < lock && !names(allowed, from, name))
                                fail_msg("%s is not in the allow list, but its arguments are tested", name);
                        n++;
                }
        assert_true(n > 20);
        free(source);
        free(doc);
}

static void test_known_gaps(void **state) {
        static const struct {
                const char *name;
                unsigned flags;
        } cases[] = {
#define ATTACK(name, kind, flags, stopper, mirrors) { #name, flags },
#include "../attack/cases.h"
#undef ATTACK
        };
        char *doc = read_source("SECURITY.md");

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if ((cases[i].flags & KNOWN) && !names(doc, doc + strlen(doc), cases[i].name))
                        fail_msg("SECURITY.md does not say why %s does not hold", cases[i].name);
        free(doc);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_groups),
                cmocka_unit_test(test_rules),
                cmocka_unit_test(test_known_gaps),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
