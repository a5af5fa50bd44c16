/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/paths.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/report.h"

/* What is left out of the system folders, here without a leading "usr/". With "*" at the end all that begins so. */
static const char *const unwanted[] = {
        "games",
        "include/node",
        "include/systemd*",
        "lib/.build-id",
        "lib/cron*",
        "lib/debug",
        "lib/dracut",
        "lib/firmware",
        "lib/init",
        "lib/initcpio",
        "lib/kernel",
        "lib/modprobe.d",
        "lib/modules",
        "lib/modules-load.d",
        "lib/motd.d",
        "lib/pam.d",
        "lib/sysctl.d",
        "lib/sysimage",
        "lib/systemd",
        "lib/sysusers.d",
        "lib/tmpfiles.d",
        "lib/udev",
        "libexec/dpkg*",
        "local",
        "share/X11",
        "share/applications",
        "share/apport",
        "share/apt*",
        "share/base-files",
        "share/bash-completion",
        "share/bug",
        "share/dbus-1",
        "share/debconf",
        "share/debhelper",
        "share/doc",
        "share/doc-base",
        "share/fish",
        "share/gdb",
        "share/gtk-doc",
        "share/help",
        "share/icons",
        "share/info",
        "share/initramfs-tools",
        "share/licenses",
        "share/lintian",
        "share/locale",
        "share/man",
        "share/menu",
        "share/metainfo",
        "share/pixmaps",
        "share/polkit-1",
        "share/systemtap",
        "share/zoneinfo/posix",
        "share/zoneinfo/right",
        "share/zsh",
        "src",
        "tmp",
};

/* What is taken of /etc: nothing that names this host. */
static const char *const wanted_etc[] = {
        "etc/alternatives",
        "etc/ca-certificates",
        "etc/crypto-policies",
        "etc/fonts",
        "etc/inputrc",
        "etc/ld.so.conf",
        "etc/ld.so.conf.d",
        "etc/magic",
        "etc/magic.mime",
        "etc/mime.types",
        "etc/pki/ca-trust",
        "etc/pki/tls/cert.pem",
        "etc/pki/tls/certs",
        "etc/pki/tls/openssl.cnf",
        "etc/protocols",
        "etc/python*",
        "etc/services",
        "etc/ssl/certs",
        "etc/ssl/openssl.cnf",
        "etc/terminfo",
};

static const char *const system_folders[] = { "bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr" };

/* Is @path the entry or below it? */
static bool entry_covers(const char *entry, const char *path) {
        size_t n = strlen(entry);

        if (entry[n - 1] == '*')
                return strncmp(path, entry, n - 1) == 0;
        return strncmp(path, entry, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool any_covers(const char *const *entries, size_t n, const char *path) {
        for (size_t i = 0; i < n; i++)
                if (entry_covers(entries[i], path))
                        return true;
        return false;
}

bool path_is_wanted(const char *path) {
        if (strncmp(path, "etc/", 4) == 0)
                return any_covers(wanted_etc, ELEMENTSOF(wanted_etc), path);
        if (!any_covers(system_folders, ELEMENTSOF(system_folders), path))
                return false;
        return !any_covers(unwanted, ELEMENTSOF(unwanted), strncmp(path, "usr/", 4) == 0 ? path + 4 : path);
}

static int path_add(Strings *paths, const char *path) {
        char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        int r = strings_add(paths, copy);
        if (r < 0)
                free(copy);
        return r;
}

/* Where the link @name of @folder points to, as a path of the source. Returns 0 or -errno. */
static int link_target(Source *source, int folder_fd, const char *folder, const char *name, char buf[static PATH_MAX]) {
        char target[PATH_MAX], path[PATH_MAX];
        ssize_t n = readlinkat(folder_fd, name, target, sizeof target - 1);

        if (n < 0)
                return -errno;
        target[n] = '\0';
        if (target[0] == '/')
                return source_locate(source, target, buf);
        if (snprintf(path, sizeof path, "%s/%s", folder, target) >= (int) sizeof path)
                return -ENAMETOOLONG;
        return source_locate(source, path, buf);
}

static DIR *folder_list(const Source *source, const char *folder) {
        _cleanup_fd_ int place = source_open_folder(source, folder), fd = -EBADF;
        DIR *d;

        if (place < 0)
                return NULL;
        fd = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        d = fd < 0 ? NULL : fdopendir(fd);
        if (d)
                (void) take_fd(fd);
        return d;
}

/* Takes each link of the folder that points to something taken: /usr/bin/awk, /etc/alternatives/awk. */
int paths_add_links(Strings *paths, Source *source, const char *folder) {
        _cleanup_(closedir_p) DIR *d = folder_list(source, folder);
        size_t n_before = paths->n;
        struct dirent *entry;

        while (d && (entry = readdir(d))) {
                char target[PATH_MAX], path[PATH_MAX];
                Strings known = { .items = paths->items, .n = n_before }; /* the sorted part: we add behind it */

                if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
                        continue;
                if (link_target(source, dirfd(d), folder, entry->d_name, target) < 0)
                        continue;
                if (!strings_contain(&known, target))
                        continue;
                if (snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= (int) sizeof path)
                        continue;
                int r = path_add(paths, path);
                if (r < 0)
                        return r;
        }
        strings_sort_unique(paths);
        return 0;
}

/* Takes FOLDER/__pycache__/NAME.*.pyc for each FOLDER/NAME.py taken. Some distributions make these files when they
 * install; python would need a multiple of its starting time without. */
static int add_compiled_of(Strings *paths, const Source *source, const char *folder, const Strings *known) {
        char cache[PATH_MAX], path[PATH_MAX];
        struct dirent *entry;

        if (snprintf(cache, sizeof cache, "%s/__pycache__", folder) >= (int) sizeof cache)
                return 0;
        _cleanup_(closedir_p) DIR *d = folder_list(source, cache);
        while (d && (entry = readdir(d))) {
                size_t length = strlen(entry->d_name), stem = strcspn(entry->d_name, ".");

                if (length < 4 || strcmp(entry->d_name + length - 4, ".pyc") != 0 || strstr(entry->d_name, ".opt-"))
                        continue;
                if (snprintf(path, sizeof path, "%s/%.*s.py", folder, (int) stem, entry->d_name) >= (int) sizeof path ||
                        !strings_contain(known, path))
                        continue;
                if (snprintf(path, sizeof path, "%s/%s", cache, entry->d_name) >= (int) sizeof path)
                        continue;
                int r = path_add(paths, path);
                if (r < 0)
                        return r;
        }
        return 0;
}

int paths_add_compiled(Strings *paths, const Source *source) {
        _cleanup_(strings_done_all) Strings folders = {};
        int r = 0;

        for (size_t i = 0; i < paths->n && r == 0; i++) {
                const char *path = paths->items[i], *slash = strrchr(path, '/');
                size_t length = strlen(path);
                char folder[PATH_MAX];

                if (!slash || length < 3 || strcmp(path + length - 3, ".py") != 0)
                        continue;
                *(char *) mempcpy(folder, path, (size_t) (slash - path)) = '\0';
                r = path_add(&folders, folder);
        }
        strings_sort_unique(&folders);

        size_t n_before = paths->n;
        for (size_t i = 0; i < folders.n && r == 0; i++)
                r = add_compiled_of(
                        paths, source, folders.items[i], &(Strings){ .items = paths->items, .n = n_before });
        strings_sort_unique(paths);
        return r;
}

static int add_packages(const PackageDb *db, Source *source, Strings *paths) {
        for (size_t i = 0; i < db->n_packages; i++) {
                const Package *p = &db->packages[i];

                for (size_t k = 0; k < p->n_files && p->chosen; k++) {
                        char path[PATH_MAX];

                        /* most of what is not wanted is known before its folder is looked up */
                        if (!path_is_wanted(db->files.items[p->first_file + k] + 1))
                                continue;
                        if (source_locate(source, db->files.items[p->first_file + k], path) < 0 ||
                                !path_is_wanted(path))
                                continue;
                        int r = path_add(paths, path);
                        if (r < 0)
                                return r;
                }
        }
        strings_sort_unique(paths);
        return 0;
}

/* The bundle that the package's installation made of its certificates. */
static int add_certificates(Strings *paths) {
        static const char bundle[] = "etc/ssl/certs/ca-certificates.crt";
        int r = 0;

        if (strings_contain(paths, "usr/share/ca-certificates")) {
                r = path_add(paths, bundle);
                strings_sort_unique(paths);
        }
        return r;
}

int paths_collect(const PackageDb *db, Source *source, Strings *ret) {
        /* a link may point to a link of a folder before it; names of certificates by hash point to links beside them */
        static const char *const link_folders[] = {
                "etc/alternatives",
                "usr/bin",
                "usr/sbin",
                "etc/ssl/certs",
                "etc/ssl/certs",
        };
        _cleanup_(strings_done_all) Strings paths = {};

        int r = add_packages(db, source, &paths);
        if (r == 0)
                r = add_certificates(&paths);
        for (size_t i = 0; i < ELEMENTSOF(link_folders) && r == 0; i++)
                r = paths_add_links(&paths, source, link_folders[i]);
        if (r == 0)
                r = paths_add_compiled(&paths, source);
        if (r < 0)
                return report_memory();
        *ret = paths;
        paths = (Strings){};
        return 0;
}
