/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/skeleton.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/command.h"

#define USER "sandboxuser"

// clang-format off
static const struct {
        const char *path;
        mode_t mode;
} folders[] = {
        { "dev",          0755 },
        { "etc",          0755 },
        { "home",         0755 },
        { "home/" USER,   0755 },
        { "media",        0755 },
        { "mnt",          0755 },
        { "opt",          0755 },
        { "proc",         0555 },
        { "root",         0700 },
        { "run",          0755 },
        { "srv",          0755 },
        { "sys",          0555 },
        { "tmp",          01777 },
        { "usr/bin",      0755 },
        { "usr/lib",      0755 },
        { "usr/local",    0755 },
        { "usr/local/bin", 0755 },
        { "usr/local/lib", 0755 },
        { "usr/sbin",     0755 },
        { "var",          0755 },
        { "var/cache",    0755 },
        { "var/lib",      0755 },
        { "var/log",      0755 },
        { "var/tmp",      01777 },
};

static const struct {
        const char *path;
        const char *text;
} files[] = {
        { "etc/group",
          "root:x:0:\n"
          "tty:x:5:\n"
          USER ":x:1000:\n"
          "nogroup:x:65534:\n" },
        { "etc/hostname",
          "sandbox\n" },
        { "etc/hosts",
          "127.0.0.1 localhost sandbox\n"
          "::1 localhost sandbox\n" },
        { "etc/nsswitch.conf",
          "passwd: files\n"
          "group: files\n"
          "shadow: files\n"
          "hosts: files dns\n"
          "networks: files\n"
          "protocols: files\n"
          "services: files\n"
          "rpc: files\n" },
        { "etc/profile",
          "export PATH=/usr/local/bin:/usr/bin:/bin\n"
          "PS1='\\u@\\h:\\w\\$ '\n" },
        { "etc/resolv.conf",
          "" },
        { "etc/shells",
          "/bin/sh\n"
          "/bin/bash\n" },
};
// clang-format on

static bool exists(const TreeWriter *w, const char *path) {
        struct stat st;

        return fstatat(w->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Links of merged systems, in the folder @folder ("" or "usr"), as far as what they point to is part of the image. */
static int make_links(TreeWriter *w, const Source *source, const char *folder, const char *const *names, size_t n,
        const char **ret_failed) {
        _cleanup_fd_ int from = source_open_folder(source, folder);

        for (size_t i = 0; i < n && from >= 0; i++) {
                char target[256], place[PATH_MAX], path[PATH_MAX];
                const char *slash = *folder ? "/" : "";
                struct stat st;
                ssize_t length = readlinkat(from, names[i], target, sizeof target);

                if (length <= 0 || length == sizeof target)
                        continue;
                target[length] = '\0';
                (void) snprintf(path, sizeof path, "%s%s%s", folder, slash, names[i]);
                if (target[0] == '/')
                        (void) snprintf(place, sizeof place, ".%s", target);
                else
                        (void) snprintf(place, sizeof place, "%s%s%s", folder, slash, target);
                if (exists(w, path) || fstatat(w->root_fd, place, &st, 0) < 0)
                        continue;
                int r = tree_link(w, path, target);
                if (r < 0) {
                        *ret_failed = names[i];
                        return r;
                }
        }
        return 0;
}

static int make_users(TreeWriter *w) {
        const char *shell = exists(w, "usr/bin/bash") || exists(w, "bin/bash") ? "/bin/bash" : "/bin/sh";
        char text[512];

        (void) snprintf(text, sizeof text,
                "root:x:0:0:root:/root:%s\n" USER ":x:1000:1000::/home/" USER
                ":%s\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
                shell, shell);
        return tree_file(w, "etc/passwd", text);
}

/* The distribution's name and version: programs ask for it. The file may be a link to a variant's. */
static int make_release(TreeWriter *w, const Source *source) {
        _cleanup_fd_ int folder = source_open_folder(source, "usr/lib");
        char text[4096];

        if (folder < 0)
                return 0;
        if (file_read(folder, "os-release", text, sizeof text) < 0)
                return 0;
        if (!exists(w, "usr/lib/os-release")) {
                int r = tree_file(w, "usr/lib/os-release", text);
                if (r < 0)
                        return r;
        }
        return tree_link(w, "etc/os-release", "../usr/lib/os-release");
}

int skeleton_make(TreeWriter *w, const Source *source, const char **ret_failed) {
        static const char *const usr_links[] = { "lib64", "sbin" };
        static const char *const root_links[] = { "bin", "lib", "lib32", "lib64", "libx32", "sbin" };

        /* before the folders, or usr/sbin would be one */
        int r = make_links(w, source, "usr", usr_links, ELEMENTSOF(usr_links), ret_failed);

        for (size_t i = 0; i < ELEMENTSOF(folders) && r == 0; i++) {
                *ret_failed = folders[i].path;
                if (!exists(w, folders[i].path))
                        r = tree_folder(w, folders[i].path, folders[i].mode);
        }
        if (r == 0)
                r = make_links(w, source, "", root_links, ELEMENTSOF(root_links), ret_failed);
        for (size_t i = 0; i < ELEMENTSOF(files) && r == 0; i++) {
                *ret_failed = files[i].path;
                r = tree_file(w, files[i].path, files[i].text);
        }
        if (r == 0) {
                *ret_failed = "etc/passwd";
                r = make_users(w);
        }
        if (r == 0) {
                *ret_failed = "etc/os-release";
                r = make_release(w, source);
        }
        /* without it the C library takes the same */
        if (r == 0 && exists(w, "usr/share/zoneinfo/Etc/UTC")) {
                *ret_failed = "etc/localtime";
                r = tree_link(w, "etc/localtime", "../usr/share/zoneinfo/Etc/UTC");
        }
        return r;
}

int skeleton_link_cache(TreeWriter *w, const char *path) {
        /* -X: makes no links; they would belong to us */
        const char *const argv[] = { "ldconfig", "-X", "-r", path, NULL };
        int r = command_run(argv, NULL);

        if (r < 0)
                return r;
        _cleanup_fd_ int etc = openat(w->root_fd, "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_fd_ int fd = etc < 0 ? -EBADF : openat(etc, "ld.so.cache", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fchown(fd, w->uid, w->gid) < 0 || fchmod(fd, 0644) < 0)
                return -errno;
        /* its notes for the next run: there is none */
        return tree_remove(w->root_fd, "var/cache/ldconfig");
}
