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

typedef struct File {
        uint32_t magic, version;
        uint32_t next; /* where the next one goes */
        uint32_t padding;
        RegistryEntry entries[REGISTRY_SIZE];
} File;

struct Registry {
        File *file; /* the mapping */
        int fd;     /* owned: holds the lock; -EBADF: in memory */
};

Registry *registry_free(Registry *r) {
        if (!r)
                return NULL;
        if (r->file)
                (void) munmap(r->file, sizeof *r->file);
        (void) fd_close(r->fd);
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

int registry_open(const char *path, Registry **ret) {
        _cleanup_(registry_freep) Registry *r = calloc(1, sizeof *r);

        if (!r)
                return -ENOMEM;
        r->fd = -EBADF;
        if (path) {
                int k = open_file(path, &r->fd);
                if (k < 0)
                        return k;
        }
        void *p = mmap(
                NULL, sizeof *r->file, PROT_READ | PROT_WRITE, path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, r->fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        r->file = p;
        if (r->file->magic != MAGIC || r->file->version != VERSION_NOW || r->file->next >= REGISTRY_SIZE) {
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
