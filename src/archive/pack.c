/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/tool.h"
#include "spec/file.h"

#define IN_SIZE (256 * KIB)
#define OUT_SIZE (256 * KIB)

typedef struct Pack {
        struct archive *archive;
        char *in; /* IN_SIZE bytes */
        size_t in_used, in_taken;
        char *out; /* OUT_SIZE bytes: heads, and small files, leave together */
        size_t out_used;
        union {
                FileRecord head;
                char bytes[FILE_RECORD_SIZE_MAX];
        } record;
} Pack;

static int flush(Pack *p) {
        int r = write_all(p->out, p->out_used);

        p->out_used = 0;
        return r;
}

/* Where it goes to a file there is something to say that nobody else knows. */
static void explain(int error) {
        if (error == -EFBIG)
                _exit(refuse("There is more of it than there is room for."));
        if (error == -ENOSPC || error == -EDQUOT)
                _exit(refuse("The disk of the worker is full."));
}

static la_ssize_t on_write(struct archive *a, void *userdata, const void *bytes, size_t size) {
        Pack *p = userdata;
        bool large = size > OUT_SIZE / 2;
        int r = 0;

        if (large || p->out_used + size > OUT_SIZE)
                r = flush(p);
        if (r == 0 && large)
                r = write_all(bytes, size);
        else if (r == 0) {
                memcpy(p->out + p->out_used, bytes, size);
                p->out_used += size;
        }
        if (r == 0)
                return (la_ssize_t) size;
        explain(r);
        archive_set_error(a, -r, "writing");
        return -1;
}

/* Has at least one more byte in @in. Returns false at the end. */
static bool fill(Pack *p) {
        if (p->in_taken > 0) {
                memmove(p->in, p->in + p->in_taken, p->in_used - p->in_taken);
                p->in_used -= p->in_taken;
                p->in_taken = 0;
        }
        ssize_t n = read(STDIN_FILENO, p->in + p->in_used, IN_SIZE - p->in_used);
        if (n <= 0)
                return false;
        p->in_used += (size_t) n;
        return true;
}

/* Copies the next record to @p->record. Returns false when the sandbox ended or broke the rules. */
static bool next_record(Pack *p) {
        for (;;) {
                ssize_t n = file_record_check(p->in + p->in_taken, p->in_used - p->in_taken);
                if (n < 0)
                        return false;
                if (n > 0) {
                        memcpy(&p->record, p->in + p->in_taken, (size_t) n);
                        p->in_taken += (size_t) n;
                        return true;
                }
                if (!fill(p))
                        return false;
        }
}

/* The contents, @size bytes, and their padding. */
static int copy_contents(Pack *p, uint64_t size) {
        uint64_t padding = -size & 7;

        while (size > 0) {
                if (p->in_taken == p->in_used && !fill(p))
                        return -EPIPE;
                size_t n = MIN(size, p->in_used - p->in_taken);
                if (archive_write_data(p->archive, p->in + p->in_taken, n) != (la_ssize_t) n)
                        return -EPIPE;
                p->in_taken += n;
                size -= n;
        }
        while (p->in_used - p->in_taken < padding)
                if (!fill(p))
                        return -EPIPE;
        p->in_taken += padding;
        return 0;
}

static int put_entry(Pack *p) {
        const FileRecord *r = &p->record.head;
        char name[FILE_PATH_MAX + 1], target[FILE_PATH_MAX];
        struct archive_entry *e = archive_entry_new();
        uint64_t contents = S_ISREG(r->mode) ? r->length : 0;
        bool kept = S_ISREG(r->mode) || S_ISDIR(r->mode) || S_ISLNK(r->mode);

        if (!e)
                return -ENOMEM;
        memcpy(name, file_record_name(r), r->name_length);
        name[r->name_length] = '\0';
        memcpy(target, file_record_target(r), r->target_length);
        target[r->target_length] = '\0';

        archive_entry_copy_pathname(e, name);
        archive_entry_set_mode(e, r->mode & (S_IFMT | 07777));
        archive_entry_set_uid(e, r->uid);
        archive_entry_set_gid(e, r->gid);
        archive_entry_set_mtime(e, (time_t) (r->mtime / 1000000000), (long) (r->mtime % 1000000000));
        archive_entry_set_size(e, (int64_t) contents);
        if (S_ISLNK(r->mode))
                archive_entry_copy_symlink(e, target);
        /* the folder itself is what the archive is of; FIFOs, sockets and devices are not its contents */
        int k = r->name_length > 0 && kept ? archive_write_header(p->archive, e) : ARCHIVE_OK;
        archive_entry_free(e);
        if (k < ARCHIVE_WARN)
                return -EPIPE;
        return contents > 0 ? copy_contents(p, contents) : 0;
}

static int pack(Pack *p, bool gzip) {
        if (archive_write_set_format_pax_restricted(p->archive) != ARCHIVE_OK ||
                (gzip && archive_write_add_filter_gzip(p->archive) != ARCHIVE_OK))
                return -ENOMEM;
        (void) archive_write_set_bytes_per_block(p->archive, 0);
        /* not before it is known that there is something: until then nothing is put out */
        if (!next_record(p) || archive_write_open(p->archive, p, NULL, on_write, NULL) != ARCHIVE_OK)
                return -EPIPE;
        while (p->record.head.type == FILE_RECORD_NODE) {
                int r = put_entry(p);
                if (r < 0)
                        return r;
                if (!next_record(p))
                        return -EPIPE;
        }
        if (p->record.head.type != FILE_RECORD_END || archive_write_close(p->archive) != ARCHIVE_OK)
                return -EPIPE;
        int r = flush(p);
        explain(r);
        if (r == 0 && fsync(STDOUT_FILENO) < 0 && errno != EINVAL && errno != EROFS) { /* those of a pipe */
                explain(-errno);
                r = -errno;
        }
        return r;
}

int pack_run(bool gzip) {
        static Pack p;

        p.archive = archive_write_new();
        p.in = malloc(IN_SIZE);
        p.out = malloc(OUT_SIZE);
        int r = p.archive && p.in && p.out ? pack(&p, gzip) : -ENOMEM;

        /* an archive that is not complete gets no end, which freeing it would write */
        if (r < 0)
                _exit(ARCHIVE_BROKEN);
        (void) archive_write_free(p.archive);
        free(p.in);
        free(p.out);
        return 0;
}
