/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/utsname.h>

#include "image/command.h"
#include "image/packages.h"

static int rpm_query(const char *folder, char **ret_text) {
        /* the folder is always given: rpm programs of other distributions look in the home folder */
        const char *const argv[] = {
                "rpm",
                "--dbpath",
                folder,
                "--query",
                "--all",
                "--nosignature",
                "--nodigest",
                "--queryformat",
                "Pii\\t%{NAME}\\t%{EVR}\\t%{ARCH}\\n[D%{REQUIREFLAGS}\\t%{REQUIRENAME}\\n][V%{PROVIDENAME}\\n]"
                "[ %{FILENAMES}\\n]",
                NULL,
        };

        return command_run(argv, ret_text);
}

/* RPMSENSE_*: what only the scripts of an installation need, what may be missing, what is about rpm's own features
 * or configuration. */
#define FLAG_PRE (1U << 9)
#define FLAG_POST (1U << 10)
#define FLAG_PREUN (1U << 11)
#define FLAG_POSTUN (1U << 12)
#define FLAG_PRETRANS (1U << 7)
#define FLAG_POSTTRANS (1U << 5)
#define FLAG_MISSINGOK (1U << 19)
#define FLAG_RPMLIB (1U << 24)
#define FLAG_CONFIG (1U << 28)
#define FLAGS_NOT_AT_RUN                                                                                               \
        (FLAG_PRE | FLAG_POST | FLAG_PREUN | FLAG_POSTUN | FLAG_PRETRANS | FLAG_POSTTRANS | FLAG_MISSINGOK |           \
                FLAG_RPMLIB | FLAG_CONFIG)

/* "(a or b >= 2)", "(a and b)": the names alone. Conditions on other packages ("if", "unless") ask for nothing that
 * is needed to run, and nested ones are not for a copy to solve: both are left out. */
static int parse_rich(char *text, Strings *needs) {
        char *out = text, *group = text, *word;
        bool name_follows = true;
        size_t n = strlen(text);

        if (strstr(text, " if ") || strstr(text, " unless ") || strchr(text + 1, ' ') == NULL)
                return 0;
        text[n - 1] = '\0'; /* the closing bracket */
        text++;
        while ((word = strsep(&text, " "))) {
                if (strcmp(word, "or") == 0 || strcmp(word, "and") == 0) {
                        bool ends = word[0] == 'a';

                        *out++ = ends ? '\0' : '|';
                        if (ends) {
                                int r = strings_add(needs, group);
                                if (r < 0)
                                        return r;
                                group = out;
                        }
                        name_follows = true;
                } else if (name_follows) {
                        if (word[0] == '(')
                                return 0;
                        size_t length = strlen(word);
                        (void) memmove(out, word, length);
                        out += length;
                        name_follows = false;
                } /* else a version, or "with" and its second half */
        }
        *out = '\0';
        return strings_add(needs, group);
}

/* @line: "<flags>TAB<capability>", with words in the capability only when it is a rich one. */
static int rpm_parse_needs(char *line, Strings *needs) {
        char *name = strchr(line, '\t');

        if (!name)
                return -EINVAL;
        *name++ = '\0';
        if ((strtoul(line, NULL, 10) & FLAGS_NOT_AT_RUN) || name[0] == '\0')
                return 0;
        if (name[0] == '(')
                return parse_rich(name, needs);
        return strings_add(needs, name);
}

static int rpm_parse_provides(char *line, Strings *names) {
        return strings_add(names, line);
}

/* On 64-bit hosts the packages of the machine's own name; where none has that name (arm, i386) all are the host's. */
static const char *rpm_native_arch(const PackageDb *db) {
        struct utsname machine;

        if (uname(&machine) < 0)
                return NULL;
        for (size_t i = 0; i < db->n_packages; i++)
                if (strcmp(db->packages[i].arch, machine.machine) == 0)
                        return db->packages[i].arch;
        return NULL;
}

const PackageDbOps rpm_ops = {
        .name = "rpm",
        .folders = (const char *const[]){ "usr/lib/sysimage/rpm", "var/lib/rpm", NULL },
        .files = (const char *const[]){ "rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db", "Packages", NULL },
        .query = rpm_query,
        .parse_needs = rpm_parse_needs,
        .parse_provides = rpm_parse_provides,
        .native_arch = rpm_native_arch,
};
