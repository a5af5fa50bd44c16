/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "image/list.h"
#include "image/strings.h"

/* What the host has installed, and which of it an image takes. */

typedef struct Package {
        const char *name, *version, *arch;
        size_t first_need, n_needs; /* in PackageDb.needs */
        size_t first_file, n_files; /* in PackageDb.files */
        bool foreign;               /* of another architecture than the host's own: not considered */
        bool chosen;
} Package;

/* A name that a dependency may use: the package's own or one it provides. */
typedef struct Capability {
        const char *name;
        size_t package;
        bool own;
} Capability;

typedef struct PackageDb PackageDb;

/* One file an instance: dpkg.c, rpm.c. */
typedef struct PackageDbOps {
        const char *name;
        const char *const *folders; /* where the database may lie, without leading "/"; ended by NULL */
        const char *const *files;   /* in that folder: not all missing or empty when there is a database */

        /* Asks the program for all packages of the database in @folder. The answer is lines of
         *   P<ii >TAB name TAB version TAB architecture    a package; only "i" in the second place is installed
         *   D<dependencies>  V<provided names>             of it, any number
         *   <space>/path                                   a file of it */
        int (*query)(const char *folder, char **ret_text);

        /* Adds each dependency of a line as "a|b" (names alone). Works in place, the parts stay valid. */
        int (*parse_needs)(char *line, Strings *needs);
        int (*parse_provides)(char *line, Strings *names);
        const char *(*native_arch)(const PackageDb *db); /* NULL: all there are */
} PackageDbOps;

extern const PackageDbOps dpkg_ops;
extern const PackageDbOps rpm_ops;

struct PackageDb {
        const PackageDbOps *ops;
        char *folder; /* owned */
        char *text;   /* owned, all names point into it */
        Package *packages;
        size_t n_packages, n_allocated;
        Strings needs;
        Strings files;
        Capability *capabilities; /* sorted by name, a package's own name first */
        size_t n_capabilities, n_capabilities_allocated;
};

void package_db_done(PackageDb *db);

/* Finds the database of the system at @root ("/"). Reports when there is none: -ENODATA. */
int package_db_find(const char *root, PackageDb *ret);

/* A short text that changes whenever packages are installed, removed or upgraded. Owned by the caller. */
int package_db_stamp(const PackageDb *db, char **ret);

/* Reads all packages. Reports. */
int package_db_load(PackageDb *db);

/* Reads the answer of a query, which it takes over. Returns 0 or -ENOMEM, -EINVAL. */
int package_db_parse(PackageDb *db, char *text);

/* Marks what the list names and, of their dependencies, what is installed and not stopped.
 * Reports a required package that is not there: -ENOPKG. */
int packages_choose(PackageDb *db, const PackageList *list);
