/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/init.h"

#define PLACEHOLDER "skeleton/dev/null"
#define FULL_PROC "/run/sandboxd/.proc" /* in sandboxd-spawner@.service */

const char *const template_devices[] = { "null", "zero", "full", "random", "urandom", "tty", NULL };

static const char *const links[][2] = {
        { "/proc/self/fd", "fd" },
        { "/proc/self/fd/0", "stdin" },
        { "/proc/self/fd/1", "stdout" },
        { "/proc/self/fd/2", "stderr" },
        { "pts/ptmx", "ptmx" },
};

/* Where images may have no folder to mount on, and what has to say the same in every sandbox. */
static const char *const skeleton_folders[] = { "dev", "dev/pts", "dev/shm", "proc", "tmp", "home", "home/sandboxuser",
        "etc", "var", "run" };
static const char *const skeleton_files[][2] = {
        { "etc/hostname", "sandbox\n" },
        { "etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost sandbox ip6-localhost ip6-loopback\n" },
        { "etc/resolv.conf", "" },
};

/* What tells of the host or its other users, or has been a way out. Locks are listed with their ranges whoever holds
 * them, so that the list is a letter box between tenants. Of keys the kernel itself lists those of users alone that the
 * reader's user namespace has: of the sandbox, which can make none. */
static const char *const wanted_files[] = { "/proc/kcore", "/proc/timer_list", "/proc/sched_debug", "/proc/schedstat",
        "/proc/latency_stats", "/proc/timer_stats", "/proc/kallsyms", "/proc/config.gz", "/proc/cmdline",
        "/proc/bootconfig", "/proc/interrupts", "/proc/softirqs", "/proc/modules", "/proc/locks", "/proc/diskstats",
        "/proc/partitions", "/proc/mdstat", "/proc/swaps", "/proc/iomem", "/proc/ioports", "/proc/mtrr" };
static const char *const wanted_folders[] = { "/proc/acpi", "/proc/asound", "/proc/bus", "/proc/driver",
        "/proc/dynamic_debug", "/proc/fs", "/proc/irq", "/proc/pressure", "/proc/scsi", "/proc/spl", "/proc/tty",
        "/proc/xen" };
static const char *const wanted_readonly[] = { "/proc/sys", "/proc/sysrq-trigger" };

static const char *found_files[ELEMENTSOF(wanted_files) + 1];
static const char *found_folders[ELEMENTSOF(wanted_folders) + 1];
static const char *found_readonly[ELEMENTSOF(wanted_readonly) + 1];
const char *const *masked_files = found_files;
const char *const *masked_folders = found_folders;
const char *const *readonly_paths = found_readonly;

/* Those that a sandbox could open, whose id is none that a file of /proc outside of its processes belongs to. The mode of
 * something that covers one here says nothing: a sandbox has a /proc of its own. */
static void find_open(const char *const *wanted, size_t n, const char **found) {
        struct stat proc = { 0 }, st;

        (void) stat("/proc", &proc);
        for (size_t i = 0; i < n; i++)
                if (fstatat(AT_FDCWD, wanted[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                        (st.st_dev != proc.st_dev || (st.st_mode & (S_IRWXG | S_IRWXO))))
                        *found++ = wanted[i];
        *found = NULL;
}

/* A detached copy of the tree of mounts at @path, with the attributes @set added to each. */
static int tree_clone(const char *path, uint64_t set) {
        struct mount_attr attr = { .attr_set = set };
        int fd = (int) syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

        if (fd < 0)
                return -errno;
        if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0) {
                int r = -errno;
                (void) fd_close(fd);
                return r;
        }
        return fd;
}

static int tree_attach(int tree, const char *where) {
        if (syscall(SYS_move_mount, tree, "", AT_FDCWD, where, MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return -errno;
        return 0;
}

static int touch(const char *path, mode_t mode, const char *text) {
        _cleanup_fd_ int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
        size_t length = strlen(text);

        if (fd < 0)
                return -errno;
        return write(fd, text, length) == (ssize_t) length ? 0 : -EIO;
}

static int make_dev(void) {
        char path[64];
        /* what each sandbox has its devices mounted on: one file with many names is one inode of its root */
        int r = touch(PLACEHOLDER, 0444, "");

        if (r < 0)
                return r;
        for (size_t i = 0; template_devices[i]; i++) {
                _cleanup_fd_ int tree = -EBADF;
                (void) snprintf(path, sizeof path, "/dev/%s", template_devices[i]);
                tree = tree_clone(path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
                if (tree < 0)
                        return tree;
                (void) snprintf(path, sizeof path, "dev/%s", template_devices[i]);
                r = touch(path, 0666, "");
                if (r == 0)
                        r = tree_attach(tree, path);
                if (r < 0)
                        return r;
                (void) snprintf(path, sizeof path, "skeleton/dev/%s", template_devices[i]);
                if (strcmp(path, PLACEHOLDER) != 0 && link(PLACEHOLDER, path) < 0)
                        return -errno;
        }
        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                (void) snprintf(path, sizeof path, "skeleton/dev/%s", links[i][1]);
                if (symlink(links[i][0], path) < 0)
                        return -errno;
        }
        return 0;
}

static int make_skeleton(void) {
        char path[96];

        for (size_t i = 0; i < ELEMENTSOF(skeleton_folders); i++) {
                (void) snprintf(path, sizeof path, "skeleton/%s", skeleton_folders[i]);
                if (mkdir(path, 0755) < 0)
                        return -errno;
        }
        for (size_t i = 0; i < ELEMENTSOF(skeleton_files); i++) {
                (void) snprintf(path, sizeof path, "skeleton/%s", skeleton_files[i][0]);
                int r = touch(path, 0644, skeleton_files[i][1]);
                if (r < 0)
                        return r;
        }
        return symlink("/tmp", "skeleton/var/tmp") < 0 ? -errno : 0;
}

static int attach_clone(const char *from, const char *to, uint64_t set) {
        _cleanup_fd_ int tree = tree_clone(from, set);

        return tree < 0 ? tree : tree_attach(tree, to);
}

int template_enter(const char *images, const char **ret_what) {
        static const char *const folders[] = { "images", "skeleton", "dev", "proc", "new", "data", "queues" };
        _cleanup_fd_ int tree = -EBADF;
        int r;

        *ret_what = "making a mount namespace";
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return -errno;

        *ret_what = "opening the folder of images";
        tree = tree_clone(images, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        if (tree < 0)
                return tree;

        /* any folder that every system has serves as the place to build at: nobody else sees it */
        *ret_what = "mounting a tmpfs";
        if (mount("sandbox", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m,nr_inodes=256") < 0 ||
                chdir("/tmp") < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(folders); i++)
                if (mkdir(folders[i], 0755) < 0)
                        return -errno;

        *ret_what = "mounting the folder of images";
        r = tree_attach(tree, "images");
        if (r < 0)
                return r;
        *ret_what = "preparing files of /etc";
        r = make_skeleton();
        if (r < 0)
                return r;
        *ret_what = "preparing /dev";
        r = make_dev();
        if (r < 0)
                return r;
        /* the kernel lets a user namespace mount a new /proc only where it sees one in full: parts of the service's own
         * are covered, so that it has another */
        *ret_what = "mounting /proc";
        r = attach_clone(access(FULL_PROC "/version", F_OK) == 0 ? FULL_PROC : "/proc", "proc",
                MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        if (r < 0)
                return r;

        *ret_what = "entering the template";
        if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
                return -errno;
        if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
                return -errno;

        find_open(wanted_files, ELEMENTSOF(wanted_files), found_files);
        find_open(wanted_folders, ELEMENTSOF(wanted_folders), found_folders);
        find_open(wanted_readonly, ELEMENTSOF(wanted_readonly), found_readonly);
        return 0;
}
