/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/finish.h"

/* A whole image as a tar file: what is made of it lies below its root, belongs to nobody else's rights, and what is
 * said of it can be read. The digests of a changed file never fit, so that all layers but the first bytes would go
 * unseen: the first byte says whether the rest is an image, or a layer that is taken for one, and what is wrong then in
 * what is said of it. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BYTES_MAX (4 * MIB)
#define ENTRIES_MAX 200U
#define OUTSIDE "untouched"

static char top[] = "/dev/shm/fuzz-image-XXXXXX";
static int top_fd = -EBADF;

static void check(bool condition) {
        if (!condition)
                abort();
}

static void leave(void) {
        (void) tree_remove(AT_FDCWD, top);
}

static void begin(void) {
        if (top_fd >= 0)
                return;
        if (!mkdtemp(top)) {
                (void) strcpy(top, "/tmp/fuzz-image-XXXXXX");
                check(mkdtemp(top) != NULL);
        }
        (void) atexit(leave);
        top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        check(top_fd >= 0 && sodium_init() >= 0);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        check(null >= 0 && dup2(null, STDERR_FILENO) >= 0); /* each refusal says a line */
        (void) close(null);
        int fd = openat(top_fd, OUTSIDE, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        check(fd >= 0 && write(fd, OUTSIDE, strlen(OUTSIDE)) == (ssize_t) strlen(OUTSIDE));
        (void) close(fd);
}

static void check_outside(void) {
        char text[64];

        check(file_read(top_fd, OUTSIDE, text, sizeof text) == (ssize_t) strlen(OUTSIDE) && strcmp(text, OUTSIDE) == 0);
}

static void check_tree(int fd) {
        DIR *d = fdopendir(fd);
        struct dirent *entry;
        struct stat st;

        check(d != NULL);
        while ((entry = readdir(d))) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                check(fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
                check(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
                check(S_ISLNK(st.st_mode) || !(st.st_mode & 06000));
                check(S_ISLNK(st.st_mode) || !(st.st_mode & 022) || (st.st_mode & 07777) == 01777);
                if (S_ISDIR(st.st_mode))
                        check_tree(openat(dirfd(d), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        }
        (void) closedir(d);
}

/* The same bytes twice, one on top of the other: whiteouts count too. @lies: what the plan says of them is wrong. */
static void plan_of_layer(Plan *p, uint8_t lies, size_t size) {
        p->layers = calloc(2, sizeof *p->layers);
        check(p->layers != NULL);
        p->n_layers = 2;
        for (size_t i = 0; i < 2; i++) {
                p->layers[i].path = strdup(lies & 2 ? "other" : "layer");
                p->layers[i].size = lies & 4 ? size + 1 : lies & 8 ? size : UINT64_MAX;
                if (lies & 8)
                        (void) strcpy(p->layers[i].digest, "no digest");
        }
        p->config = json_pack("{s{ss}}", "config", "WorkingDir", "/srv/app");
}

static int wrap(const uint8_t *data, size_t size) {
        struct archive *a = archive_write_new();
        struct archive_entry *e = archive_entry_new();
        int fd = memfd_create("fuzz", MFD_CLOEXEC);

        check(a && e && fd >= 0 && archive_write_set_format_pax_restricted(a) == ARCHIVE_OK);
        check(archive_write_open_fd(a, fd) == ARCHIVE_OK);
        archive_entry_set_pathname(e, "layer");
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_size(e, (la_int64_t) size);
        check(archive_write_header(a, e) == ARCHIVE_OK);
        check(archive_write_data(a, data, size) == (la_ssize_t) size);
        archive_entry_free(e);
        check(archive_write_free(a) == ARCHIVE_OK);
        return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(tree_writer_done) TreeWriter w = { .folder_fd = -EBADF, .uid = (uid_t) -1, .gid = (gid_t) -1 };
        Apply a = { .writer = &w, .bytes_max = size > 0 && (data[0] & 16) ? 1 : BYTES_MAX, .entries_max = ENTRIES_MAX };
        _cleanup_(plan_done) Plan plan = { 0 };
        Bundle b = { .file = -EBADF, .broker = -EBADF };
        _cleanup_fd_ int root = -EBADF, file = -EBADF;
        int r = 0;

        if (size == 0)
                return 0;
        begin();
        check(mkdirat(top_fd, "rootfs", 0755) == 0);
        root = openat(top_fd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        check(root >= 0);
        w.root_fd = root;
        if (data[0] % 2 == 0) {
                file = memfd_create("fuzz", MFD_CLOEXEC);
                check(file >= 0 && write(file, data + 1, size - 1) == (ssize_t) (size - 1));
                b.file = file;
                r = plan_read(&b, NULL, &plan);
        } else {
                file = wrap(data + 1, size - 1);
                b.file = file;
                plan_of_layer(&plan, data[0], size - 1);
        }
        if (r == 0)
                r = apply_layers(&a, &b, &plan);
        if (r == 0 || r == -EKEYREJECTED) {
                _cleanup_free_ char *config = NULL;
                (void) finish_tree(&w, &plan);
                (void) finish_config(&plan, &a, &config);
        }
        check(a.bytes <= BYTES_MAX && a.entries <= ENTRIES_MAX + 1);
        check_tree(openat(top_fd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        check(tree_remove(top_fd, "rootfs") == 0);
        check_outside();
        return 0;
}
