/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/layer.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "image/report.h"
#include "image/tree.h"

struct Layer {
        const PlanLayer *plan;
        Blob *blob;             /* owned */
        struct archive *packed; /* owned: gives what was compressed */
        struct archive *tar;    /* owned: reads that */
        crypto_hash_sha256_state packed_state, plain_state;
        uint64_t packed_bytes, plain_bytes, plain_max;
        bool reported; /* the reason why reading failed */
        bool plain_ended;
};

Layer *layer_close(Layer *l) {
        if (!l)
                return NULL;
        if (l->tar)
                (void) archive_read_free(l->tar);
        if (l->packed)
                (void) archive_read_free(l->packed);
        (void) blob_close(l->blob);
        free(l);
        return NULL;
}

static int damaged(Layer *l, const char *why) {
        if (!l->reported)
                (void) report(EBADMSG, "layer %.80s is damaged: %s", l->plan->path, why ? why : "no reason given");
        l->reported = true;
        return -EBADMSG;
}

/* --- the file as it is --- */

static ssize_t read_packed(Layer *l, const void **ret) {
        ssize_t n = blob_next(l->blob, ret);

        if (n <= 0)
                return n;
        if (l->plan->digest[0])
                (void) crypto_hash_sha256_update(&l->packed_state, *ret, (size_t) n);
        l->packed_bytes += (uint64_t) n;
        return n;
}

static la_ssize_t on_read_packed(struct archive *a, void *userdata, const void **ret) {
        ssize_t n = read_packed(userdata, ret);

        if (n < 0)
                archive_set_error(a, (int) -n, "%s", n == -EBADMSG ? "its end is missing" : strerror((int) -n));
        return n < 0 ? -1 : n;
}

/* --- uncompressed --- */

/* Returns the number of bytes, 0 at the end, -1 having reported. */
static la_ssize_t read_plain(Layer *l, const void **ret) {
        la_int64_t offset;
        size_t size = 0;

        if (l->plain_ended)
                return 0;
        int k = archive_read_data_block(l->packed, ret, &size, &offset);
        if (k == ARCHIVE_EOF) {
                l->plain_ended = true;
                return 0;
        }
        if (k < ARCHIVE_WARN) {
                (void) damaged(l, archive_error_string(l->packed));
                return -1;
        }
        if (size > l->plain_max - l->plain_bytes) {
                (void) report(EFBIG, "layer %.80s is longer than what --max-size leaves for it, %" PRIu64 " bytes",
                        l->plan->path, l->plain_max);
                l->reported = true;
                return -1;
        }
        (void) crypto_hash_sha256_update(&l->plain_state, *ret, size);
        l->plain_bytes += size;
        return (la_ssize_t) size;
}

static la_ssize_t on_read_plain(struct archive *a, void *userdata, const void **ret) {
        la_ssize_t n = read_plain(userdata, ret);

        if (n < 0)
                archive_set_error(a, EIO, "reading");
        return n;
}

static int open_archives(Layer *l) {
        struct archive_entry *e;

        l->packed = archive_read_new();
        l->tar = archive_read_new();
        if (!l->packed || !l->tar)
                return report_memory();
        if (archive_read_support_format_raw(l->packed) != ARCHIVE_OK ||
                archive_read_support_format_empty(l->packed) != ARCHIVE_OK ||
                archive_read_support_filter_gzip(l->packed) != ARCHIVE_OK ||
                archive_read_support_filter_zstd(l->packed) != ARCHIVE_OK ||
                archive_read_support_format_tar(l->tar) != ARCHIVE_OK ||
                archive_read_support_format_empty(l->tar) != ARCHIVE_OK)
                return report(EOPNOTSUPP, "libarchive here cannot read tar files with gzip and zstd");
        if (archive_read_open(l->packed, l, NULL, on_read_packed, NULL) != ARCHIVE_OK)
                return damaged(l, archive_error_string(l->packed));
        int k = archive_read_next_header(l->packed, &e);
        if (k == ARCHIVE_EOF)
                l->plain_ended = true;
        else if (k < ARCHIVE_WARN)
                return damaged(l, archive_error_string(l->packed));
        if (archive_read_open(l->tar, l, NULL, on_read_plain, NULL) != ARCHIVE_OK)
                return damaged(l, archive_error_string(l->tar));
        return 0;
}

int layer_open(const Bundle *b, const PlanLayer *plan, uint64_t plain_max, Layer **ret) {
        _cleanup_(layer_closep) Layer *l = calloc(1, sizeof *l);

        if (!l)
                return report_memory();
        l->plan = plan;
        l->plain_max = plain_max;
        (void) crypto_hash_sha256_init(&l->packed_state);
        (void) crypto_hash_sha256_init(&l->plain_state);
        int r = bundle_open(b, plan->path, &l->blob);
        if (r == -ENOENT || r == -EINVAL)
                return report(r, "layer %.80s is missing", plan->path);
        if (r < 0)
                return report(r, "layer %.80s: %s", plan->path, strerror(-r));
        r = open_archives(l);
        if (r < 0)
                return r;
        *ret = take_ptr(l);
        return 0;
}

int layer_next(Layer *l, struct archive_entry **ret) {
        int k = archive_read_next_header(l->tar, ret);

        if (k == ARCHIVE_EOF)
                return 0;
        return k < ARCHIVE_WARN ? damaged(l, archive_error_string(l->tar)) : 1;
}

int layer_copy(Layer *l, int fd, uint64_t size) {
        for (;;) {
                const void *bytes;
                la_int64_t offset;
                size_t n;

                int k = archive_read_data_block(l->tar, &bytes, &n, &offset);
                if (k == ARCHIVE_EOF)
                        break;
                if (k < ARCHIVE_WARN)
                        return damaged(l, archive_error_string(l->tar));
                if (offset < 0 || (uint64_t) offset > size || n > size - (uint64_t) offset)
                        return damaged(l, "a file does not fit its size");
                if (lseek(fd, offset, SEEK_SET) < 0)
                        return -errno;
                int r = tree_write(fd, bytes, n);
                if (r < 0)
                        return r;
        }
        /* what is not in the archive, as in files with holes, are zeros */
        return ftruncate(fd, (off_t) size) < 0 ? -errno : 0;
}

static bool is_digest(crypto_hash_sha256_state *state, const char *wanted) {
        unsigned char digest[crypto_hash_sha256_BYTES];
        char text[2 * sizeof digest + 1];

        (void) crypto_hash_sha256_final(state, digest);
        return strcmp(sodium_bin2hex(text, sizeof text, digest, sizeof digest), wanted) == 0;
}

int layer_check(Layer *l) {
        const void *bytes;
        ssize_t n;

        while ((n = read_plain(l, &bytes)) > 0)
                ;
        if (n < 0)
                return -EBADMSG;
        while ((n = read_packed(l, &bytes)) > 0)
                ;
        if (n < 0)
                return damaged(l, "its end is missing");
        if (l->plan->size != UINT64_MAX && l->plan->size != l->packed_bytes)
                return report(EKEYREJECTED, "layer %.80s has %" PRIu64 " bytes, not %" PRIu64 " as the manifest says",
                        l->plan->path, l->packed_bytes, l->plan->size);
        if (l->plan->digest[0] && !is_digest(&l->packed_state, l->plan->digest))
                return report(EKEYREJECTED, "layer %.80s has another content than its digest says", l->plan->path);
        if (!is_digest(&l->plain_state, l->plan->plain))
                return report(EKEYREJECTED, "layer %.80s has another content than the image's configuration says",
                        l->plan->path);
        return 0;
}
