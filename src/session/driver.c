/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/driver.h"

#include <string.h>

#include "base/text.h"

#define KEEP_SIZE (64U * 1024U) /* bigger buffers go back after use */
#define BUDGET (32 * MIB)       /* of all bigger buffers together */

static uint64_t big_buffers; /* bytes */

static const struct {
        const char *text, *member;
        size_t max;
} words[] = {
#define DRIVER_ROW(word, text, member, max) [DRIVER_##word] = { text, member, max },
        DRIVER_WORDS(DRIVER_ROW)
#undef DRIVER_ROW
};

const char *driver_member(DriverWord word) {
        assert(word > DRIVER_NONE && word < DRIVER_WORD_MAX_);
        return words[word].member;
}

static void free_data(DriverReader *r) {
        big_buffers -= r->size > KEEP_SIZE ? r->size : 0;
        free(take_ptr(r->data));
        r->size = 0;
}

void driver_reader_clear(DriverReader *r) {
        free_data(r);
        *r = (DriverReader){ 0 };
}

/* "word 123" */
static int parse_head(DriverReader *r) {
        char *space;

        r->head[r->head_used] = '\0';
        space = strchr(r->head, ' ');
        if (!space)
                return -EBADMSG;
        *space = '\0';
        if (parse_unsigned(space + 1, &r->wanted) < 0 || r->wanted > DRIVER_LENGTH_MAX)
                return -EBADMSG;
        for (DriverWord w = DRIVER_NONE + 1; w < DRIVER_WORD_MAX_; w++)
                if (strcmp(words[w].text, r->head) == 0) {
                        r->word = w;
                        r->seen = r->used = 0;
                        r->head_used = 0;
                        return 0;
                }
        return -EBADMSG;
}

/* Makes room for @n more bytes and NUL, or for fewer when memory is short. It grows with what really came.
 * Returns for how many there is room, or -ENOMEM. */
static ssize_t reserve(DriverReader *r, size_t n) {
        if (r->used + n + 1 <= r->size)
                return (ssize_t) n;
        size_t size = MAX(r->used + n + 1, MIN(2 * r->size, words[r->word].max + 1));
        uint64_t others = big_buffers - (r->size > KEEP_SIZE ? r->size : 0);
        if (size > KEEP_SIZE && others + size > BUDGET) {
                size = KEEP_SIZE;
                if (size <= r->size)
                        return (ssize_t) (r->size - r->used - 1);
        }
        char *p = realloc(r->data, size);
        if (!p)
                return -ENOMEM;
        r->data = p;
        r->size = size;
        big_buffers = others + (size > KEEP_SIZE ? size : 0);
        return (ssize_t) MIN(n, size - r->used - 1);
}

/* Keeps what is to be kept of @n bytes. */
static int keep(DriverReader *r, const char *bytes, size_t n) {
        /* the beginning: nothing behind a piece that was dropped */
        ssize_t kept = reserve(r, r->used == r->seen ? MIN(n, words[r->word].max - r->used) : 0);

        if (kept < 0)
                return (int) kept;
        memcpy(r->data + r->used, bytes, (size_t) kept);
        r->used += (size_t) kept;
        r->seen += n;
        return 0;
}

ssize_t driver_read(DriverReader *r, const char *bytes, size_t n, DriverFrame *ret) {
        size_t taken = 0;

        *ret = (DriverFrame){ 0 };
        if (r->word == DRIVER_NONE && r->size > KEEP_SIZE)
                free_data(r);
        while (r->word == DRIVER_NONE) {
                if (taken == n)
                        return (ssize_t) taken;
                char c = bytes[taken++];
                if (c == '\n') {
                        int k = parse_head(r);
                        if (k < 0)
                                return k;
                } else if (c == '\0' || r->head_used == DRIVER_HEAD_MAX - 1)
                        return -EBADMSG;
                else
                        r->head[r->head_used++] = c;
        }
        size_t part = (size_t) MIN((uint64_t) (n - taken), r->wanted - r->seen);
        int k = keep(r, bytes + taken, part);
        if (k < 0)
                return k;
        taken += part;
        if (r->seen < r->wanted)
                return (ssize_t) taken;
        r->data[r->used] = '\0';
        *ret = (DriverFrame){ .word = r->word, .data = r->data, .length = r->used, .cut = r->used < r->wanted };
        r->word = DRIVER_NONE;
        return (ssize_t) taken;
}

int driver_parse_count(const DriverFrame *f, uint64_t *ret) {
        return strlen(f->data) == f->length && parse_unsigned(f->data, ret) == 0 ? 0 : -EBADMSG;
}

int driver_parse_done(const DriverFrame *f, uint64_t *ret_count, DriverStatus *ret_status, int *ret_code) {
        static const char *const texts[] = {
                [DRIVER_OK] = "ok", [DRIVER_ERROR] = "error", [DRIVER_INTERRUPTED] = "interrupted"
        };
        char text[64];
        uint64_t code;

        if (f->length >= sizeof text || strlen(f->data) != f->length)
                return -EBADMSG;
        memcpy(text, f->data, f->length + 1);
        char *status = strchr(text, ' ');
        if (!status)
                return -EBADMSG;
        *status++ = '\0';
        if (parse_unsigned(text, ret_count) < 0)
                return -EBADMSG;
        *ret_code = -1;
        if (strncmp(status, "exit ", 5) == 0) {
                if (parse_unsigned(status + 5, &code) < 0 || code > 255)
                        return -EBADMSG;
                *ret_code = (int) code;
                *ret_status = code == 0 ? DRIVER_OK : DRIVER_ERROR;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (strcmp(texts[i], status) == 0) {
                        *ret_status = (DriverStatus) i;
                        return 0;
                }
        return -EBADMSG;
}
