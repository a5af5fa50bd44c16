/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "image/command.h"
#include "image/packages.h"

static int dpkg_query(const char *folder, char **ret_text) {
        const char *const argv[] = {
                "dpkg-query",
                "--admindir",
                folder,
                "--show",
                "--showformat",
                "P${db:Status-Abbrev}\\t${Package}\\t${Version}\\t${Architecture}\\n"
                "D${Pre-Depends}\\nD${Depends}\\nV${Provides}\\n${db-fsys:Files}",
                NULL,
        };

        return command_run(argv, ret_text);
}

/* "libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0, python3:any" gives libc6, debconf|debconf-2.0 and python3. */
static int dpkg_parse_names(char *line, Strings *names) {
        char *group;

        while ((group = strsep(&line, ","))) {
                char *out = group, *start = group;

                for (char *in = group; *in;)
                        if (*in == '(' || *in == ':' || *in == '[' || *in == '<')
                                in += strcspn(in, "|"); /* version or architecture: up to the next alternative */
                        else if (*in == ' ')
                                in++;
                        else
                                *out++ = *in++;
                *out = '\0';
                if (out > start) {
                        int r = strings_add(names, start);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* dpkg itself is always of the host's main architecture. */
static const char *dpkg_native_arch(const PackageDb *db) {
        for (size_t i = 0; i < db->n_packages; i++)
                if (strcmp(db->packages[i].name, "dpkg") == 0 && !db->packages[i].foreign)
                        return db->packages[i].arch;
        return NULL;
}

const PackageDbOps dpkg_ops = {
        .name = "dpkg",
        .folders = (const char *const[]){ "var/lib/dpkg", NULL },
        .files = (const char *const[]){ "status", NULL },
        .query = dpkg_query,
        .parse_needs = dpkg_parse_names,
        .parse_provides = dpkg_parse_names,
        .native_arch = dpkg_native_arch,
};
