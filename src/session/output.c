/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/output.h"

#include <string.h>

#define SIZE_FIRST 4096U
#define CHUNK_MAX (64U * 1024U)
#define CHUNKS_FIRST 16U
#define CHUNKS_MAX 4096U

void output_clear(OutputLog *l) {
        free(l->ring);
        free(l->chunks);
        *l = (OutputLog){ .max = l->max };
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

/* Makes room for @wanted bytes that are kept. While the ring is smaller than its limit nothing was dropped, and the
 * bytes lie from its beginning on. */
static int grow(OutputLog *l, uint64_t wanted) {
        size_t size = l->size ? l->size : MIN(SIZE_FIRST, l->max);

        if (l->size == l->max || wanted <= l->size)
                return 0;
        while (size < wanted && size < l->max)
                size *= 2;
        size = MIN(size, l->max);
        char *p = realloc(l->ring, size);
        if (!p)
                return -ENOMEM;
        l->ring = p;
        l->size = size;
        return 0;
}

static OutputChunk *chunk_at(const OutputLog *l, unsigned i) {
        return &l->chunks[(l->first_chunk + i) % l->n_chunks_max];
}

static int grow_chunks(OutputLog *l) {
        unsigned n = l->n_chunks_max ? MIN(2 * l->n_chunks_max, CHUNKS_MAX) : CHUNKS_FIRST;
        OutputChunk *chunks = calloc(n, sizeof *chunks);

        if (!chunks)
                return -ENOMEM;
        for (unsigned i = 0; i < l->n_chunks; i++)
                chunks[i] = *chunk_at(l, i);
        free(l->chunks);
        l->chunks = chunks;
        l->n_chunks_max = n;
        l->first_chunk = 0;
        return 0;
}

static void drop_before(OutputLog *l, uint64_t offset) {
        while (l->n_chunks > 0) {
                OutputChunk *c = chunk_at(l, 0);
                if (c->offset + c->length > offset) {
                        if (c->offset < offset) {
                                c->length -= (uint32_t) (offset - c->offset);
                                c->offset = offset;
                        }
                        break;
                }
                l->first_chunk = (l->first_chunk + 1) % l->n_chunks_max;
                l->n_chunks--;
        }
        l->first = offset;
}

static int add_chunk(OutputLog *l, OutputStream stream, size_t length) {
        OutputChunk *last = l->n_chunks > 0 ? chunk_at(l, l->n_chunks - 1) : NULL;

        if (last && last->stream == stream && last->length + length <= CHUNK_MAX) {
                last->length += (uint32_t) length;
                return 0;
        }
        if (l->n_chunks == l->n_chunks_max) {
                if (l->n_chunks_max < CHUNKS_MAX) {
                        int r = grow_chunks(l);
                        if (r < 0)
                                return r;
                } else /* many tiny pieces: the oldest go, as if the ring were full */
                        drop_before(l, chunk_at(l, 0)->offset + chunk_at(l, 0)->length);
        }
        *chunk_at(l, l->n_chunks++) = (OutputChunk){ .offset = l->next, .length = (uint32_t) length, .stream = stream };
        return 0;
}

static int add_raw(OutputLog *l, OutputStream stream, const char *data, size_t length) {
        while (length > 0) {
                size_t n = MIN(length, MIN(CHUNK_MAX, l->max));
                int r = grow(l, l->next - l->first + n);
                if (r < 0)
                        return r;
                if (l->next + n - l->first > l->size)
                        drop_before(l, l->next + n - l->size);
                r = add_chunk(l, stream, n);
                if (r < 0)
                        return r;
                size_t at = (size_t) (l->next % l->size), part = MIN(n, l->size - at);
                memcpy(l->ring + at, data, part);
                memcpy(l->ring, data + part, n - part);
                l->next += n;
                data += n;
                length -= n;
        }
        return 0;
}

int output_add(OutputLog *l, OutputStream stream, const char *data, size_t length) {
        char *pending = l->pending[stream];
        unsigned *n_pending = &l->n_pending[stream];
        int r = 0;

        if (l->max == 0 || length == 0)
                return 0;
        /* finish the character that waits, byte by byte */
        while (*n_pending > 0 && length > 0 && r == 0) {
                pending[(*n_pending)++] = *data++;
                length--;
                if (*n_pending == 4 || incomplete_tail(pending, *n_pending) != *n_pending) {
                        r = add_raw(l, stream, pending, *n_pending);
                        *n_pending = 0;
                }
        }
        if (r < 0 || length == 0)
                return r;
        size_t tail = incomplete_tail(data, length);
        r = add_raw(l, stream, data, length - tail);
        memcpy(pending, data + length - tail, tail);
        *n_pending = (unsigned) tail;
        return r;
}

int output_finish(OutputLog *l, OutputStream stream) {
        unsigned n = l->n_pending[stream];

        l->n_pending[stream] = 0;
        return n > 0 ? add_raw(l, stream, l->pending[stream], n) : 0;
}

size_t output_room(const OutputLog *l, uint64_t from) {
        uint64_t kept = l->next - MAX(from, l->first);

        return kept >= l->max ? 0 : (size_t) (l->max - kept);
}

bool output_next(const OutputLog *l, uint64_t from, OutputPiece *ret) {
        unsigned low = 0, high = l->n_chunks;
        uint64_t asked = from;

        from = MAX(from, l->first);
        if (from >= l->next)
                return false;
        /* the last chunk that begins at or before @from */
        while (high - low > 1) {
                unsigned middle = (low + high) / 2;
                if (chunk_at(l, middle)->offset <= from)
                        low = middle;
                else
                        high = middle;
        }
        const OutputChunk *c = chunk_at(l, low);
        size_t at = (size_t) (from % l->size);
        *ret = (OutputPiece){
                .offset = from,
                .stream = (OutputStream) c->stream,
                .data = l->ring + at,
                .length = MIN((size_t) (c->offset + c->length - from), l->size - at),
                .missing = from - asked,
        };
        return true;
}
