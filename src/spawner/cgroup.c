/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define SUPERVISOR "supervisor"
#define LEAF_PREFIX "slot-"
#define LEAF_FORMAT LEAF_PREFIX "%u"
#define TREE_PREFIX "sandboxd-"
#define TREE_TRIES 10U
#define TAKEN_TRIES 60U
#define TAKEN_PAUSE_USEC 50000U

static const char *const controllers[] = { "memory", "cpu", "pids" };

/* The folder of our own cgroup: where version 2 is mounted, plus the "0::" line of /proc/self/cgroup. */
static int own_path(char *buf, size_t size) {
        char line[4096], where[256] = "", inside[256] = "";
        FILE *f;

        f = fopen("/proc/self/mounts", "re");
        if (!f)
                return -errno;
        while (fgets(line, sizeof line, f)) {
                char type[16] = "";
                if (sscanf(line, "%*s %255s %15s", where, type) == 2 && strcmp(type, "cgroup2") == 0)
                        break;
                where[0] = '\0';
        }
        (void) fclose(f);

        f = fopen("/proc/self/cgroup", "re");
        if (!f)
                return -errno;
        while (fgets(line, sizeof line, f))
                if (strncmp(line, "0::/", 4) == 0)
                        (void) sscanf(line + 3, "%255[^\n]", inside);
        (void) fclose(f);

        if (!where[0] || !inside[0])
                return -ENOENT;
        int n = snprintf(buf, size, "%s%s", where, strcmp(inside, "/") == 0 ? "" : inside);
        return n < 0 || (size_t) n >= size ? -ENAMETOOLONG : 0;
}

/* For reading what is in the folder @fd, which may be O_PATH. Returns NULL when it cannot be read. */
static DIR *open_folder(int fd) {
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;

        if (!dir)
                (void) fd_close(copy);
        return dir;
}

static bool is_leaf(const char *name) {
        return strncmp(name, LEAF_PREFIX, strlen(LEAF_PREFIX)) == 0;
}

/* Kills and removes the leaves that a spawner that died left behind. */
static void remove_leaves(int fd) {
        char path[64];
        DIR *dir = open_folder(fd);
        struct dirent *entry;

        if (!dir)
                return;
        while ((entry = readdir(dir))) {
                if (!is_leaf(entry->d_name))
                        continue;
                (void) snprintf(path, sizeof path, "%.32s/cgroup.kill", entry->d_name);
                (void) file_write(fd, path, "1");
                for (int i = 0; i < 100 && unlinkat(fd, entry->d_name, AT_REMOVEDIR) < 0 && errno == EBUSY; i++)
                        usleep(2000); /* at start only: the killed ones need a moment to be gone */
        }
        (void) closedir(dir);
}

static void enable_controllers(CgroupTree *t) {
        char text[32];

        t->limits = true;
        t->missing[0] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(controllers); i++) {
                (void) snprintf(text, sizeof text, "+%s", controllers[i]);
                if (file_write(t->fd, "cgroup.subtree_control", text) >= 0)
                        continue;
                t->limits = false;
                size_t used = strlen(t->missing);
                (void) snprintf(t->missing + used, sizeof t->missing - used, "%s%s", used ? " " : "", controllers[i]);
        }
}

int cgroup_tree_open(CgroupTree *t) {
        int r = own_path(t->path, sizeof t->path);
        if (r < 0)
                return r;

        /* where the service manager knows DelegateSubgroup= it has put us there already */
        char *last = strrchr(t->path, '/');
        if (last && strcmp(last, "/" SUPERVISOR) == 0)
                *last = '\0';

        t->fd = open(t->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (t->fd < 0)
                return -errno;
        if (mkdirat(t->fd, SUPERVISOR, 0755) < 0 && errno != EEXIST)
                r = -errno;
        if (r == 0)
                r = file_writef(t->fd, SUPERVISOR "/cgroup.procs", "%d", getpid());
        if (r < 0) {
                cgroup_tree_close(t);
                return r;
        }
        remove_leaves(t->fd);
        enable_controllers(t);
        return 0;
}

/* Is @fd what a worker had, with its supervisor and nothing that is not ours? */
static bool is_former_tree(int fd) {
        DIR *dir = open_folder(fd);
        bool ours = true, found = false;
        struct dirent *entry;

        if (!dir)
                return false;
        while (ours && (entry = readdir(dir))) {
                if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
                        continue;
                bool supervisor = strcmp(entry->d_name, SUPERVISOR) == 0;
                ours = supervisor || is_leaf(entry->d_name);
                found |= supervisor;
        }
        (void) closedir(dir);
        return ours && found;
}

/* Removes what workers without a service manager have left: those of root gave up what it takes to do it at their end.
 * No group with a process in it can be removed, so that whoever is there keeps what it has. */
static void remove_former_trees(int parent) {
        DIR *dir = open_folder(parent);
        struct dirent *entry;

        if (!dir)
                return;
        while ((entry = readdir(dir))) {
                if (strncmp(entry->d_name, TREE_PREFIX, strlen(TREE_PREFIX)) != 0)
                        continue;
                _cleanup_fd_ int fd = openat(parent, entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0 || !is_former_tree(fd) || unlinkat(fd, SUPERVISOR, AT_REMOVEDIR) < 0)
                        continue;
                remove_leaves(fd);
                (void) unlinkat(parent, entry->d_name, AT_REMOVEDIR);
        }
        (void) closedir(dir);
}

/* Is the tree at @path that of another worker that runs? One that is about to end has some time for it. */
static bool is_taken(const char *path) {
        char name[640], text[16];

        (void) snprintf(name, sizeof name, "%s/" SUPERVISOR "/cgroup.procs", path);
        for (unsigned i = 0; i < TAKEN_TRIES; i++) {
                ssize_t n = file_read(AT_FDCWD, name, text, sizeof text);
                if (n <= 0 && n != -EFBIG)
                        return false;
                usleep(TAKEN_PAUSE_USEC);
        }
        return true;
}

/* Makes the groups of @t->path and moves this process into it. Another worker that starts just now may remove them
 * before: -ENOENT or -ENODEV. */
static int make_tree(CgroupTree *t, uid_t uid, gid_t gid) {
        static const char *const given[] = { "", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads" };
        char path[576];
        int r = 0;

        if (mkdir(t->path, 0755) < 0 && errno != EEXIST)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(given); i++) {
                (void) snprintf(path, sizeof path, "%s%s", t->path, given[i]);
                if (chown(path, uid, gid) < 0)
                        return -errno;
        }

        t->fd = open(t->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (t->fd < 0)
                return -errno;
        if (mkdirat(t->fd, SUPERVISOR, 0755) < 0 && errno != EEXIST)
                r = -errno;
        if (r == 0 && fchownat(t->fd, SUPERVISOR, uid, gid, 0) < 0)
                r = -errno;
        /* the spawner and its children have to be in the tree: moving within it is what its owner may do */
        if (r == 0)
                r = file_writef(t->fd, SUPERVISOR "/cgroup.procs", "%d", getpid());
        if (r < 0)
                t->fd = fd_close(t->fd);
        return r;
}

int cgroup_tree_make(CgroupTree *t, const char *name, uid_t uid, gid_t gid) {
        _cleanup_fd_ int parent = -EBADF;
        char own[256];

        int r = own_path(own, sizeof own);
        if (r < 0)
                return r;
        parent = open(own, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0)
                return -errno;
        int n = snprintf(t->path, sizeof t->path, "%s/" TREE_PREFIX "%s", own, name);
        if (n < 0 || (size_t) n >= sizeof t->path)
                return -ENAMETOOLONG;
        remove_former_trees(parent);
        if (is_taken(t->path))
                return -EADDRINUSE;

        /* succeeds in the tree's root only: elsewhere a cgroup with processes hands no controllers down */
        for (size_t i = 0; i < ELEMENTSOF(controllers); i++)
                (void) file_writef(parent, "cgroup.subtree_control", "+%s", controllers[i]);

        r = make_tree(t, uid, gid);
        for (unsigned i = 0; i < TREE_TRIES && (r == -ENOENT || r == -ENODEV); i++)
                r = make_tree(t, uid, gid);
        if (r < 0) {
                cgroup_tree_close(t);
                return r;
        }
        remove_leaves(t->fd);
        enable_controllers(t);
        return 0;
}

int cgroup_tree_reopen(CgroupTree *t) {
        int r = own_path(t->path, sizeof t->path);

        if (r < 0)
                return r;
        char *last = strrchr(t->path, '/');
        if (!last || strcmp(last, "/" SUPERVISOR) != 0)
                return -ENOENT;
        *last = '\0';
        t->fd = open(t->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (t->fd < 0)
                return -errno;
        enable_controllers(t); /* they are: this finds out which */
        return 0;
}

void cgroup_tree_close(CgroupTree *t) {
        *t = (CgroupTree){ .fd = fd_close(t->fd) };
}

static int leaf_limit(int leaf, const Limits *l, const Limits *now) {
        int r;

        if (!now || now->memory != l->memory) {
                r = file_writef(leaf, "memory.max", "%" PRIu64, l->memory);
                if (r < 0)
                        return r;
                r = file_write(leaf, "memory.swap.max", "0");
                if (r < 0 && r != -ENOENT) /* a kernel without swap accounting has no such file and no swap for us */
                        return r;
        }
        if (!now || now->cpu_quota != l->cpu_quota) {
                r = file_writef(leaf, "cpu.max", "%" PRIu32 " %u", l->cpu_quota, CPU_PERIOD_USEC);
                if (r < 0)
                        return r;
        }
        if (!now || now->pids != l->pids)
                return file_writef(leaf, "pids.max", "%" PRIu64, (uint64_t) l->pids + 1); /* and sandbox-init */
        return 0;
}

int cgroup_leaf_open(const CgroupTree *t, unsigned slot, const Limits *limits, const Limits *now) {
        char name[32];

        (void) snprintf(name, sizeof name, LEAF_FORMAT, slot);
        if (!now && mkdirat(t->fd, name, 0755) < 0 && errno != EEXIST)
                return -errno;

        _cleanup_fd_ int leaf = openat(t->fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (leaf < 0)
                return -errno;
        if (t->limits) {
                int r = leaf_limit(leaf, limits, now);
                if (r < 0)
                        return r;
        }
        return take_fd(leaf);
}

int cgroup_leaf_freeze(const CgroupTree *t, unsigned slot, bool freeze) {
        char path[48], usage[32];

        (void) snprintf(path, sizeof path, LEAF_FORMAT "/cgroup.freeze", slot);
        int r = file_write(t->fd, path, freeze ? "1" : "0");
        if (r < 0 || !t->limits)
                return r;
        /* what stands still may go to disk, where there is room; nothing that runs does */
        (void) snprintf(path, sizeof path, LEAF_FORMAT "/memory.swap.max", slot);
        (void) file_write(t->fd, path, freeze ? "max" : "0");
        if (!freeze)
                return 0;
        if (fork() == 0) { /* nobody waits for it */
                (void) snprintf(path, sizeof path, LEAF_FORMAT "/memory.current", slot);
                if (file_read(t->fd, path, usage, sizeof usage) > 0) {
                        (void) snprintf(path, sizeof path, LEAF_FORMAT "/memory.reclaim", slot);
                        (void) file_write(t->fd, path, usage);
                }
                _exit(0);
        }
        return 0;
}

int cgroup_leaf_remove(const CgroupTree *t, unsigned slot) {
        char name[32];

        (void) snprintf(name, sizeof name, LEAF_FORMAT, slot);
        return unlinkat(t->fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}
