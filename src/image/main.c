/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "image/generation.h"
#include "image/manifest.h"
#include "image/owner.h"
#include "image/paths.h"
#include "image/report.h"
#include "image/skeleton.h"

#define IMAGES_FOLDER "/var/lib/sandboxd/images"
#define LIST_OF_ADMIN SYSCONFDIR "/sandboxd/base.packages"
#define LIST_SHIPPED PKGLIBDIR "/base.packages"

typedef struct Arguments {
        const char *images;
        const char *list;
        const char *name;
        const char *root;
        Owner owner;
        bool owner_given;
        bool force;
} Arguments;

static volatile sig_atomic_t stopped;

static void on_signal(int number) {
        stopped = number;
}

static void usage(FILE *f) {
        (void) fputs("Usage: sandboxd-base-image [--images DIR] [--packages FILE] [--owner UID:GID] [--name NAME]\n"
                     "                           [--root DIR] [--force]\n"
                     "Makes the image NAME (base) as a private copy of installed packages, if it is not up to date.\n",
                f);
}

/* Returns 0 to go on, 1 when all is done, -EINVAL. */
static int parse_arguments(int argc, char **argv, Arguments *ret) {
        enum { OPT_IMAGES = 256, OPT_PACKAGES, OPT_OWNER, OPT_NAME, OPT_ROOT, OPT_FORCE, OPT_HELP, OPT_VERSION };
        static const struct option options[] = {
                { "images", required_argument, NULL, OPT_IMAGES },
                { "packages", required_argument, NULL, OPT_PACKAGES },
                { "owner", required_argument, NULL, OPT_OWNER },
                { "name", required_argument, NULL, OPT_NAME },
                { "root", required_argument, NULL, OPT_ROOT },
                { "force", no_argument, NULL, OPT_FORCE },
                { "help", no_argument, NULL, OPT_HELP },
                { "version", no_argument, NULL, OPT_VERSION },
                {},
        };
        Arguments a = {
                .images = IMAGES_FOLDER,
                .list = access(LIST_OF_ADMIN, F_OK) == 0 ? LIST_OF_ADMIN : LIST_SHIPPED,
                .name = "base",
                .root = "/",
        };
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case OPT_IMAGES:
                        a.images = optarg;
                        break;
                case OPT_PACKAGES:
                        a.list = optarg;
                        break;
                case OPT_OWNER:
                        if (owner_parse(optarg, &a.owner) < 0)
                                return report(
                                        EINVAL, "--owner %s: write UID:GID, two numbers below 4294967295", optarg);
                        a.owner_given = true;
                        break;
                case OPT_NAME:
                        if (!generation_name_is_valid(optarg))
                                return report(EINVAL,
                                        "--name %s: at most 64 of a-z, 0-9 and '-', without '-<number>' at "
                                        "the end",
                                        optarg);
                        a.name = optarg;
                        break;
                case OPT_ROOT:
                        a.root = optarg;
                        break;
                case OPT_FORCE:
                        a.force = true;
                        break;
                case OPT_HELP:
                        usage(stdout);
                        return 1;
                case OPT_VERSION:
                        (void) puts("sandboxd-base-image " VERSION);
                        return 1;
                default:
                        usage(stderr);
                        return -EINVAL;
                }
        if (optind < argc) {
                usage(stderr);
                return -EINVAL;
        }
        *ret = a;
        return 0;
}

/* Makes the root folder of an image and fills it. Reports. */
static int fill(const Generations *g, const Arguments *a, Source *source, const PackageDb *db, TreeWriter *w) {
        _cleanup_(strings_done_all) Strings paths = {};
        _cleanup_free_ char *rootfs = NULL;
        const char *failed = "";

        if (mkdirat(g->work_fd, "rootfs", 0700) < 0)
                return report_write(errno, g->path);
        _cleanup_fd_ int root_fd = openat(g->work_fd, "rootfs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (root_fd < 0)
                return report_write(errno, g->path);
        if (fchown(root_fd, a->owner.uid, a->owner.gid) < 0 || fchmod(root_fd, 0755) < 0)
                return report(errno,
                        "%s: files cannot be given to owner %u:%u: %s: give another with --owner, or run as "
                        "root",
                        g->path, a->owner.uid, a->owner.gid,
                        errno == EINVAL ? "not an id of this user namespace" : strerror(errno));

        int r = paths_collect(db, source, &paths);
        if (r < 0)
                return r;
        w->root_fd = root_fd;
        r = tree_copy_all(w, source, &paths, &failed);
        if (r == 0)
                r = skeleton_make(w, source, &failed);
        if (r == -EINTR)
                return report(r, "stopped by a signal, nothing is left behind");
        if (r < 0) {
                if (asprintf(&rootfs, "%s/%s/rootfs/%s", g->path, g->work, failed) < 0)
                        return report_memory();
                return report_write(r, rootfs);
        }

        if (asprintf(&rootfs, "%s/%s/rootfs", g->path, g->work) < 0)
                return report_memory();
        r = skeleton_link_cache(w, rootfs);
        if (r < 0)
                (void) report(r, "ldconfig: %s: programs in the image will start a little slower",
                        r == -EPROTO ? "failed" : strerror(-r));
        return 0;
}

static int build(Generations *g, const Arguments *a, Source *source, const PackageDb *db, const Manifest *m) {
        _cleanup_(tree_writer_done) TreeWriter w = {
                .root_fd = -EBADF,
                .folder_fd = -EBADF,
                .uid = a->owner.uid,
                .gid = a->owner.gid,
                .stop = &stopped,
        };
        _cleanup_free_ char *text = NULL;
        usec_t start = clock_monotonic();

        int r = generations_begin(g);
        if (r < 0)
                return r;
        r = fill(g, a, source, db, &w);
        if (r < 0)
                return r;

        text = manifest_text(m, clock_realtime(), w.n_files, w.bytes);
        if (!text)
                return report_memory();
        r = generation_write(g->work_fd, MANIFEST_NAME, text);
        if (r < 0)
                return report_write(r, g->path);
        r = generations_publish(g);
        if (r < 0)
                return r;

        (void) printf("%s: made %s/%s-%u: %zu files, %.1f MB, %.2f s", g->name, g->path, g->name, g->current, w.n_files,
                (double) w.bytes / 1e6, (double) (clock_monotonic() - start) / (double) USEC_PER_SEC);
        if (w.n_unreadable > 0)
                (void) printf(", %zu left out that not everybody may read", w.n_unreadable);
        (void) putchar('\n');
        return 0;
}

/* Returns 1 when the current image needs no work. Reports. */
static int check_current(const Generations *g, const Manifest *m) {
        _cleanup_free_ char *old = NULL, *text = NULL;

        if (generations_read_manifest(g, &old) < 0)
                return 0; /* whatever is wrong with it, a new one is made */
        switch (manifest_match(m, old)) {
        case MANIFEST_DIFFERS:
                return 0;
        case MANIFEST_SAME_PACKAGES: {
                /* so that the next run need not ask; harmless when it fails */
                _cleanup_fd_ int fd = generations_open_current(g);
                text = manifest_restamp(m, old);
                if (fd >= 0 && text)
                        (void) generation_write(fd, MANIFEST_NAME, text);
                break;
        }
        case MANIFEST_SAME:
                break;
        }
        (void) printf("%s: %s/%s-%u is up to date\n", g->name, g->path, g->name, g->current);
        return 1;
}

static int run(Arguments *a) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };
        _cleanup_(package_list_done) PackageList list = {};
        _cleanup_(package_db_done) PackageDb db = {};
        _cleanup_(manifest_done) Manifest m = {};
        _cleanup_(source_done) Source source = { .fd = -EBADF };

        int r = generations_open(a->images, a->name, false, &g);
        if (r < 0)
                return r;
        if (r > 0 && a->force)
                return report(EEXIST, "%s/%s: not made by this program: move it away, or give another --name",
                        a->images, a->name);
        if (r > 0) {
                (void) printf("%s: %s/%s was not made by this program: left as it is\n", a->name, a->images, a->name);
                return 0;
        }

        r = package_list_read(a->list, &list);
        if (r == 0)
                r = package_db_find(a->root, &db);
        if (r == 0 && !a->owner_given)
                r = owner_default(&a->owner);
        if (r < 0)
                return r;
        if (manifest_set_request(&m, a->name, a->owner.uid, a->owner.gid, &list) < 0 || manifest_set_stamp(&m, &db) < 0)
                return report_memory();
        if (!a->force) {
                r = check_current(&g, &m);
                if (r != 0)
                        return r < 0 ? r : 0;
        }

        r = package_db_load(&db);
        if (r == 0)
                r = packages_choose(&db, &list);
        if (r < 0)
                return r;
        if (manifest_set_packages(&m, &db) < 0)
                return report_memory();
        if (!a->force) {
                r = check_current(&g, &m);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        r = source_open(a->root, &source);
        return r < 0 ? r : build(&g, a, &source, &db, &m);
}

int main(int argc, char **argv) {
        const struct sigaction stop = { .sa_handler = on_signal };
        Arguments a;

        int r = parse_arguments(argc, argv, &a);
        if (r != 0)
                return r < 0 ? 2 : EXIT_SUCCESS;
        (void) umask(0077); /* every mode is set by hand */
        (void) sigaction(SIGINT, &stop, NULL);
        (void) sigaction(SIGTERM, &stop, NULL);
        return run(&a) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
