/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/source.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/report.h"

void source_done(Source *s) {
        s->fd = fd_close(s->fd);
}

static int name_of(int fd, char buf[static PATH_MAX]) {
        char link[sizeof "/proc/self/fd/" + 12];

        (void) snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, buf, PATH_MAX - 1);
        if (n < 0)
                return -errno;
        if (n == PATH_MAX - 1)
                return -ENAMETOOLONG;
        buf[n] = '\0';
        return 0;
}

int source_open(const char *root, Source *ret) {
        _cleanup_fd_ int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return report(errno, "%s: %s: give the root folder of a system with --root", root, strerror(errno));
        *ret = (Source){ .fd = -EBADF };
        int r = name_of(fd, ret->root);
        if (r < 0)
                return report(r, "/proc is needed to find files: %s", strerror(-r));
        if (strcmp(ret->root, "/") == 0)
                ret->root[0] = '\0';
        ret->fd = take_fd(fd);

        /* without this call nothing would be found, and the image be empty */
        _cleanup_fd_ int probe = source_open_folder(ret, "");
        if (probe < 0) {
                source_done(ret);
                return report(probe, "%s: openat2: %s: Linux 5.6 or later is needed, and no filter on it", root,
                        strerror(-probe));
        }
        return 0;
}

int source_open_folder(const Source *s, const char *folder) {
        struct open_how how = {
                .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
        };
        int fd = (int) syscall(SYS_openat2, s->fd, *folder ? folder : ".", &how, sizeof how);

        return fd < 0 ? -errno : fd;
}

int source_resolve(Source *s, const char *folder, const char **ret) {
        char name[PATH_MAX];
        size_t n = strlen(s->root);

        if (s->resolved[0] != '\0' && strcmp(folder, s->folder) == 0) {
                *ret = s->resolved + 1;
                return 0;
        }
        if (strlen(folder) >= PATH_MAX)
                return -ENAMETOOLONG;

        _cleanup_fd_ int fd = source_open_folder(s, folder);
        if (fd < 0)
                return fd;
        int r = name_of(fd, name);
        if (r < 0)
                return r;
        if (strncmp(name, s->root, n) != 0 || (name[n] != '/' && name[n] != '\0'))
                return -EXDEV; /* moved away while we look */

        (void) strcpy(s->resolved, name[n] == '/' ? name + n : "/");
        (void) strcpy(s->folder, folder);
        *ret = s->resolved + 1;
        return 0;
}

int source_locate(Source *s, const char *path, char buf[static PATH_MAX]) {
        char folder[PATH_MAX];
        const char *resolved;

        path += strspn(path, "/");
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        size_t n = slash ? (size_t) (slash - path) : 0;

        if (n >= sizeof folder)
                return -ENAMETOOLONG;
        if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return -EINVAL;
        *(char *) mempcpy(folder, path, n) = '\0';
        int r = source_resolve(s, folder, &resolved);
        if (r < 0)
                return r;
        int length = snprintf(buf, PATH_MAX, "%s%s%s", resolved, *resolved ? "/" : "", name);
        return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}
