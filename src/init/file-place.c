/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/file-place.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "spec/file.h"

static void make_name(Place *p) {
        uint64_t random = 0;

        /* not libc's function (init/stack.h). A name in use is an error, no harm */
        (void) syscall(SYS_getrandom, &random, sizeof random, GRND_NONBLOCK);
        (void) snprintf(p->temporary, sizeof p->temporary, ".new-%016llx", (unsigned long long) random);
}

int place_open(Place *p, int folder, const char *name) {
        *p = (Place){ .folder = folder, .name = name, .fd = -EBADF };

        p->there = fstatat(folder, name, &p->existing, AT_SYMLINK_NOFOLLOW) == 0;
        if (!p->there && errno != ENOENT)
                return -errno;
        if (p->there && S_ISDIR(p->existing.st_mode))
                return -FILE_ERROR_IS_FOLDER;
        if (p->there && !S_ISREG(p->existing.st_mode) && !S_ISLNK(p->existing.st_mode))
                return -FILE_ERROR_NOT_REGULAR;

        p->fd = openat(folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        if (p->fd >= 0)
                return 0;
        if (errno != EOPNOTSUPP && errno != EISDIR)
                return -errno;
        make_name(p);
        p->fd = openat(folder, p->temporary, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0600);
        if (p->fd >= 0)
                return 0;
        p->temporary[0] = '\0';
        return -errno;
}

static int link_to(Place *p, const char *name) {
        char path[32];

        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", p->fd);
        return linkat(AT_FDCWD, path, p->folder, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int rename_to_name(Place *p, unsigned flags) {
        if (renameat2(p->folder, p->temporary, p->folder, p->name, flags) < 0)
                return -errno;
        p->temporary[0] = '\0';
        return 0;
}

int place_commit(Place *p, mode_t mode, bool new) {
        if (fchmod(p->fd, mode) < 0)
                return -errno;
        if (p->temporary[0])
                return rename_to_name(p, new ? RENAME_NOREPLACE : 0);
        /* what has no name yet can get one, but not replace another */
        int r = p->there && !new ? -EEXIST : link_to(p, p->name);
        if (r != -EEXIST || new)
                return r;
        make_name(p);
        r = link_to(p, p->temporary);
        if (r < 0) {
                p->temporary[0] = '\0';
                return r;
        }
        return rename_to_name(p, 0);
}

void place_close(Place *p) {
        if (p->temporary[0])
                (void) unlinkat(p->folder, p->temporary, 0);
        p->temporary[0] = '\0';
        p->fd = fd_close(p->fd);
}
