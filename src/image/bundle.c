/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "archive/path.h"
#include "base/fd.h"
#include "image/tree.h"

#define BLOCK (256 * KIB)
#define MEMBERS_MAX 100000U
#define LINKS_MAX 4U /* docker archives name a layer that they have twice by a link */

struct Blob {
        struct archive *archive; /* owned: of the tar file, or NULL */
        int fd;                  /* borrowed with an archive, else owned */
        off_t at;
        bool failed;
        char buffer[BLOCK];
};

Blob *blob_close(Blob *b) {
        if (!b)
                return NULL;
        if (b->archive)
                (void) archive_read_free(b->archive);
        else
                (void) fd_close(b->fd);
        free(b);
        return NULL;
}

static ssize_t read_block(Blob *b, const void **ret) {
        ssize_t n = pread(b->fd, b->buffer, sizeof b->buffer, b->at);

        if (n < 0)
                return -errno;
        b->at += n;
        *ret = b->buffer;
        return n;
}

ssize_t blob_next(Blob *b, const void **ret) {
        la_int64_t offset;
        size_t size;

        if (!b->archive)
                return read_block(b, ret);
        int k = archive_read_data_block(b->archive, ret, &size, &offset);
        if (k == ARCHIVE_EOF)
                return 0;
        return k < ARCHIVE_WARN ? -EBADMSG : (ssize_t) size;
}

/* --- a tar file --- */

static la_ssize_t on_read(struct archive *a, void *userdata, const void **ret) {
        ssize_t n = read_block(userdata, ret);

        if (n < 0)
                archive_set_error(a, (int) -n, "reading");
        return n < 0 ? -1 : n;
}

static la_int64_t on_skip(_unused_ struct archive *a, void *userdata, la_int64_t n) {
        Blob *b = userdata;
        struct stat st;

        /* a member may say that it is larger than the file: what is not there is not skipped but found missing */
        if (n <= 0 || fstat(b->fd, &st) < 0 || st.st_size <= b->at)
                return 0;
        n = MIN(n, st.st_size - b->at);
        b->at += n;
        return n;
}

/* Where a link in a tar file leads: @target as seen from the folder of @name. */
static int follow(const char *name, const char *target, char ret[static FILE_PATH_MAX]) {
        char parts[FILE_PATH_MAX];
        const char *slash = strrchr(name, '/');
        size_t used = slash ? (size_t) (slash - name) : 0;

        if (target[0] == '/')
                return -EINVAL;
        memcpy(parts, name, used);
        for (const char *p = target; *p; p += strspn(p, "/")) {
                size_t n = strcspn(p, "/");
                if (n == 2 && memcmp(p, "..", 2) == 0) {
                        if (used == 0)
                                return -EINVAL;
                        while (used > 0 && parts[--used] != '/')
                                ;
                } else if (!(n == 1 && *p == '.')) {
                        if (used + n + 2 > sizeof parts)
                                return -ENAMETOOLONG;
                        if (used > 0)
                                parts[used++] = '/';
                        memcpy(parts + used, p, n);
                        used += n;
                }
                p += n;
        }
        parts[used] = '\0';
        return entry_path(parts, ret);
}

/* Is the member that was just read the one of this name? Returns 1, 0, or 2 when it is a link to @ret_next. */
static int matches(struct archive_entry *e, const char *name, char ret_next[static FILE_PATH_MAX]) {
        const char *path = archive_entry_pathname(e), *link;
        char clean[FILE_PATH_MAX];

        if (!path || entry_path(path, clean) < 0 || strcmp(clean, name) != 0)
                return 0;
        link = archive_entry_hardlink(e);
        if (link)
                return entry_path(link, ret_next) < 0 ? 0 : 2;
        if (archive_entry_filetype(e) == AE_IFLNK) {
                link = archive_entry_symlink(e);
                return !link || follow(name, link, ret_next) < 0 ? 0 : 2;
        }
        return archive_entry_filetype(e) == AE_IFREG && archive_entry_size_is_set(e);
}

static int open_member(const Bundle *b, const char *name, char next[static FILE_PATH_MAX], Blob **ret) {
        _cleanup_(blob_closep) Blob *blob = calloc(1, sizeof *blob);

        if (!blob)
                return -ENOMEM;
        blob->fd = b->file;
        blob->archive = archive_read_new();
        if (!blob->archive)
                return -ENOMEM;
        if (archive_read_support_format_tar(blob->archive) != ARCHIVE_OK ||
                archive_read_set_read_callback(blob->archive, on_read) != ARCHIVE_OK ||
                archive_read_set_skip_callback(blob->archive, on_skip) != ARCHIVE_OK ||
                archive_read_set_callback_data(blob->archive, blob) != ARCHIVE_OK)
                return -ENOMEM;
        if (archive_read_open1(blob->archive) != ARCHIVE_OK)
                return -EBADMSG;
        for (unsigned i = 0; i < MEMBERS_MAX; i++) {
                struct archive_entry *e;
                int k = archive_read_next_header(blob->archive, &e);
                if (k == ARCHIVE_EOF)
                        return -ENOENT;
                if (k < ARCHIVE_WARN)
                        return -EBADMSG;
                k = matches(e, name, next);
                if (k == 1)
                        *ret = take_ptr(blob);
                if (k != 0)
                        return k == 1 ? 0 : -ELOOP;
        }
        return -ENOENT;
}

/* --- a folder --- */

static int open_brokered(const Bundle *b, const char *name, Blob **ret) {
        struct iovec iov = { .iov_base = (void *) name, .iov_len = strlen(name) + 1 };
        int fds[MESSAGE_FDS_MAX], error;
        size_t n_fds;

        int r = message_send(b->broker, &iov, 1, NULL, 0);
        if (r < 0)
                return r;
        ssize_t n = message_recv(b->broker, &error, sizeof error, fds, &n_fds, 0);
        if (n <= 0)
                return n < 0 ? (int) n : -EPIPE;
        if (n != sizeof error || error < 0 || n_fds != (error == 0 ? 1U : 0U)) {
                fds_close(fds, n_fds);
                return -EBADMSG;
        }
        if (error > 0)
                return -error;

        Blob *blob = calloc(1, sizeof *blob);
        if (!blob) {
                (void) fd_close(fds[0]);
                return -ENOMEM;
        }
        blob->fd = fds[0];
        *ret = blob;
        return 0;
}

static int open_below(int folder, const char *name) {
        /* without waiting, should it be a pipe */
        struct open_how how = {
                .flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
        };
        _cleanup_fd_ int fd = (int) syscall(SYS_openat2, folder, name, &how, sizeof how);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        return S_ISREG(st.st_mode) ? take_fd(fd) : -ENOENT;
}

int bundle_serve(int sock, int folder) {
        char name[PATH_MAX];
        int fds[MESSAGE_FDS_MAX], error = 0;
        size_t n_fds;

        ssize_t n = message_recv(sock, name, sizeof name, fds, &n_fds, 0);
        if (n == -EINTR)
                return 0;
        if (n <= 0)
                return 1;
        fds_close(fds, n_fds);
        if (name[n - 1] != '\0')
                return 1;
        _cleanup_fd_ int fd = open_below(folder, name);
        struct iovec iov = { .iov_base = &error, .iov_len = sizeof error };
        if (fd < 0)
                error = -fd;
        return message_send(sock, &iov, 1, &fd, fd >= 0 ? 1 : 0) < 0;
}

/* --- both --- */

int bundle_open(const Bundle *b, const char *name, Blob **ret) {
        char from[FILE_PATH_MAX], next[FILE_PATH_MAX];

        int r = entry_path(name, from);
        if (r < 0)
                return r;
        if (b->broker >= 0)
                return open_brokered(b, from, ret);
        for (unsigned i = 0; i <= LINKS_MAX; i++) {
                r = open_member(b, from, next, ret);
                if (r != -ELOOP)
                        return r;
                (void) strcpy(from, next);
        }
        return -ELOOP;
}

static bool is_digest(crypto_hash_sha256_state *state, const char *wanted) {
        unsigned char digest[crypto_hash_sha256_BYTES];
        char text[2 * sizeof digest + 1];

        (void) crypto_hash_sha256_final(state, digest);
        return strcmp(sodium_bin2hex(text, sizeof text, digest, sizeof digest), wanted) == 0;
}

int bundle_read(const Bundle *b, const char *name, size_t max, const char *sha256, char **ret, size_t *ret_length) {
        _cleanup_(blob_closep) Blob *blob = NULL;
        _cleanup_free_ char *text = malloc(max + 1);
        crypto_hash_sha256_state state;
        size_t used = 0;

        if (!text)
                return -ENOMEM;
        int r = bundle_open(b, name, &blob);
        if (!blob)
                return r;
        (void) crypto_hash_sha256_init(&state);
        for (;;) {
                const void *bytes = NULL;
                ssize_t n = blob_next(blob, &bytes);
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        break;
                if ((size_t) n > max - used)
                        return -EFBIG;
                (void) crypto_hash_sha256_update(&state, bytes, (size_t) n);
                memcpy(text + used, bytes, (size_t) n);
                used += (size_t) n;
        }
        if (sha256 && !is_digest(&state, sha256))
                return -EKEYREJECTED;
        text[used] = '\0';
        *ret_length = used;
        *ret = take_ptr(text);
        return 0;
}

/* --- compressed as a whole --- */

bool bundle_is_packed(int fd) {
        unsigned char head[4] = { 0 };

        return pread(fd, head, sizeof head, 0) == sizeof head &&
               (memcmp(head, "\x1f\x8b", 2) == 0 || memcmp(head, "\x28\xb5\x2f\xfd", 4) == 0);
}

static int copy_unpacked(struct archive *a, int to, uint64_t max) {
        struct archive_entry *e;
        uint64_t done = 0;

        int k = archive_read_next_header(a, &e);
        if (k != ARCHIVE_OK)
                return k == ARCHIVE_EOF ? 0 : -EBADMSG;
        for (;;) {
                const void *bytes;
                la_int64_t offset;
                size_t size;

                k = archive_read_data_block(a, &bytes, &size, &offset);
                if (k == ARCHIVE_EOF)
                        return 0;
                if (k < ARCHIVE_WARN)
                        return -EBADMSG;
                if (size > max - done)
                        return -EFBIG;
                int r = tree_write(to, bytes, size);
                if (r < 0)
                        return r;
                done += size;
        }
}

int bundle_unpack(int fd, int to, uint64_t max) {
        _cleanup_(blob_closep) Blob *blob = calloc(1, sizeof *blob);

        if (!blob)
                return -ENOMEM;
        blob->fd = fd;
        blob->archive = archive_read_new();
        if (!blob->archive || archive_read_support_format_raw(blob->archive) != ARCHIVE_OK ||
                archive_read_support_filter_gzip(blob->archive) != ARCHIVE_OK ||
                archive_read_support_filter_zstd(blob->archive) != ARCHIVE_OK)
                return -ENOMEM;
        if (archive_read_open(blob->archive, blob, NULL, on_read, NULL) != ARCHIVE_OK)
                return -EBADMSG;
        return copy_unpacked(blob->archive, to, max);
}
