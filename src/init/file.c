/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#define OUT_MAX (FILE_RECORD_SIZE_MAX + FILE_SMALL_MAX)
#define FOLDER_MODE 0755

/* Of the builtin's process; process 1 never touches these pages. */
static _Alignas(FileRecord) char out[OUT_MAX];
static size_t out_used;
static bool served;
static const char *served_bytes;
static size_t served_size;

int file_open(int folder, const char *path, int flags) {
        struct open_how how = {
                .flags = (uint64_t) (flags | O_CLOEXEC),
                .resolve = RESOLVE_NO_MAGICLINKS,
        };
        int fd = (int) syscall(SYS_openat2, folder, path, &how, sizeof how);

        return fd < 0 ? -errno : fd;
}

/* What /proc tells of processes would be about this very process, which is not the payload's to look into. */
static int check_proc(int fd) {
        char path[64], target[64];
        struct statfs fs;

        if (fstatfs(fd, &fs) < 0)
                return -errno;
        if (fs.f_type != PROC_SUPER_MAGIC)
                return 0;
        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target);
        return n > 6 && memcmp(target, "/proc/", 6) == 0 && !(target[6] >= '0' && target[6] <= '9') ? 0 : -EACCES;
}

static int check_regular(const struct stat *st) {
        return S_ISREG(st->st_mode) ? 0 : S_ISDIR(st->st_mode) ? -FILE_ERROR_IS_FOLDER : -FILE_ERROR_NOT_REGULAR;
}

int file_open_regular(int folder, const char *path, struct stat *ret_st) {
        /* first without opening it for real, which would wake up who waits at a FIFO and move a device */
        _cleanup_fd_ int there = file_open(folder, path, O_PATH);
        if (there < 0)
                return there;
        if (fstat(there, ret_st) < 0)
                return -errno;
        int r = check_regular(ret_st);
        if (r < 0)
                return r;

        _cleanup_fd_ int fd = file_open(folder, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return fd;
        if (fstat(fd, ret_st) < 0)
                return -errno;
        r = check_regular(ret_st);
        if (r == 0)
                r = check_proc(fd);
        return r < 0 ? r : take_fd(fd);
}

static int open_step(int folder, const char *name, bool make, bool *ret_made) {
        int fd = file_open(folder, name, O_PATH | O_DIRECTORY);

        *ret_made = false;
        if (fd != -ENOENT || !make)
                return fd;
        if (mkdirat(folder, name, FOLDER_MODE) == 0)
                *ret_made = true;
        else if (errno != EEXIST) /* or a link that leads nowhere, which the next try tells */
                return -errno;
        return file_open(folder, name, O_PATH | O_DIRECTORY);
}

int file_open_folder(int folder, char *path, bool make, bool *ret_made) {
        bool made = false;

        if (path[0] == '\0')
                return -ENOENT;
        _cleanup_fd_ int fd = file_open(folder, path, O_PATH | O_DIRECTORY);
        if (fd != -ENOENT || !make) {
                *ret_made = false;
                return fd >= 0 ? take_fd(fd) : fd;
        }
        fd = file_open(folder, path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY);
        for (char *part = path + strspn(path, "/"); *part && fd >= 0;) {
                size_t n = strcspn(part, "/"), slashes = strspn(part + n, "/");
                part[n] = '\0';
                int next = open_step(fd, part, true, &made);
                (void) fd_close(fd);
                fd = next;
                part += n + (slashes ? slashes : 0);
        }
        *ret_made = made;
        return fd >= 0 ? take_fd(fd) : fd;
}

int file_open_parent(int folder, char *path, bool make, const char **ret_name) {
        size_t length = strlen(path);
        bool made;

        if (length == 0)
                return -ENOENT;
        while (length > 0 && path[length - 1] == '/')
                path[--length] = '\0';
        if (length == 0)
                return -EBUSY;
        char *slash = strrchr(path, '/');
        char *name = slash ? slash + 1 : path;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return -EINVAL;
        *ret_name = name;
        if (!slash)
                return file_open(folder, ".", O_PATH | O_DIRECTORY);
        if (slash == path)
                return file_open(folder, "/", O_PATH | O_DIRECTORY);
        *slash = '\0';
        return file_open_folder(folder, path, make, &made);
}

/* --- output --- */

static int write_all(const char *bytes, size_t size) {
        while (size > 0) {
                ssize_t n = write(STDOUT_FILENO, bytes, size);
                if (n < 0)
                        return -errno;
                bytes += n;
                size -= (size_t) n;
        }
        return 0;
}

void file_serve_input(const char *bytes, size_t size) {
        served = true;
        served_bytes = bytes;
        served_size = size;
        out_used = 0;
}

size_t file_serve_output(void *ret) {
        *(void **) ret = out;
        return out_used;
}

bool file_is_served(const char **ret_bytes, size_t *ret_size) {
        if (ret_bytes)
                *ret_bytes = served_bytes;
        if (ret_size)
                *ret_size = served_size;
        return served;
}

char *file_reserve(size_t size) {
        if (size > sizeof out - out_used)
                return NULL;
        out_used += size;
        return out + out_used - size;
}

int file_flush(void) {
        if (served)
                return 0;
        int r = write_all(out, out_used);

        out_used = 0;
        return r;
}

int file_send(const FileRecord *r, const char *name, size_t name_length, const char *target, size_t target_length) {
        size_t size = FILE_RECORD_SIZE(name_length, target_length);
        FileRecord whole = *r;
        int k;

        whole.name_length = (uint32_t) name_length;
        whole.target_length = (uint32_t) target_length;
        if (size > sizeof out - out_used) {
                k = file_flush();
                if (k < 0)
                        return k;
        }
        char *p = out + out_used;
        memset(p, 0, size);
        memcpy(p, &whole, sizeof whole);
        memcpy(p + sizeof whole, name, name_length);
        memcpy(p + sizeof whole + name_length, target, target_length);
        out_used += size;
        return 0;
}

int file_send_bytes(const char *bytes, size_t size) {
        if (size > sizeof out - out_used) {
                int r = file_flush();
                if (r < 0)
                        return r;
        }
        memcpy(out + out_used, bytes, size);
        out_used += size;
        return 0;
}

int64_t file_mtime(const struct stat *st) {
        return (int64_t) st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

int file_send_node(const struct stat *st, uint32_t flags, const char *name, const char *target) {
        FileRecord r = {
                .type = FILE_RECORD_NODE,
                .flags = flags,
                .mode = st->st_mode,
                .uid = st->st_uid,
                .gid = st->st_gid,
                .size = (uint64_t) st->st_size,
                .inode = st->st_ino,
                .mtime = file_mtime(st),
        };

        if (S_ISREG(st->st_mode))
                r.length = r.size;
        return file_send(&r, name, strlen(name), target, strlen(target));
}

int file_send_entry(int folder, const char *entry, const struct stat *st, const char *name) {
        char target[FILE_PATH_MAX] = "";

        if (S_ISLNK(st->st_mode)) {
                ssize_t n = readlinkat(folder, entry, target, sizeof target - 1);
                target[n > 0 ? n : 0] = '\0';
        }
        return file_send_node(st, 0, name, target);
}

int file_send_end(uint64_t n, uint32_t flags) {
        FileRecord r = { .type = FILE_RECORD_END, .flags = flags, .size = n };

        int k = file_send(&r, "", 0, "", 0);
        return k < 0 ? k : file_flush();
}

int file_receive(int fd, void *buf, size_t size) {
        for (char *p = buf; size > 0;) {
                ssize_t n = read(fd, p, size);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -FILE_ERROR_ABORTED;
                p += n;
                size -= (size_t) n;
        }
        return 0;
}
