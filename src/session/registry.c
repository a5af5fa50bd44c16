/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/registry.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define MAGIC UINT32_C(0x65526253)
#define VERSION_NOW 1U
#define BLOCK 4096U

typedef struct File {
        uint32_t magic, version;
        uint32_t next; /* where the next one goes */
        uint32_t padding;
        RegistryEntry entries[REGISTRY_SIZE];
} File;

struct Registry {
        File *file; /* the mapping */
        int fd;     /* owned: holds the lock; -EBADF: in memory */
        int memory; /* owned: of the file in memory, or -EBADF */
};

Registry *registry_free(Registry *r) {
        if (!r)
                return NULL;
        if (r->file)
                (void) munmap(r->file, sizeof *r->file);
        (void) fd_close(r->fd);
        (void) fd_close(r->memory);
        free(r);
        return NULL;
}

static int open_file(const char *path, int *ret) {
        _cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? -EBUSY : -errno;
        /* all of it is there before it is mapped: a full disk later would be a signal, not an error */
        if (st.st_size != sizeof(File) && ftruncate(fd, 0) < 0)
                return -errno;
        int error = posix_fallocate(fd, 0, sizeof(File));
        if (error != 0)
                return -error;
        *ret = take_fd(fd);
        return 0;
}

static bool has_form(const File *f) {
        return f->magic == MAGIC && f->version == VERSION_NOW && f->next < REGISTRY_SIZE;
}

/* Of @size bytes; less where the file ends. */
static ssize_t read_at(int fd, void *bytes, size_t size, off_t at) {
        size_t n = 0;

        while (n < size) {
                ssize_t k = pread(fd, (char *) bytes + n, size - n, at + (off_t) n);
                if (k == 0)
                        break;
                if (k < 0 && errno != EINTR)
                        return -errno;
                n += k > 0 ? (size_t) k : 0;
        }
        return (ssize_t) n;
}

int registry_open_memory(const char *path, const char *memory, Registry **ret) {
        _cleanup_(registry_freep) Registry *r = calloc(1, sizeof *r);
        int k = 0;

        if (!r)
                return -ENOMEM;
        r->fd = r->memory = -EBADF;
        if (path)
                k = open_file(path, &r->fd);
        if (k >= 0 && memory)
                k = open_file(memory, &r->memory);
        if (k < 0)
                return k;
        void *p = mmap(NULL, sizeof *r->file, PROT_READ | PROT_WRITE, path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS,
                memory ? r->memory : r->fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        r->file = p;
        if (memory && !has_form(r->file)) {
                ssize_t n = read_at(r->fd, r->file, sizeof *r->file, 0);
                if (n < 0)
                        return (int) n;
        }
        if (!has_form(r->file)) {
                memset(r->file, 0, sizeof *r->file);
                r->file->magic = MAGIC;
                r->file->version = VERSION_NOW;
        }
        for (unsigned i = 0; i < REGISTRY_SIZE; i++) { /* the file may have been damaged */
                RegistryEntry *e = &r->file->entries[i];
                e->id[sizeof e->id - 1] = e->owner[sizeof e->owner - 1] = '\0';
                if (e->state != 0 && !id_is_valid(e->id))
                        e->state = 0;
        }
        *ret = take_ptr(r);
        return 0;
}

int registry_open(const char *path, Registry **ret) {
        return registry_open_memory(path, NULL, ret);
}

int registry_save(const Registry *r, int fd) {
        const char *bytes = (const char *) r->file;
        char block[BLOCK], now[BLOCK];

        for (size_t at = 0; at < sizeof *r->file; at += BLOCK) {
                size_t size = MIN(BLOCK, sizeof *r->file - at);
                ssize_t n = read_at(fd, block, size, (off_t) at);
                if (n < 0)
                        return (int) n;
                memcpy(now, bytes + at, size);
                if ((size_t) n == size && memcmp(block, now, size) == 0)
                        continue;
                n = pwrite(fd, now, size, (off_t) at);
                if (n < 0)
                        return -errno;
                if ((size_t) n < size)
                        return -ENOSPC;
        }
        /* on its way to the disk, but nobody waits until it is there */
        return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE) < 0 ? -errno : 0;
}

RegistryEntry *registry_add(Registry *r, const char *id, const char *owner) {
        RegistryEntry *e = &r->file->entries[r->file->next];

        r->file->next = (r->file->next + 1) % REGISTRY_SIZE;
        e->state = 0;
        (void) snprintf(e->id, sizeof e->id, "%s", id);
        (void) snprintf(e->owner, sizeof e->owner, "%s", owner ? owner : "");
        e->state = REGISTRY_ALIVE;
        return e;
}

RegistryEntry *registry_find(const Registry *r, const char *id) {
        for (unsigned i = 0; i < REGISTRY_SIZE; i++)
                if (r->file->entries[i].state != 0 && strcmp(r->file->entries[i].id, id) == 0)
                        return &r->file->entries[i];
        return NULL;
}

void registry_end(RegistryEntry *e, const char *id, unsigned reason) {
        if (strcmp(e->id, id) == 0) /* else another took its place long ago */
                e->state = REGISTRY_ENDED + reason;
}

unsigned registry_size(const Registry *r) {
        (void) r;
        return REGISTRY_SIZE;
}

RegistryEntry *registry_entry(const Registry *r, unsigned i) {
        RegistryEntry *e = &r->file->entries[i];

        return e->state != 0 ? e : NULL;
}
