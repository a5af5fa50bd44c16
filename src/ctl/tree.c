/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "ctl/terminal.h"

#define BLOCK ((size_t) (256 * KIB))

static void complain(const char *what, struct archive *a) {
        const char *reason = archive_error_string(a);
        _cleanup_free_ char *safe_what = terminal_escape_string(what),
                            *safe = terminal_escape_string(reason ? reason : "unknown error");

        print_error("%s: %s", safe_what, safe);
}

static bool is_kept(struct archive_entry *e) {
        mode_t type = archive_entry_filetype(e);

        return type == AE_IFREG || type == AE_IFDIR || type == AE_IFLNK;
}

static int copy_data(struct archive *from, struct archive *to, bool disk) {
        const void *bytes;
        la_int64_t offset, at = 0;
        size_t size;
        int r;

        while ((r = archive_read_data_block(from, &bytes, &size, &offset)) == ARCHIVE_OK) {
                if (disk) {
                        if (archive_write_data_block(to, bytes, size, offset) < ARCHIVE_WARN)
                                return ARCHIVE_FATAL;
                        continue;
                }
                static const char zeros[4096];
                while (at < offset) { /* a hole */
                        size_t n = (size_t) MIN(offset - at, (la_int64_t) sizeof zeros);
                        if (archive_write_data(to, zeros, n) != (la_ssize_t) n)
                                return ARCHIVE_FATAL;
                        at += (la_int64_t) n;
                }
                if (archive_write_data(to, bytes, size) != (la_ssize_t) size)
                        return ARCHIVE_FATAL;
                at += (la_int64_t) size;
        }
        return r == ARCHIVE_EOF ? ARCHIVE_OK : r;
}

/* --- packing --- */

static int pack_entries(struct archive *disk, struct archive *tar, struct archive_entry *e) {
        for (;;) {
                int r = archive_read_next_header2(disk, e);
                if (r == ARCHIVE_EOF)
                        return 0;
                if (r < ARCHIVE_WARN) {
                        complain("Reading the folder", disk);
                        return -1;
                }
                if (r == ARCHIVE_WARN)
                        complain(archive_entry_pathname(e), disk);
                (void) archive_read_disk_descend(disk);
                if (!is_kept(e)) {
                        _cleanup_free_ char *safe = terminal_escape_string(archive_entry_pathname(e));
                        print_note("%s is left out: neither file, folder nor symbolic link", safe);
                        continue;
                }
                /* who owns it here is nobody's business there */
                archive_entry_set_uname(e, NULL);
                archive_entry_set_gname(e, NULL);
                archive_entry_set_uid(e, 0);
                archive_entry_set_gid(e, 0);
                archive_entry_acl_clear(e);
                archive_entry_xattr_clear(e);
                archive_entry_copy_fflags_text(e, "");
                archive_entry_sparse_clear(e);
                r = archive_write_header(tar, e);
                if (r >= ARCHIVE_WARN && archive_entry_size(e) > 0 && archive_entry_filetype(e) == AE_IFREG)
                        r = copy_data(disk, tar, false);
                archive_entry_clear(e);
                if (r < ARCHIVE_WARN) {
                        if (archive_errno(tar) != EPIPE) /* the server does not want the rest, and says why */
                                complain("Packing the folder", archive_errno(disk) ? disk : tar);
                        return -1;
                }
        }
}

static int pack(int fd) {
        struct archive *disk = archive_read_disk_new(), *tar = archive_write_new();
        struct archive_entry *e = archive_entry_new();

        if (!disk || !tar || !e || archive_write_set_format_pax_restricted(tar) != ARCHIVE_OK ||
                archive_write_set_bytes_per_block(tar, (int) BLOCK) != ARCHIVE_OK ||
                archive_write_set_bytes_in_last_block(tar, 512) != ARCHIVE_OK ||
                archive_read_disk_set_symlink_physical(disk) != ARCHIVE_OK ||
                archive_write_open_fd(tar, fd) != ARCHIVE_OK)
                out_of_memory();
        if (archive_read_disk_open(disk, ".") != ARCHIVE_OK) {
                complain("Opening the folder", disk);
                return -1;
        }
        int r = pack_entries(disk, tar, e);
        if (r == 0 && archive_write_close(tar) != ARCHIVE_OK)
                r = -1;
        return r;
}

/* --- unpacking --- */

static int unpack_entries(struct archive *tar, struct archive *disk) {
        for (;;) {
                struct archive_entry *e;
                int r = archive_read_next_header(tar, &e);
                if (r == ARCHIVE_EOF)
                        return 0;
                if (r < ARCHIVE_WARN) {
                        complain("The archive", tar);
                        return -1;
                }
                if (!is_kept(e) || archive_entry_hardlink(e))
                        continue; /* a server of ours sends none */
                archive_entry_set_perm(e, archive_entry_perm(e) & 0777);
                r = archive_write_header(disk, e);
                if (r >= ARCHIVE_WARN && archive_entry_size(e) > 0)
                        r = copy_data(tar, disk, true);
                if (r >= ARCHIVE_WARN)
                        r = archive_write_finish_entry(disk);
                if (r < ARCHIVE_WARN) {
                        complain(archive_entry_pathname(e), archive_errno(disk) ? disk : tar);
                        return -1;
                }
        }
}

/* What comes is not to be trusted: nothing outside the folder is touched, whatever names and links it has. */
static int unpack(int fd) {
        struct archive *disk = archive_write_disk_new(), *tar = archive_read_new();
        int flags = ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_UNLINK | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                    ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS;

        if (!disk || !tar || archive_write_disk_set_options(disk, flags) != ARCHIVE_OK ||
                archive_read_support_format_tar(tar) != ARCHIVE_OK ||
                archive_read_support_format_empty(tar) != ARCHIVE_OK)
                out_of_memory();
        if (archive_read_open_fd(tar, fd, BLOCK) != ARCHIVE_OK) {
                complain("The archive", tar);
                return -1;
        }
        int r = unpack_entries(tar, disk);
        /* what folders are to look like is set at the end */
        if (archive_write_close(disk) != ARCHIVE_OK)
                r = -1;
        return r;
}

/* --- the process --- */

static int start(const char *path, bool packs, TreeChild *ret) {
        int p[2];

        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        (void) fflush(NULL); /* or it would be printed twice */
        pid_t pid = fork();
        if (pid < 0) {
                int r = -errno;
                fds_close(p, 2);
                return r;
        }
        if (pid == 0) {
                (void) signal(SIGINT, SIG_IGN); /* the parent ends it, in its own time */
                (void) close(p[packs ? 0 : 1]);
                if (chdir(path) < 0) {
                        print_error("Entering the folder: %s", strerror(errno));
                        _exit(EXIT_FAILURE);
                }
                _exit((packs ? pack(p[1]) : unpack(p[0])) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        }
        (void) close(p[packs ? 1 : 0]);
        *ret = (TreeChild){ .pid = pid, .fd = p[packs ? 0 : 1] };
        return 0;
}

int tree_pack(const char *path, TreeChild *ret) {
        return start(path, true, ret);
}

int tree_unpack(const char *path, TreeChild *ret) {
        return start(path, false, ret);
}

int tree_finish(TreeChild *c, bool abort) {
        int status = 0;

        if (abort)
                (void) kill(c->pid, SIGTERM);
        c->fd = fd_close(c->fd);
        while (waitpid(c->pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return status == 0 ? 0 : -EIO;
}
