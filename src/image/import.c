/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/import.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "image/confine.h"
#include "image/finish.h"
#include "image/generation.h"
#include "image/home.h"
#include "image/report.h"

#define NUMBERS_BEGIN 1767225600U /* 2026-01-01, in seconds since 1970 */
#define RESULT_MAX (IMAGE_CONFIG_MAX + IMAGE_REFERENCE_MAX + 128)

/* An import under way. */
typedef struct Import {
        const ImportOptions *options;
        const char *path;
        Owner owner;
        int source;         /* owned: the file or folder */
        int unpacked;       /* owned: what the file was compressed from, or -EBADF */
        int root;           /* owned: of the image */
        int home;           /* owned: archive of its user's home folder */
        int broker[2];      /* owned: the reader's end is the second */
        int result[2];      /* owned: a pipe */
        char *text;         /* owned: what the reader told */
        Generations work;   /* where it is built */
        Generations target; /* where it will be */
} Import;

#define IMPORT_INIT                                                                                                    \
        { .source = -EBADF, .unpacked = -EBADF, .root = -EBADF, .home = -EBADF, .broker = { -EBADF, -EBADF },                          \
          .result = { -EBADF, -EBADF }, .work = { .fd = -EBADF, .work_fd = -EBADF },                                   \
          .target = { .fd = -EBADF, .work_fd = -EBADF } }

static void import_done(Import *i) {
        generations_done(&i->target);
        generations_done(&i->work);
        (void) fd_close(i->source);
        (void) fd_close(i->unpacked);
        (void) fd_close(i->root);
        (void) fd_close(i->home);
        fds_close(i->broker, 2);
        fds_close(i->result, 2);
        free(i->text);
}

/* --- the reader: a process that has nothing but what is open --- */

static int pack_home(Import *i) {
        int r = home_pack(i->root, i->home);

        if (r == -EFBIG)
                return report(r, "the image has more than %u files or 64 MiB in " SANDBOX_HOME
                                 ", which is each sandbox's own: put them elsewhere",
                        HOME_ENTRIES_MAX);
        return r < 0 ? report_write(r, i->options->images) : 0;
}

static int read_image(Import *i) {
        _cleanup_(tree_writer_done) TreeWriter w = { .root_fd = i->root, .folder_fd = -EBADF, .uid = (uid_t) -1, .gid = (gid_t) -1 };
        Apply a = { .writer = &w, .bytes_max = i->options->bytes_max, .entries_max = i->options->files_max };
        Bundle b = { .file = i->unpacked >= 0 ? i->unpacked : i->source, .broker = i->broker[1] };
        _cleanup_(plan_done) Plan plan = { 0 };
        _cleanup_free_ char *config = NULL;
        char head[IMAGE_REFERENCE_MAX + 128];

        int r = 0;
        if (i->unpacked >= 0) {
                r = bundle_unpack(i->source, i->unpacked, i->options->bytes_max);
                if (r < 0)
                        return r == -EFBIG     ? report(r, "%s: longer than --max-size allows", i->path)
                               : r == -EBADMSG ? report(r, "%s: the compressed file is damaged", i->path)
                                               : report_write(r, i->options->images);
        }
        r = plan_read(&b, i->options->wanted, &plan);
        if (r == 0)
                r = apply_layers(&a, &b, &plan);
        if (r == 0)
                r = finish_tree(&w, &plan);
        if (r == 0)
                r = finish_config(&plan, &a, &config);
        if (r == 0)
                r = pack_home(i);
        if (r != 0)
                return r;
        (void) snprintf(head, sizeof head, "%s\n%zu %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", plan.name, w.n_files,
                a.bytes, a.n_special, a.n_setid);
        r = tree_write(i->result[1], head, strlen(head));
        return r == 0 ? tree_write(i->result[1], config, strlen(config)) : r;
}

static _noreturn_ void be_reader(Import *i) {
        const char *what;

        i->broker[0] = fd_close(i->broker[0]);
        i->result[0] = fd_close(i->result[0]);
        /* a folder that is open is a way out of any root, and these lie outside */
        i->work.fd = fd_close(i->work.fd);
        if (i->broker[1] >= 0)
                i->source = fd_close(i->source);
        int r = confine_reader(&i->owner, i->work.work_fd, &what);
        if (r < 0)
                (void) report(r, "the archive cannot be read safely here: %s: %s", what, strerror(-r));
        else
                r = read_image(i);
        _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* --- the other side --- */

static int take_result(Import *i) {
        size_t used = 0;

        i->text = malloc(RESULT_MAX + 1);
        if (!i->text)
                return report_memory();
        for (;;) {
                struct pollfd wait[] = { { .fd = i->result[0], .events = POLLIN }, { .fd = i->broker[0], .events = POLLIN } };
                if (*i->options->stop)
                        return report(EINTR, "stopped by a signal, nothing is left behind");
                if (poll(wait, 2, -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return report(errno, "waiting: %s", strerror(errno));
                }
                if (wait[1].revents && bundle_serve(i->broker[0], i->source) != 0)
                        i->broker[0] = fd_close(i->broker[0]);
                if (!wait[0].revents)
                        continue;
                ssize_t n = read(i->result[0], i->text + used, RESULT_MAX - used);
                if (n <= 0)
                        break;
                used += (size_t) n;
        }
        i->text[used] = '\0';
        return 0;
}

static int wait_for(pid_t pid) {
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return report(errno, "waiting: %s", strerror(errno));
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        return WIFSIGNALED(status) ? report(EIO, "reading the archive ended with signal %d", WTERMSIG(status)) : -EIO;
}

static int run_reader(Import *i, bool folder) {
        if (pipe2(i->result, O_CLOEXEC) < 0 ||
                (folder && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, i->broker) < 0))
                return report(errno, "%s", strerror(errno));
        (void) fflush(stdout);
        pid_t pid = fork();
        if (pid < 0)
                return report(errno, "cannot start a process: %s", strerror(errno));
        if (pid == 0)
                be_reader(i);
        i->result[1] = fd_close(i->result[1]);
        i->broker[1] = fd_close(i->broker[1]);
        int r = take_result(i);
        if (r < 0)
                (void) kill(pid, SIGKILL);
        int k = wait_for(pid);
        return r < 0 ? r : k;
}

/* Images belong to whoever the one that is there belongs to. */
static int find_owner(Import *i) {
        struct stat st;

        if (i->options->owner_given) {
                i->owner = i->options->owner;
                return 0;
        }
        if (fstatat(i->work.fd, "base/rootfs", &st, 0) == 0) {
                i->owner = (Owner){ .uid = st.st_uid, .gid = st.st_gid };
                return 0;
        }
        return owner_default(&i->owner);
}

static int make_root(Import *i) {
        if (mkdirat(i->work.work_fd, "rootfs", 0700) < 0)
                return report_write(errno, i->options->images);
        i->root = openat(i->work.work_fd, "rootfs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (i->root < 0)
                return report_write(errno, i->options->images);
        if (fchown(i->root, i->owner.uid, i->owner.gid) < 0 || fchmod(i->root, 0755) < 0)
                return report(errno, "%s: files cannot be given to owner %u:%u: %s: run as root", i->options->images,
                        i->owner.uid, i->owner.gid, strerror(errno));
        i->home = openat(i->work.work_fd, IMAGE_FILES_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        return i->home < 0 ? report_write(errno, i->options->images) : 0;
}

/* Kept if there is something in it: who opens it reads it as a whole. */
static int settle_home(Import *i) {
        struct stat st;

        if (fstat(i->home, &st) < 0 ||
                (st.st_size == 0 ? unlinkat(i->work.work_fd, IMAGE_FILES_NAME, 0) : fchmod(i->home, 0644)) < 0)
                return report_write(errno, i->options->images);
        return 0;
}

static int open_source(Import *i, bool *ret_folder) {
        struct stat st;

        i->source = open(i->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (i->source < 0 || fstat(i->source, &st) < 0)
                return report(errno, "%s: %s", i->path, strerror(errno));
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return report(EINVAL, "%s: neither a file nor a folder", i->path);
        *ret_folder = S_ISDIR(st.st_mode);
        if (*ret_folder || !bundle_is_packed(i->source))
                return 0;
        i->unpacked = openat(i->work.work_fd, "unpacked", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (i->unpacked < 0 || unlinkat(i->work.work_fd, "unpacked", 0) < 0)
                return report_write(errno, i->options->images);
        return 0;
}

/* What the reader says is as little to be trusted as what it read. */
static int publish(Import *i, usec_t start) {
        char *counts = strchr(i->text, '\n'), *config = counts ? strchr(counts + 1, '\n') : NULL;
        char folder[IMAGE_FOLDER_MAX];
        uint64_t n_files, bytes, n_special, n_setid;

        if (!config || sscanf(counts, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &n_files, &bytes, &n_special,
                               &n_setid) != 4)
                return report(EIO, "reading the archive gave no result");
        *counts = '\0';
        config++;
        const char *name = i->options->name ? i->options->name : i->text;
        if (!*name)
                return report(EINVAL, "the image has no name where it comes from: give it one with --name");
        int r = image_folder(name, folder);
        if (r < 0)
                return report(r, "\"%.100s\" is no name that an image can have: give it another with --name", name);
        r = generation_write(i->work.work_fd, IMAGE_CONFIG_NAME, config);
        if (r < 0)
                return report_write(r, i->options->images);
        r = settle_home(i);
        if (r < 0)
                return r;
        r = generations_open(i->options->images, folder, true, &i->target);
        if (r > 0)
                return report(EEXIST, "%s/%s: not made by this program: move it away, or give another --name",
                        i->options->images, folder);
        if (r < 0)
                return r;
        /* after a removal the folder of before does not come again: workers take a folder for what it was */
        if (i->target.newest == 0)
                i->target.newest = (unsigned) (clock_realtime() / (USEC_PER_SEC / 4) - UINT64_C(4) * NUMBERS_BEGIN);
        generations_take_over(&i->target, &i->work);
        r = generations_publish(&i->target);
        if (r < 0)
                return r;
        if (n_special > 0)
                (void) report(0, "%" PRIu64 " devices, FIFOs and sockets were left out", n_special);
        if (n_setid > 0)
                (void) report(0, "%" PRIu64 " files lost their set-id bits", n_setid);
        (void) printf("%s: %" PRIu64 " files, %.1f MB, %.2f s, %s/%s-%u\n", name, n_files, (double) bytes / 1e6,
                (double) (clock_monotonic() - start) / (double) USEC_PER_SEC, i->options->images, folder,
                i->target.current);
        return 0;
}

int import_run(const ImportOptions *o, const char *path) {
        _cleanup_(import_done) Import i = IMPORT_INIT;
        usec_t start = clock_monotonic();
        char folder[IMAGE_FOLDER_MAX];
        bool is_folder;

        i.options = o;
        i.path = path;
        if (o->name && image_folder(o->name, folder) < 0)
                return report(EINVAL, "--name %.100s: no name that an image can have: letters, digits, \".\", \"_\", \"-\" "
                                      "and \"/\", with \":TAG\" at the end, together at most %u characters",
                        o->name, IMAGE_FOLDER_MAX - 1);
        int r = generations_open(o->images, IMPORT_WORK_NAME, true, &i.work);
        if (r >= 0)
                r = generations_begin(&i.work);
        if (r < 0)
                return r;
        generations_drop_gone(&i.work);
        generations_unlock(&i.work);
        r = find_owner(&i);
        if (r == 0)
                r = make_root(&i);
        if (r == 0)
                r = open_source(&i, &is_folder);
        if (r == 0)
                r = run_reader(&i, is_folder);
        return r < 0 ? r : publish(&i, start);
}
