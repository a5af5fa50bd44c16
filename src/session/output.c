/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/output.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define MAGIC UINT32_C(0x676f4c53)
#define VERSION_NOW 1U
#define CHUNKS 4096U
#define CHUNKS_RESERVE 16U
#define CHUNK_MAX (256U * 1024U)
#define PUNCH_STEP (64U * 1024U)

typedef struct Chunk {
        uint64_t offset;   /* of both streams together */
        uint64_t position; /* in its stream's file */
        uint32_t length;
        uint32_t stream;
} Chunk;

/* Shared with later workers: its form changes with VERSION_NOW only. A chunk is complete before @n_chunks counts it. */
struct OutputShared {
        uint32_t magic, version;
        uint64_t max;
        uint64_t punched[2]; /* bytes at the beginning of each file that are gone */
        uint32_t first_chunk, n_chunks;
        OutputMeta meta;
        OutputResult result;
        Chunk chunks[CHUNKS];
};

static Chunk *chunk_at(const OutputLog *l, uint32_t i) {
        return &l->shared->chunks[(l->shared->first_chunk + i) % CHUNKS];
}

static Chunk *last_chunk(const OutputLog *l) {
        return l->shared->n_chunks > 0 ? chunk_at(l, l->shared->n_chunks - 1) : NULL;
}

uint64_t output_end(const OutputLog *l) {
        const Chunk *last = l->shared ? last_chunk(l) : NULL;

        return last ? last->offset + last->length : 0;
}

uint64_t output_first(const OutputLog *l) {
        return l->shared && l->shared->n_chunks > 0 ? chunk_at(l, 0)->offset : 0;
}

/* How far the chunks of a stream reach in its file. */
static uint64_t indexed(const OutputLog *l, OutputStream stream) {
        for (uint32_t i = l->shared->n_chunks; i > 0; i--) {
                const Chunk *c = chunk_at(l, i - 1);
                if (c->stream == stream)
                        return c->position + c->length;
        }
        return l->shared->punched[stream];
}

static uint64_t file_size(int fd) {
        struct stat st;

        return fstat(fd, &st) < 0 ? 0 : (uint64_t) st.st_size;
}

/* Gives the memory of what lies before @position back to the system, a good deal at a time. */
static void punch(OutputLog *l, OutputStream stream, uint64_t position) {
        uint64_t from = l->shared->punched[stream];

        if (position < from + PUNCH_STEP)
                return;
        position &= ~(uint64_t) 4095;
        if (fallocate(l->data[stream], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t) position) == 0)
                l->shared->punched[stream] = position;
}

/* Drops the oldest chunks that lie wholly before the last @max bytes and before what is wanted still; when there are
 * too many, the oldest of all. */
static void drop_old(OutputLog *l) {
        uint64_t end = output_end(l);

        while (l->shared->n_chunks > 1) {
                const Chunk *c = chunk_at(l, 0);
                uint64_t behind = c->offset + c->length;
                if ((end - behind < l->shared->max || behind > l->wanted) && l->shared->n_chunks < CHUNKS)
                        break;
                punch(l, (OutputStream) c->stream, c->position + c->length);
                l->shared->first_chunk = (l->shared->first_chunk + 1) % CHUNKS;
                l->shared->n_chunks--;
        }
}

/* Parts of the size that dropping works with; large ones where nothing is dropped, for which their number suffices. */
static uint32_t chunk_max(const OutputLog *l) {
        uint64_t part = l->wanted == UINT64_MAX ? MAX(l->shared->max / 8, UINT64_C(1)) : CHUNK_MAX;

        return (uint32_t) MIN(part, (uint64_t) CHUNK_MAX);
}

static void add_chunk(OutputLog *l, OutputStream stream, uint64_t position, uint32_t length) {
        Chunk *last = last_chunk(l);

        if (last && last->stream == stream && last->length + length <= chunk_max(l) &&
                last->position + last->length == position) {
                last->length += length;
                return;
        }
        drop_old(l);
        *chunk_at(l, l->shared->n_chunks) = (Chunk){
                .offset = output_end(l),
                .position = position,
                .length = length,
                .stream = stream,
        };
        __atomic_store_n(&l->shared->n_chunks, l->shared->n_chunks + 1, __ATOMIC_RELEASE);
}

/* How many bytes at the end of @data begin a character that is not complete. */
static size_t incomplete_tail(const char *data, size_t length) {
        for (size_t back = 1; back <= 3 && back <= length; back++) {
                unsigned char c = (unsigned char) data[length - back];
                if ((c & 0xc0) == 0x80)
                        continue;
                size_t wanted = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
                return wanted > back && c < 0xf8 ? back : 0;
        }
        return 0;
}

/* Makes what is in the file known, but for the beginning of a character whose rest has not come. */
static void index_new(OutputLog *l, OutputStream stream, bool all) {
        uint64_t from = indexed(l, stream), size = l->size[stream];
        char tail[4];

        if (!all && size > from) {
                size_t n = (size_t) MIN(size - from, UINT64_C(3));
                if (pread(l->data[stream], tail, n, (off_t) (size - n)) == (ssize_t) n)
                        size -= incomplete_tail(tail, n);
        }
        while (from < size) {
                uint32_t n = (uint32_t) MIN(size - from, (uint64_t) chunk_max(l));
                add_chunk(l, stream, from, n);
                from += n;
        }
        drop_old(l);
}

static int map(OutputLog *l) {
        void *p = mmap(NULL, sizeof *l->shared, PROT_READ | PROT_WRITE, MAP_SHARED, l->index, 0);

        if (p == MAP_FAILED)
                return -errno;
        l->shared = p;
        return 0;
}

static int make_file(int *ret, const char *name) {
        *ret = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        return *ret < 0 ? -errno : 0;
}

int output_new(OutputLog *l, uint64_t max) {
        *l = (OutputLog) OUTPUT_LOG_INIT;
        int r = make_file(&l->data[0], "stdout");
        if (r == 0)
                r = make_file(&l->data[1], "stderr");
        if (r == 0)
                r = make_file(&l->index, "output");
        if (r == 0 && (ftruncate(l->index, sizeof *l->shared) < 0 ||
                              fcntl(l->index, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0))
                r = -errno;
        if (r == 0)
                r = map(l);
        if (r < 0) {
                output_clear(l);
                return r;
        }
        l->max = max;
        l->shared->magic = MAGIC;
        l->shared->version = VERSION_NOW;
        l->shared->max = max;
        return 0;
}

int output_open(OutputLog *l, int fds[static OUTPUT_FDS]) {
        OutputLog new = { .data = { fds[0], fds[1] }, .index = fds[2], .wanted = UINT64_MAX };

        if (file_size(new.index) != sizeof *new.shared)
                return -EBADMSG;
        int r = map(&new);
        if (r < 0)
                return r;
        if (new.shared->magic != MAGIC || new.shared->version != VERSION_NOW || new.shared->n_chunks > CHUNKS ||
                new.shared->first_chunk >= CHUNKS) {
                (void) munmap(new.shared, sizeof *new.shared);
                return -EBADMSG;
        }
        OutputMeta *m = &new.shared->meta;
        m->id[sizeof m->id - 1] = m->command[sizeof m->command - 1] = '\0';
        new.max = new.shared->max;
        for (size_t i = 0; i < ELEMENTSOF(new.size); i++)
                new.size[i] = file_size(new.data[i]);
        *l = new;
        for (size_t i = 0; i < OUTPUT_FDS; i++)
                fds[i] = -EBADF;
        /* what the former worker moved and could not note any more */
        index_new(l, OUTPUT_STDOUT, false);
        index_new(l, OUTPUT_STDERR, false);
        return 0;
}

void output_fds(const OutputLog *l, int ret[static OUTPUT_FDS]) {
        ret[0] = l->data[0];
        ret[1] = l->data[1];
        ret[2] = l->index;
}

void output_clear(OutputLog *l) {
        if (l->shared)
                (void) munmap(l->shared, sizeof *l->shared);
        fds_close(l->data, 2);
        (void) fd_close(l->index);
        *l = (OutputLog) OUTPUT_LOG_INIT;
}

ssize_t output_fill(OutputLog *l, OutputStream stream, int fd, size_t limit) {
        loff_t at = (loff_t) l->size[stream];
        ssize_t n;

        do
                n = splice(fd, NULL, l->data[stream], &at, limit, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        if (n > 0) {
                l->size[stream] = (uint64_t) at;
                index_new(l, stream, false);
        }
        return n;
}

int output_add(OutputLog *l, OutputStream stream, const char *data, size_t length) {
        ssize_t n = pwrite(l->data[stream], data, length, (off_t) l->size[stream]);

        if (n < 0)
                return -errno;
        l->size[stream] += (uint64_t) n;
        index_new(l, stream, false);
        return (size_t) n == length ? 0 : -ENOSPC;
}

void output_finish(OutputLog *l, OutputStream stream) {
        index_new(l, stream, true);
}

void output_want(OutputLog *l, uint64_t from) {
        l->wanted = from;
        drop_old(l);
}

size_t output_room(const OutputLog *l, uint64_t from) {
        uint64_t kept = output_end(l) - MAX(from, output_first(l));

        /* many tiny pieces: the next ones would push out some that are still wanted */
        if (l->shared->n_chunks > CHUNKS - 2 * CHUNKS_RESERVE && from < chunk_at(l, 2 * CHUNKS_RESERVE)->offset)
                return 0;
        return kept >= l->shared->max ? 0 : (size_t) (l->shared->max - kept);
}

bool output_next(const OutputLog *l, uint64_t from, OutputPiece *ret) {
        uint32_t low = 0, high = l->shared ? l->shared->n_chunks : 0;
        uint64_t asked = from;

        from = MAX(from, output_first(l));
        if (from >= output_end(l))
                return false;
        /* the last chunk that begins at or before @from */
        while (high - low > 1) {
                uint32_t middle = low + (high - low) / 2;
                if (chunk_at(l, middle)->offset <= from)
                        low = middle;
                else
                        high = middle;
        }
        const Chunk *c = chunk_at(l, low);
        *ret = (OutputPiece){
                .offset = from,
                .position = c->position + (from - c->offset),
                .stream = (OutputStream) c->stream,
                .length = (size_t) (c->offset + c->length - from),
                .missing = from - asked,
        };
        return true;
}

ssize_t output_read(const OutputLog *l, const OutputPiece *p, char *buf, size_t size) {
        ssize_t n = pread(l->data[p->stream], buf, MIN(size, p->length), (off_t) p->position);

        return n < 0 ? -errno : n;
}

OutputMeta *output_meta(OutputLog *l) {
        return &l->shared->meta;
}

size_t output_gather(
        const OutputLog *l, const OutputPiece *first, uint64_t limit, char *buf, size_t size, bool characters) {
        OutputPiece p = *first;
        size_t used = 0;

        for (;;) {
                ssize_t n = output_read(l, &p, buf + used, (size_t) MIN(size - used, limit - p.offset));
                if (n <= 0)
                        return used;
                used += (size_t) n;
                uint64_t next = p.offset + (uint64_t) n;
                if (used == size || next >= limit || !output_next(l, next, &p) || p.stream != first->stream ||
                        p.missing)
                        break;
        }
        /* the log keeps characters together, @size may not */
        if (used == size && characters) {
                size_t end = used;
                while (end > used - 4 && ((unsigned char) buf[end - 1] & 0xc0) == 0x80)
                        end--;
                if ((unsigned char) buf[end - 1] >= 0xc0)
                        used = end - 1;
        }
        return used;
}

void output_set_result(OutputLog *l, const OutputResult *result) {
        if (!l->shared)
                return;
        l->shared->result = *result;
        l->shared->result.over = 0;
        __atomic_store_n(&l->shared->result.over, 1, __ATOMIC_RELEASE);
}

void output_get_result(const OutputLog *l, OutputResult *ret) {
        *ret = l->shared->result;
}
