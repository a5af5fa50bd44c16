/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/path.h"
#include "archive/tool.h"
#include "spec/file.h"

#define IN_SIZE (256 * KIB)

static char in[IN_SIZE];
static const char zeros[64 * KIB];

static la_ssize_t on_read(struct archive *a, void *userdata, const void **ret) {
        ssize_t n = read(STDIN_FILENO, in, sizeof in);

        (void) userdata;
        *ret = in;
        if (n < 0)
                archive_set_error(a, errno, "reading");
        return n;
}

static int send(FileRecord *r, const char *name, const char *target) {
        _Alignas(FileRecord) char buf[FILE_RECORD_SIZE_MAX] = { 0 };
        size_t n = strlen(name), m = strlen(target);

        r->name_length = (uint32_t) n;
        r->target_length = (uint32_t) m;
        memcpy(buf, r, sizeof *r);
        memcpy(buf + sizeof *r, name, n);
        memcpy(buf + sizeof *r + n, target, m);
        return write_all(buf, FILE_RECORD_SIZE(n, m));
}

static int send_zeros(uint64_t size) {
        int r = 0;

        while (size > 0 && r == 0) {
                size_t n = MIN(size, sizeof zeros);
                r = write_all(zeros, n);
                size -= n;
        }
        return r;
}

/* Exactly @size bytes and the padding: what is not in the archive, as in files with holes, are zeros. */
static int send_contents(struct archive *a, uint64_t size) {
        uint64_t at = 0;

        for (;;) {
                const void *bytes;
                size_t length;
                la_int64_t offset;
                int k = archive_read_data_block(a, &bytes, &length, &offset), r;
                if (k == ARCHIVE_EOF)
                        break;
                if (k < ARCHIVE_WARN)
                        return refuse("The archive is damaged: %s.", archive_error_string(a));
                if (offset < 0 || (uint64_t) offset < at || (uint64_t) offset > size ||
                        length > size - (uint64_t) offset)
                        return refuse("The archive is damaged: a file does not fit its size.");
                r = send_zeros((uint64_t) offset - at);
                if (r == 0)
                        r = write_all(bytes, length);
                if (r < 0)
                        return ARCHIVE_BROKEN;
                at = (uint64_t) offset + length;
        }
        return send_zeros(size - at + (-size & 7)) < 0 ? ARCHIVE_BROKEN : 0;
}

/* Returns 0 or the exit status. */
static int send_entry(struct archive *a, struct archive_entry *e) {
        char name[FILE_PATH_MAX], target[FILE_PATH_MAX] = "";
        const char *path = archive_entry_pathname(e), *link = archive_entry_hardlink(e);
        FileRecord r = {
                .type = FILE_RECORD_NODE,
                .mode = (uint32_t) archive_entry_filetype(e) | (archive_entry_perm(e) & 0777),
                .mtime = archive_entry_mtime_is_set(e)
                                 ? (int64_t) archive_entry_mtime(e) * 1000000000 + archive_entry_mtime_nsec(e)
                                 : 0,
        };

        int k = path ? entry_path(path, name) : -EINVAL;
        if (k < 0)
                return refuse("The archive is refused: \"%.200s\" %s.", path ? path : "",
                        k == -ENAMETOOLONG ? "is longer than a path may be" : "does not lie below the folder");
        if (name[0] == '\0')
                return 0; /* the folder itself */
        if (link) {
                r.flags = FILE_HARD_LINK;
                r.mode = S_IFREG | (r.mode & 0777);
                k = entry_path(link, target);
                if (k < 0 || target[0] == '\0')
                        return refuse("The archive is refused: \"%.150s\" is a link to \"%.150s\".", path, link);
        } else if (archive_entry_filetype(e) == AE_IFLNK) {
                link = archive_entry_symlink(e);
                if (!link || !*link || strlen(link) >= sizeof target)
                        return refuse("The archive is refused: \"%.200s\" is a link to nothing.", path);
                memcpy(target, link, strlen(link) + 1);
        } else if (archive_entry_filetype(e) != AE_IFREG && archive_entry_filetype(e) != AE_IFDIR)
                return refuse("The archive is refused: \"%.200s\" is a device, FIFO or socket.", path);

        bool contents = !link && archive_entry_filetype(e) == AE_IFREG;
        if (contents && archive_entry_size(e) < 0)
                return refuse("The archive is damaged: \"%.200s\" has no size.", path);
        r.size = r.length = contents ? (uint64_t) archive_entry_size(e) : 0;
        if (send(&r, name, target) < 0)
                return ARCHIVE_BROKEN;
        return contents ? send_contents(a, r.size) : 0;
}

static int unpack(struct archive *a) {
        FileRecord end = { .type = FILE_RECORD_END };

        if (archive_read_support_format_tar(a) != ARCHIVE_OK || archive_read_support_format_empty(a) != ARCHIVE_OK ||
                archive_read_support_filter_gzip(a) < ARCHIVE_WARN)
                return refuse("The library for archives cannot be used.");
        if (archive_read_open(a, NULL, NULL, on_read, NULL) != ARCHIVE_OK)
                return refuse("This is no tar archive: %s.", archive_error_string(a));
        for (;;) {
                struct archive_entry *e;
                int k = archive_read_next_header(a, &e);
                if (k == ARCHIVE_EOF)
                        break;
                if (k < ARCHIVE_WARN)
                        return refuse("This is no tar archive, or a damaged one: %s.",
                                archive_error_string(a) ? archive_error_string(a) : "no reason given");
                if (++end.size > FILE_ENTRIES_MAX)
                        return refuse("The archive has more than %u entries.", FILE_ENTRIES_MAX);
                k = send_entry(a, e);
                if (k != 0)
                        return k;
        }
        return send(&end, "", "") < 0 ? ARCHIVE_BROKEN : 0;
}

int unpack_run(void) {
        struct archive *a = archive_read_new();
        int status = a ? unpack(a) : ARCHIVE_BROKEN;

        (void) archive_read_free(a);
        return status;
}
