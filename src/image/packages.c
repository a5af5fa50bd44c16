/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/packages.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "image/report.h"

static const PackageDbOps *const databases[] = { &dpkg_ops, &rpm_ops };

void package_db_done(PackageDb *db) {
        strings_done(&db->needs);
        strings_done(&db->files);
        free(db->capabilities);
        free(db->packages);
        free(db->text);
        free(db->folder);
        *db = (PackageDb){};
}

/* Adds the state of each file of the database to @stamp. Returns how many of them have a content. */
static int stamp_files(const PackageDbOps *ops, const char *folder, FILE *stamp) {
        int n = 0;

        for (const char *const *file = ops->files; *file; file++) {
                _cleanup_free_ char *path = NULL;
                struct stat st;

                if (asprintf(&path, "%s/%s", folder, *file) < 0)
                        return -ENOMEM;
                if (stat(path, &st) < 0 || st.st_size == 0)
                        continue;
                if (stamp)
                        (void) fprintf(stamp, " %s:%ju:%jd:%jd.%09ld", *file, (uintmax_t) st.st_ino,
                                (intmax_t) st.st_size, (intmax_t) st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
                n++;
        }
        return n;
}

int package_db_find(const char *root, PackageDb *ret) {
        for (size_t i = 0; i < ELEMENTSOF(databases); i++)
                for (const char *const *folder = databases[i]->folders; *folder; folder++) {
                        _cleanup_free_ char *path = NULL;

                        if (asprintf(&path, "%s/%s", strcmp(root, "/") == 0 ? "" : root, *folder) < 0)
                                return report_memory();
                        int n = stamp_files(databases[i], path, NULL);
                        if (n < 0)
                                return report_memory();
                        if (n > 0) {
                                *ret = (PackageDb){ .ops = databases[i], .folder = take_ptr(path) };
                                return 0;
                        }
                }
        return report(ENODATA,
                "%s: no package database of dpkg or rpm: make the image on a system with one and copy it, "
                "or give the root of one with --root",
                root);
}

int package_db_stamp(const PackageDb *db, char **ret) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return -ENOMEM;
        (void) fprintf(f, "%s %s", db->ops->name, db->folder);
        int r = stamp_files(db->ops, db->folder, f);
        if (fclose(f) != 0 || r < 0)
                return -ENOMEM;
        *ret = take_ptr(text);
        return 0;
}

static int capability_add(PackageDb *db, const char *name, size_t package, bool own) {
        if (db->n_capabilities == db->n_capabilities_allocated) {
                size_t n = MAX(db->n_capabilities_allocated * 2, 1024U);
                Capability *grown = reallocarray(db->capabilities, n, sizeof *grown);

                if (!grown)
                        return -ENOMEM;
                db->capabilities = grown;
                db->n_capabilities_allocated = n;
        }
        db->capabilities[db->n_capabilities++] = (Capability){ .name = name, .package = package, .own = own };
        return 0;
}

/* @line: "<state>TAB name TAB version TAB arch". */
static int package_add(PackageDb *db, char *line) {
        const char *state = strsep(&line, "\t"), *name = strsep(&line, "\t"), *version = strsep(&line, "\t");

        if (!line)
                return -EINVAL;
        if (db->n_packages == db->n_allocated) {
                size_t n = MAX(db->n_allocated * 2, 256U);
                Package *grown = reallocarray(db->packages, n, sizeof *grown);

                if (!grown)
                        return -ENOMEM;
                db->packages = grown;
                db->n_allocated = n;
        }
        db->packages[db->n_packages++] = (Package){
                .name = name,
                .version = version,
                .arch = line,
                .first_need = db->needs.n,
                .first_file = db->files.n,
                .foreign = strlen(state) < 2 || state[1] != 'i',
        };
        return capability_add(db, name, db->n_packages - 1, true);
}

static int provides_add(PackageDb *db, char *line) {
        Strings names = {};
        int r = db->ops->parse_provides(line, &names);

        for (size_t i = 0; i < names.n && r == 0; i++)
                r = capability_add(db, names.items[i], db->n_packages - 1, false);
        strings_done(&names);
        return r;
}

static int parse_line(PackageDb *db, char *line) {
        Package *p = db->n_packages > 0 ? &db->packages[db->n_packages - 1] : NULL;
        int r = 0;

        if (line[0] == 'P')
                return package_add(db, line + 1);
        if (!p)
                return line[0] == '\0' ? 0 : -EINVAL;

        switch (line[0]) {
        case 'D':
                r = db->ops->parse_needs(line + 1, &db->needs);
                p->n_needs = db->needs.n - p->first_need;
                break;
        case 'V':
                r = provides_add(db, line + 1);
                break;
        case ' ':
                r = strings_add(&db->files, line + 1);
                p->n_files = db->files.n - p->first_file;
                break;
        default: /* an empty line, or the second half of a path with a line break: never a program's own */
                break;
        }
        return r;
}

static int capability_compare(const void *a, const void *b) {
        const Capability *x = a, *y = b;
        int c = strcmp(x->name, y->name);

        if (c != 0)
                return c;
        if (x->own != y->own)
                return x->own ? -1 : 1;
        return x->package < y->package ? -1 : x->package > y->package;
}

/* Whatever is not of the host's own architecture is as if not there. */
static void mark_foreign(PackageDb *db) {
        const char *native = db->ops->native_arch(db);

        if (!native)
                return;
        for (size_t i = 0; i < db->n_packages; i++) {
                Package *p = &db->packages[i];

                if (strcmp(p->arch, native) != 0 && strcmp(p->arch, "all") != 0 && strcmp(p->arch, "noarch") != 0)
                        p->foreign = true;
        }
}

int package_db_parse(PackageDb *db, char *text) {
        char *cursor = text, *line;

        free(db->text);
        db->text = text;
        while ((line = strsep(&cursor, "\n"))) {
                int r = parse_line(db, line);
                if (r < 0)
                        return r;
        }
        mark_foreign(db);
        if (db->n_capabilities > 0)
                qsort(db->capabilities, db->n_capabilities, sizeof *db->capabilities, capability_compare);
        return 0;
}

int package_db_load(PackageDb *db) {
        char *text = NULL;
        int r = db->ops->query(db->folder, &text);

        if (r == -ENOENT)
                return report(r, "%s: the program that reads this package database is missing: install %s", db->folder,
                        db->ops->name);
        if (r < 0)
                return report(r, "%s: the packages cannot be listed by %s: %s", db->folder, db->ops->name,
                        r == -EPROTO ? "it failed" : strerror(-r));
        r = package_db_parse(db, text);
        if (r < 0)
                return report(r, "%s: the answer of %s cannot be read: %s", db->folder, db->ops->name, strerror(-r));
        return 0;
}

static const char *without_usr(const char *path) {
        return strncmp(path, "/usr/", 5) == 0 ? path + 4 : path;
}

/* rpm: a dependency on a file. */
static Package *find_by_file(PackageDb *db, const char *path) {
        for (size_t i = 0; i < db->n_packages; i++) {
                Package *p = &db->packages[i];

                for (size_t k = 0; k < p->n_files && !p->foreign; k++)
                        if (strcmp(without_usr(db->files.items[p->first_file + k]), without_usr(path)) == 0)
                                return p;
        }
        return NULL;
}

static Package *find_by_name(PackageDb *db, const char *name) {
        size_t low = 0, high = db->n_capabilities;

        while (low < high) {
                size_t middle = (low + high) / 2;

                if (strcmp(db->capabilities[middle].name, name) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (; low < db->n_capabilities && strcmp(db->capabilities[low].name, name) == 0; low++) {
                Package *p = &db->packages[db->capabilities[low].package];

                if (!p->foreign)
                        return p;
        }
        return name[0] == '/' ? find_by_file(db, name) : NULL;
}

/* The first of "a|b" that is installed; with @list, that is not stopped. */
static Package *find_alternative(PackageDb *db, const char *alternatives, const PackageList *list) {
        while (*alternatives) {
                char name[512];
                size_t n = strcspn(alternatives, "|");

                if (n < sizeof name) {
                        *(char *) mempcpy(name, alternatives, n) = '\0';
                        Package *p = find_by_name(db, name);
                        if (p && (p->chosen || !list || !package_list_stops(list, p->name)))
                                return p;
                }
                alternatives += n + (alternatives[n] == '|');
        }
        return NULL;
}

/* @queue has room for all packages. */
static void choose(Package *p, Package **queue, size_t *n) {
        if (p && !p->chosen) {
                p->chosen = true;
                queue[(*n)++] = p;
        }
}

int packages_choose(PackageDb *db, const PackageList *list) {
        _cleanup_free_ Package **queue = calloc(MAX(db->n_packages, 1U), sizeof(Package *));
        size_t n = 0;

        if (!queue)
                return report_memory();

        for (size_t i = 0; i < list->wanted.n; i++) {
                const char *entry = list->wanted.items[i];
                bool optional = entry[0] == '?';
                Package *p = find_alternative(db, entry + optional, NULL);

                if (!p && !optional)
                        return report(ENOPKG,
                                "package '%s' is not installed: install it, or mark it as optional ('?%s') in %s",
                                entry, entry, list->path);
                choose(p, queue, &n);
        }
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < queue[i]->n_needs; k++)
                        choose(find_alternative(db, db->needs.items[queue[i]->first_need + k], list), queue, &n);
        return 0;
}
