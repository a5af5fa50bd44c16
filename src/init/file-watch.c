/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/file.h"
#include "init/tree.h"

/*
 * Tells of changes below a folder, by a watch on each folder in it. Which path a watch stands for follows from the
 * names of the folders above it, which change when one is moved.
 */

#define WATCHES_MAX 8192
#define NONE (-1)
#define PAIR_MSEC 20 /* how long the second half of a move is waited for */
#define EVENTS                                                                                                         \
        (IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_EXCL_UNLINK)

typedef struct Watch {
        int wd;     /* 0: free */
        int parent; /* index, NONE for the root */
        int next;   /* in its bucket */
        char name[NAME_MAX + 1];
} Watch;

/* Pages of these are there once they are used. The first is big: among the variables of process 1 it would spread those
 * that a sandbox has in use over more page tables. */
static Watch *watches;             /* WATCHES_MAX; [0]: the root */
static int buckets[WATCHES_MAX];   /* index + 1 of the first, by wd */
static int n_watches, first_free;
static int inotify = -EBADF, root = -EBADF;
static int above; /* wd of the folder that has the root */
static bool recursive, incomplete;

static int *bucket(int wd) {
        return &buckets[(unsigned) wd % WATCHES_MAX];
}

static int find(int wd) {
        int i = *bucket(wd) - 1;

        while (i >= 0 && watches[i].wd != wd)
                i = watches[i].next;
        return i;
}

static void forget(int i) {
        int *p = bucket(watches[i].wd);

        while (*p - 1 != i)
                p = &watches[*p - 1].next;
        *p = watches[i].next;
        if (*p == NONE)
                *p = 0;
        watches[i].wd = 0;
        n_watches--;
        first_free = MIN(first_free, i);
}

/* Writes the path of a file in the folder @i. Returns its length or -ENAMETOOLONG. */
static int make_path(int i, const char *name, char buf[static FILE_PATH_MAX]) {
        size_t at = FILE_PATH_MAX - 1, n = strlen(name);

        buf[at] = '\0';
        for (unsigned depth = 0;; depth++) {
                if (n > 0) {
                        size_t slash = buf[at] != '\0' ? 1 : 0;
                        if (n + slash > at || depth > FILE_DEPTH_MAX)
                                return -ENAMETOOLONG;
                        if (slash)
                                buf[--at] = '/';
                        at -= n;
                        memcpy(buf + at, name, n);
                }
                if (i <= 0)
                        break;
                name = watches[i].name;
                n = strlen(name);
                i = watches[i].parent;
        }
        memmove(buf, buf + at, FILE_PATH_MAX - at);
        return (int) (FILE_PATH_MAX - 1 - at);
}

/* --- what is told --- */

static int tell(FileChange change, bool folder, const char *path, const char *from) {
        FileRecord r = {
                .type = FILE_RECORD_CHANGE,
                .change = change,
                .mode = folder ? S_IFDIR : S_IFREG,
        };

        return file_send(&r, path, strlen(path), from, strlen(from));
}

/* --- watches --- */

static int open_below(const char *path) {
        struct open_how how = {
                .flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC,
                .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
        };
        int fd = (int) syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof how);

        return fd < 0 ? -errno : fd;
}

/* Returns the index of the watch, NONE when the folder has gone again or there is no room, or -errno below NONE. */
static int watch_folder(int fd, int parent, const char *name) {
        char path[32];

        if (n_watches == WATCHES_MAX) {
                incomplete = true;
                return NONE;
        }
        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int wd = inotify_add_watch(inotify, path, EVENTS);
        if (wd < 0) {
                incomplete = incomplete || errno == ENOSPC || errno == EACCES;
                return NONE;
        }
        int i = find(wd);
        if (i < 0) {
                while (watches[first_free].wd != 0)
                        first_free++;
                i = first_free;
                watches[i] = (Watch){ .wd = wd, .next = *bucket(wd) ? *bucket(wd) - 1 : NONE };
                *bucket(wd) = i + 1;
                n_watches++;
        }
        watches[i].parent = parent;
        (void) snprintf(watches[i].name, sizeof watches[i].name, "%s", name);
        return i;
}

typedef struct Scan {
        int at[FILE_DEPTH_MAX + 2]; /* watch of the folder at each depth; [1]: where it began */
        const char *prefix;
        bool tells;
} Scan;

static int visit(Tree *t, TreeStep step, void *userdata) {
        Scan *s = userdata;
        char path[2 * FILE_PATH_MAX];
        int r = 0;

        if (step == TREE_LEAVE)
                return 0;
        if (step == TREE_UNREADABLE) {
                incomplete = true;
                return 0;
        }
        if (s->tells) {
                int n = snprintf(path, sizeof path, "%s%s%s", s->prefix, s->prefix[0] ? "/" : "", t->path);
                if (n < (int) FILE_PATH_MAX)
                        r = tell(FILE_CREATED, S_ISDIR(t->st.st_mode), path, "");
                if (r < 0)
                        return r;
        }
        if (!S_ISDIR(t->st.st_mode))
                return 0;
        if (!recursive)
                return TREE_SKIP;
        _cleanup_fd_ int fd = openat(t->folder, t->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return TREE_SKIP;
        r = watch_folder(fd, s->at[t->depth], t->name);
        s->at[t->depth + 1] = r;
        return r < 0 ? TREE_SKIP : 0;
}

/* Watches the folder @name of the folder @parent and all below it. @tells: it is new, what it contains was not told. */
static int add_tree(int parent, const char *name, bool tells) {
        static Scan s; /* large, and used up before this returns */
        char path[FILE_PATH_MAX];

        if (make_path(parent, name, path) < 0)
                return 0;
        _cleanup_fd_ int fd = open_below(path);
        if (fd < 0)
                return 0; /* it has gone again */
        s.at[1] = watch_folder(fd, parent, name);
        s.prefix = path;
        s.tells = tells;
        if (s.at[1] < 0)
                return 0;
        int r = tree_walk(fd, visit, &s);
        return r == -EPIPE || r == -ENOMEM ? r : 0;
}

static bool is_below(int i, int ancestor) {
        for (unsigned depth = 0; i > 0 && depth <= FILE_DEPTH_MAX; depth++) {
                if (i == ancestor)
                        return true;
                i = watches[i].parent;
        }
        return i == ancestor;
}

static int find_child(int parent, const char *name) {
        for (int i = 1; i < WATCHES_MAX; i++)
                if (watches[i].wd != 0 && watches[i].parent == parent && strcmp(watches[i].name, name) == 0)
                        return i;
        return NONE;
}

/* A folder has been moved away. */
static void remove_tree(int parent, const char *name) {
        int top = find_child(parent, name);

        if (top < 0)
                return;
        /* from below, since what is removed names what lies above it no more */
        for (int i = WATCHES_MAX - 1; i > 0; i--)
                if (i != top && watches[i].wd != 0 && is_below(i, top))
                        (void) inotify_rm_watch(inotify, watches[i].wd); /* IN_IGNORED follows */
        (void) inotify_rm_watch(inotify, watches[top].wd);
}

/* --- events --- */

static struct {
        uint32_t cookie; /* 0: none */
        int parent;
        bool folder;
        char name[NAME_MAX + 1];
        char path[FILE_PATH_MAX];
} pending;

/* The first half of a move whose second half did not come. */
static int flush_pending(void) {
        if (pending.cookie == 0)
                return 0;
        pending.cookie = 0;
        if (pending.folder)
                remove_tree(pending.parent, pending.name);
        return tell(FILE_DELETED, pending.folder, pending.path, "");
}

static int on_moved_to(int i, const struct inotify_event *e, const char *path, bool folder) {
        bool pair = pending.cookie != 0 && pending.cookie == e->cookie;
        int r;

        if (!pair) {
                r = tell(FILE_CREATED, folder, path, "");
                return r == 0 && folder && recursive ? add_tree(i, e->name, true) : r;
        }
        pending.cookie = 0;
        int moved = folder ? find_child(pending.parent, pending.name) : NONE;
        if (moved > 0) {
                watches[moved].parent = i;
                (void) snprintf(watches[moved].name, sizeof watches[moved].name, "%s", e->name);
        }
        return tell(FILE_MOVED, folder, path, pending.path);
}

/* The root is held open, so no watch of its own tells that it is deleted: that of the folder above does, if it may be
 * read. */
static void watch_root_itself(void) {
        char path[40];

        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", root);
        (void) inotify_add_watch(inotify, path, IN_MOVE_SELF | IN_ONLYDIR | IN_MASK_ADD);
        (void) snprintf(path, sizeof path, "/proc/self/fd/%d/..", root);
        above = inotify_add_watch(inotify, path, IN_DELETE | IN_ONLYDIR | IN_MASK_ADD);
}

static bool root_has_gone(const struct inotify_event *e) {
        struct stat st;

        if (e->wd == watches[0].wd && (e->mask & IN_MOVE_SELF))
                return true;
        return (e->wd == above || (e->mask & IN_Q_OVERFLOW)) && fstat(root, &st) == 0 && st.st_nlink == 0;
}

/* Returns 0, 1 when the root has gone, -errno. */
static int on_event(const struct inotify_event *e) {
        static char last_modified[FILE_PATH_MAX]; /* of events that follow each other, one is enough */
        char path[FILE_PATH_MAX];
        int i = e->mask & IN_Q_OVERFLOW ? 0 : find(e->wd), r = 0;
        bool folder = e->mask & IN_ISDIR;

        if (pending.cookie != 0 && !((e->mask & IN_MOVED_TO) && e->cookie == pending.cookie))
                r = flush_pending();
        if (r == 0 && root_has_gone(e)) {
                r = tell(FILE_DELETED, true, "", "");
                return r < 0 ? r : 1;
        }
        if (r < 0 || i < 0)
                return r;
        if (e->mask & IN_Q_OVERFLOW) {
                r = tell(FILE_OVERFLOW, false, "", "");
                return r == 0 && recursive ? add_tree(NONE, "", false) : r;
        }
        if (e->mask & IN_IGNORED) {
                forget(i);
                return i == 0 ? 1 : 0;
        }
        if (e->len == 0 || make_path(i, e->name, path) < 0)
                return 0;

        bool modified = e->mask & IN_MODIFY;
        if (modified && strcmp(path, last_modified) == 0)
                return 0;
        (void) snprintf(last_modified, sizeof last_modified, "%s", modified ? path : "");
        if (modified)
                return tell(FILE_MODIFIED, folder, path, "");
        if (e->mask & IN_ATTRIB)
                return tell(FILE_ATTRIBUTES, folder, path, "");
        if (e->mask & IN_DELETE)
                return tell(FILE_DELETED, folder, path, "");
        if (e->mask & IN_MOVED_TO)
                return on_moved_to(i, e, path, folder);
        if (e->mask & IN_MOVED_FROM) {
                pending.cookie = e->cookie;
                pending.parent = i;
                pending.folder = folder;
                (void) snprintf(pending.name, sizeof pending.name, "%s", e->name);
                (void) snprintf(pending.path, sizeof pending.path, "%s", path);
                return 0;
        }
        if (!(e->mask & IN_CREATE))
                return 0;
        r = tell(FILE_CREATED, folder, path, "");
        return r == 0 && folder && recursive ? add_tree(i, e->name, true) : r;
}

static int read_events(void) {
        static _Alignas(struct inotify_event) char buf[64 * 1024];
        ssize_t n = read(inotify, buf, sizeof buf);

        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        for (ssize_t at = 0; at < n;) {
                const struct inotify_event *e = (const struct inotify_event *) (const void *) (buf + at);
                at += (ssize_t) (sizeof *e + e->len);
                int r = on_event(e);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int watch(void) {
        for (;;) {
                struct pollfd p[2] = {
                        { .fd = inotify, .events = POLLIN }, { .fd = STDOUT_FILENO }, /* its reader has gone */
                };
                int n = poll(p, 2, pending.cookie ? PAIR_MSEC : -1), r = 0;
                if (n < 0)
                        return -errno;
                if (p[1].revents)
                        return -EPIPE;
                r = n == 0 ? flush_pending() : read_events();
                if (r >= 0) {
                        int k = file_flush();
                        r = k < 0 ? k : r;
                }
                if (r != 0)
                        return r;
        }
}

/* watch PATH one|tree */
int builtin_watch(int argc, char **argv) {
        if (argc != 3)
                return EINVAL;
        watches = mmap(NULL, WATCHES_MAX * sizeof *watches, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (watches == MAP_FAILED)
                return errno;
        recursive = strcmp(argv[2], "tree") == 0;
        root = file_open(AT_FDCWD, argv[1], O_RDONLY | O_DIRECTORY | O_NONBLOCK);
        if (root < 0)
                return -root;
        inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (inotify < 0)
                return errno;
        int r = 0;
        if (recursive)
                r = add_tree(NONE, "", false);
        else
                (void) watch_folder(root, NONE, "");
        if (r == 0 && watches[0].wd == 0)
                r = -EMFILE;
        if (r == 0)
                watch_root_itself();
        if (r == 0)
                r = file_send_end((uint64_t) n_watches, incomplete ? FILE_TRUNCATED : 0);
        if (r == 0)
                r = watch();
        return r < 0 ? -r : 0;
}
