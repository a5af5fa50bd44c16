/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/record.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define MAGIC UINT32_C(0x63657253)
#define VERSION_NOW 1U
#define KEEP_BYTES 4096U /* a place that used more gives its memory back when it is cleared */

typedef struct RecordHead {
        uint64_t generation; /* 0: empty; written last */
        uint32_t length;
        uint32_t checksum;
} RecordHead;

typedef struct TableHead {
        uint32_t magic, version;
        uint32_t n_places, record_size;
        char incarnation[UUID_TEXT_MAX + 3];
} TableHead;

struct RecordTable {
        int fd;          /* owned */
        TableHead *head; /* the mapping; places follow at multiples of the record's size, the first place is at 1 */
        size_t mapped;
        uint32_t n_places;
};

static RecordHead *place(const RecordTable *t, uint32_t slot) {
        return (RecordHead *) (void *) ((char *) t->head + (size_t) (slot + 1) * RECORD_MAX);
}

/* Fowler-Noll-Vo: finds what was half written, nothing more. */
static uint32_t checksum(const char *bytes, size_t length) {
        uint32_t h = 2166136261U;

        for (size_t i = 0; i < length; i++)
                h = (h ^ (unsigned char) bytes[i]) * 16777619U;
        return h;
}

RecordTable *record_table_free(RecordTable *t) {
        if (!t)
                return NULL;
        if (t->head)
                (void) munmap(t->head, t->mapped);
        fd_close(t->fd);
        free(t);
        return NULL;
}

static int map(RecordTable *t, uint64_t size) {
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, t->fd, 0);

        if (p == MAP_FAILED)
                return -errno;
        t->head = p;
        t->mapped = size;
        return 0;
}

int record_table_new(uint32_t n, RecordTable **ret) {
        _cleanup_(record_table_freep) RecordTable *t = calloc(1, sizeof *t);
        uint64_t size = (uint64_t) (n + 1) * RECORD_MAX;

        if (!t)
                return -ENOMEM;
        t->fd = memfd_create("sessions", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (t->fd < 0 || ftruncate(t->fd, (off_t) size) < 0 ||
                fcntl(t->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        int r = map(t, size);
        if (!t->head)
                return r;
        t->n_places = n;
        *t->head = (TableHead){ .magic = MAGIC, .version = VERSION_NOW, .n_places = n, .record_size = RECORD_MAX };
        uuid_make(t->head->incarnation);
        *ret = take_ptr(t);
        return 0;
}

int record_table_open(int fd, RecordTable **ret) {
        _cleanup_(record_table_freep) RecordTable *t = calloc(1, sizeof *t);
        struct stat st;

        if (!t) {
                fd_close(fd);
                return -ENOMEM;
        }
        t->fd = fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < (off_t) RECORD_MAX)
                return -EBADMSG;
        int r = map(t, (uint64_t) st.st_size);
        if (!t->head)
                return r;
        if (t->head->magic != MAGIC || t->head->version != VERSION_NOW || t->head->record_size != RECORD_MAX ||
                (uint64_t) (t->head->n_places + UINT64_C(1)) * RECORD_MAX != (uint64_t) st.st_size)
                return -EBADMSG;
        t->head->incarnation[sizeof t->head->incarnation - 1] = '\0';
        t->n_places = t->head->n_places;
        *ret = take_ptr(t);
        return 0;
}

int record_table_fd(const RecordTable *t) {
        return t->fd;
}

const char *record_table_incarnation(const RecordTable *t) {
        return t->head->incarnation;
}

uint32_t record_table_size(const RecordTable *t) {
        return t->n_places;
}

int record_write(RecordTable *t, uint32_t slot, uint64_t generation, const void *bytes, size_t length) {
        if (slot >= t->n_places)
                return -ERANGE;
        if (length > RECORD_MAX - sizeof(RecordHead))
                return -EMSGSIZE;

        RecordHead *h = place(t, slot);
        __atomic_store_n(&h->generation, 0, __ATOMIC_RELEASE);
        memcpy(h + 1, bytes, length);
        h->length = (uint32_t) length;
        h->checksum = checksum(bytes, length);
        __atomic_store_n(&h->generation, generation, __ATOMIC_RELEASE);
        return 0;
}

void record_clear(RecordTable *t, uint32_t slot) {
        if (slot >= t->n_places)
                return;

        RecordHead *h = place(t, slot);
        uint32_t length = h->length;
        __atomic_store_n(&h->generation, 0, __ATOMIC_RELEASE);
        if (length > KEEP_BYTES)
                (void) fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        (off_t) ((uint64_t) (slot + 1) * RECORD_MAX), RECORD_MAX);
}

bool record_read(
        const RecordTable *t, uint32_t slot, uint64_t *ret_generation, const char **ret_bytes, size_t *ret_length) {
        if (slot >= t->n_places)
                return false;

        const RecordHead *h = place(t, slot);
        const char *bytes = (const char *) (h + 1);
        uint32_t length = h->length;
        if (h->generation == 0 || length > RECORD_MAX - sizeof *h || checksum(bytes, length) != h->checksum)
                return false;
        *ret_generation = h->generation;
        *ret_bytes = bytes;
        *ret_length = length;
        return true;
}
