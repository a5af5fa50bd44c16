/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/paths.h"
#include "image/tree.h"

/* A folder with "from" (the source), "to" (the tree that is written) and "outside" (nobody's business). */
typedef struct Place {
        char path[64];
        int fd;
        Source source;
        TreeWriter w;
        int to_fd;
} Place;

static int place_make(void **state) {
        Place *p = calloc(1, sizeof *p);
        char from[96];

        if (!p)
                return -1;
        (void) strcpy(p->path, "/tmp/test-image-XXXXXX");
        if (!mkdtemp(p->path))
                return -1;
        p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mkdirat(p->fd, "from", 0755) < 0 || mkdirat(p->fd, "to", 0755) < 0 || mkdirat(p->fd, "outside", 0755) < 0)
                return -1;
        p->to_fd = openat(p->fd, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        p->w = (TreeWriter){ .root_fd = p->to_fd, .uid = getuid(), .gid = getgid(), .folder_fd = -EBADF };
        (void) strcat(strcpy(from, p->path), "/from");
        *state = p;
        return source_open(from, &p->source);
}

static int place_drop(void **state) {
        Place *p = *state;

        tree_writer_done(&p->w);
        source_done(&p->source);
        (void) close(p->to_fd);
        int r = tree_remove(AT_FDCWD, p->path);
        (void) close(p->fd);
        free(p);
        return r;
}

/* In the place: makes a file with its name as content, and the folders above. */
static void make_file(const Place *p, const char *path, mode_t mode) {
        char folder[256];

        for (const char *s = strchr(path, '/'); s; s = strchr(s + 1, '/')) {
                *(char *) mempcpy(folder, path, (size_t) (s - path)) = '\0';
                (void) mkdirat(p->fd, folder, 0755);
        }
        int fd = openat(p->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, path, strlen(path)), strlen(path));
        assert_int_equal(fchmod(fd, mode), 0);
        assert_int_equal(close(fd), 0);
}

static struct stat state_of(const Place *p, const char *path) {
        struct stat st;

        assert_int_equal(fstatat(p->fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
        return st;
}

static bool is_there(const Place *p, const char *path) {
        struct stat st;

        return fstatat(p->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void copies_content_and_time(void **state) {
        Place *p = *state;
        const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1234567890, .tv_nsec = 5000 } };
        char text[64];

        make_file(p, "from/usr/bin/tool", 0755);
        assert_int_equal(utimensat(p->fd, "from/usr/bin/tool", times, 0), 0);
        assert_int_equal(tree_copy(&p->w, &p->source, "usr/bin/tool"), 0);
        assert_int_equal(file_read(p->to_fd, "usr/bin/tool", text, sizeof text), (int) strlen("from/usr/bin/tool"));
        assert_string_equal(text, "from/usr/bin/tool");
        assert_int_equal(state_of(p, "to/usr/bin/tool").st_mtim.tv_sec, 1234567890);
        assert_int_equal(state_of(p, "to/usr/bin/tool").st_mtim.tv_nsec, 5000);
        assert_int_equal(p->w.n_files, 1);
        assert_int_equal(p->w.bytes, strlen(text));
}

static void copies_without_the_kernels_help(void **state) {
        Place *p = *state;
        char text[64];

        make_file(p, "from/a", 0644);
        p->w.no_clone = true;
        assert_int_equal(tree_copy(&p->w, &p->source, "a"), 0);
        assert_int_equal(file_read(p->to_fd, "a", text, sizeof text), 6);
        assert_string_equal(text, "from/a");
}

static void modes_are_normal(void **state) {
        Place *p = *state;
        static const struct {
                mode_t from, to;
        } modes[] = { { 04755, 0755 }, { 02755, 0755 }, { 06711 | 04, 0755 }, { 0666, 0644 }, { 0777, 0755 },
                { 0444, 0644 } };

        for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
                char path[] = "from/x0";

                path[6] = (char) ('0' + i);
                make_file(p, path, modes[i].from);
                assert_int_equal(tree_copy(&p->w, &p->source, path + 5), 0);
                (void) memcpy(path, "./to", 4); /* "./to/x0" */
                assert_int_equal(state_of(p, path).st_mode & 07777, modes[i].to);
        }
}

static void folders_have_own_modes(void **state) {
        Place *p = *state;

        assert_int_equal(mkdirat(p->fd, "from/d", 0755), 0);
        assert_int_equal(fchmodat(p->fd, "from/d", 03777, 0), 0);
        assert_int_equal(tree_copy(&p->w, &p->source, "d"), 0);
        assert_int_equal(state_of(p, "to/d").st_mode & 07777, 0755);
        assert_int_equal(tree_folder(&p->w, "var/tmp", 01777), 0);
        assert_int_equal(state_of(p, "to/var").st_mode & 07777, 0755);
        assert_int_equal(state_of(p, "to/var/tmp").st_mode & 07777, 01777);
}

static void hard_links_become_files_of_their_own(void **state) {
        Place *p = *state;

        make_file(p, "from/a", 0644);
        assert_int_equal(linkat(p->fd, "from/a", p->fd, "from/b", 0), 0);
        assert_int_equal(tree_copy(&p->w, &p->source, "a"), 0);
        assert_int_equal(tree_copy(&p->w, &p->source, "b"), 0);
        assert_int_equal(state_of(p, "to/a").st_nlink, 1);
        assert_true(state_of(p, "to/a").st_ino != state_of(p, "to/b").st_ino);
        assert_true(state_of(p, "to/a").st_ino != state_of(p, "from/a").st_ino);
}

static void attributes_are_dropped(void **state) {
        Place *p = *state;
        char from[128], to[128], list[64];

        make_file(p, "from/a", 0644);
        (void) strcat(strcpy(from, p->path), "/from/a");
        (void) strcat(strcpy(to, p->path), "/to/a");
        if (setxattr(from, "user.secret", "x", 1, 0) < 0)
                skip();
        assert_int_equal(tree_copy(&p->w, &p->source, "a"), 0);
        assert_null(memmem(list, (size_t) MAX(listxattr(to, list, sizeof list), 0), "user.secret", 11));
}

static void links_are_copied_as_they_are(void **state) {
        Place *p = *state;
        char target[64] = "";

        make_file(p, "outside/secret", 0644);
        assert_int_equal(symlinkat("../outside/secret", p->fd, "from/a"), 0);
        assert_int_equal(tree_copy(&p->w, &p->source, "a"), 0);
        assert_true(readlinkat(p->to_fd, "a", target, sizeof target - 1) > 0);
        assert_string_equal(target, "../outside/secret");
}

static void links_are_never_written_through(void **state) {
        Place *p = *state;

        make_file(p, "outside/file", 0644);
        make_file(p, "from/escape/file", 0644);
        make_file(p, "from/escape/new", 0644);
        make_file(p, "from/name", 0644);
        assert_int_equal(symlinkat("../outside", p->to_fd, "escape"), 0);
        assert_int_equal(symlinkat("../outside/made", p->to_fd, "name"), 0);

        assert_true(tree_copy(&p->w, &p->source, "escape/new") < 0);
        assert_true(tree_copy(&p->w, &p->source, "escape/file") < 0);
        assert_int_equal(tree_copy(&p->w, &p->source, "name"), -EEXIST);
        assert_int_equal(tree_file(&p->w, "name", "x"), -EEXIST);
        assert_true(tree_folder(&p->w, "escape/d", 0755) < 0);
        assert_true(tree_link(&p->w, "escape/l", "x") < 0);
        assert_false(is_there(p, "outside/new"));
        assert_false(is_there(p, "outside/made"));
        assert_false(is_there(p, "outside/d"));
        assert_int_equal(state_of(p, "outside/file").st_size, strlen("outside/file"));
}

static void paths_do_not_climb(void **state) {
        Place *p = *state;

        assert_int_equal(tree_file(&p->w, "../outside/x", "x"), -EINVAL);
        assert_int_equal(tree_file(&p->w, "a/../../outside/x", "x"), -EINVAL);
        assert_int_equal(tree_file(&p->w, "a//b/x", "x"), -EINVAL);
        assert_false(is_there(p, "outside/x"));
}

static void odd_names(void **state) {
        Place *p = *state;
        static const char *const names[] = {
                "with space",
                "new\nline",
                "-rf",
                "\xff\xfe",
                "...",
                "a\\b",
                "*",
                "\"'",
                "%s%n",
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char path[64];

                (void) strcat(strcpy(path, "from/odd/"), names[i]);
                make_file(p, path, 0644);
                assert_int_equal(tree_copy(&p->w, &p->source, path + 5), 0);
                (void) strcat(strcpy(path, "to/odd/"), names[i]);
                assert_true(S_ISREG(state_of(p, path).st_mode));
        }
}

static void other_kinds_and_missing_ones_are_left_out(void **state) {
        Place *p = *state;

        assert_int_equal(mkfifoat(p->fd, "from/pipe", 0644), 0);
        assert_int_equal(tree_copy(&p->w, &p->source, "pipe"), 0);
        assert_int_equal(tree_copy(&p->w, &p->source, "missing"), 0);
        assert_int_equal(tree_copy(&p->w, &p->source, "no/folder/missing"), 0);
        assert_false(is_there(p, "to/pipe"));
        assert_int_equal(p->w.n_files, 0);
}

static void what_users_cannot_read_is_left_out(void **state) {
        Place *p = *state;

        make_file(p, "from/secret", 0640);
        make_file(p, "from/__pycache__/a.cpython-311.pyc", 0600);
        assert_int_equal(tree_copy(&p->w, &p->source, "secret"), 0);
        assert_int_equal(tree_copy(&p->w, &p->source, "__pycache__/a.cpython-311.pyc"), 0);
        assert_false(is_there(p, "to/secret"));
        assert_int_equal(state_of(p, "to/__pycache__/a.cpython-311.pyc").st_mode & 0777, 0644);
        assert_int_equal(p->w.n_unreadable, 1);
}

static void a_signal_ends_the_copy(void **state) {
        Place *p = *state;
        volatile sig_atomic_t stop = 1;

        make_file(p, "from/a", 0644);
        p->w.stop = &stop;
        assert_int_equal(tree_copy(&p->w, &p->source, "a"), -EINTR);
        assert_false(is_there(p, "to/a"));
}

static void removing_does_not_follow_links(void **state) {
        Place *p = *state;

        make_file(p, "outside/keep", 0644);
        make_file(p, "to/a/b/c", 0644);
        assert_int_equal(symlinkat("../../outside", p->fd, "to/a/link"), 0);
        assert_int_equal(tree_remove(p->to_fd, "a"), 0);
        assert_int_equal(tree_remove(p->to_fd, "a"), 0);
        assert_false(is_there(p, "to/a"));
        assert_true(is_there(p, "outside/keep"));
}

static void wanted_paths(_unused_ void **state) {
        static const char *const wanted[] = {
                "usr/bin/sh",
                "bin/sh",
                "usr/lib/x86_64-linux-gnu/libc.so.6",
                "lib64/ld-linux-x86-64.so.2",
                "usr/share/ca-certificates/mozilla/a.crt",
                "usr/share/zoneinfo/Etc/UTC",
                "etc/alternatives/awk",
                "etc/ssl/certs/ca-certificates.crt",
                "etc/ld.so.conf.d/libc.conf",
                "etc/python3.11/sitecustomize.py",
                "usr/share/manifest",
                "usr/lib/systemdless",
        };
        static const char *const unwanted[] = {
                "",
                "etc",
                "etc/passwd",
                "etc/shadow",
                "etc/hostname",
                "etc/ssl/private/key.pem",
                "etc/ssh/ssh_host_rsa_key",
                "etc/machine-id",
                "etc/ld.so.conf.dx",
                "usr/share/doc/bash/README",
                "usr/share/man",
                "usr/share/locale/de",
                "usr/lib/systemd/system/a.service",
                "lib/systemd/system/a.service",
                "lib/modules/6.1/a.ko",
                "usr/lib/firmware/a",
                "usr/local/bin/x",
                "var/lib/x",
                "boot/vmlinuz",
                "opt/x",
                "usrx/a",
                "home/a",
                "usr/share/zoneinfo/right/UTC",
        };

        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                if (!path_is_wanted(wanted[i]))
                        fail_msg("%s is not wanted", wanted[i]);
        for (size_t i = 0; i < ELEMENTSOF(unwanted); i++)
                if (path_is_wanted(unwanted[i]))
                        fail_msg("%s is wanted", unwanted[i]);
}

static void links_in_folders_are_resolved(void **state) {
        Place *p = *state;
        char path[PATH_MAX];

        make_file(p, "from/usr/bin/sh", 0755);
        assert_int_equal(symlinkat("usr/bin", p->fd, "from/bin"), 0);
        assert_int_equal(symlinkat("/usr", p->fd, "from/absolute"), 0);
        assert_int_equal(symlinkat("../outside", p->fd, "from/escape"), 0);
        assert_int_equal(source_locate(&p->source, "/bin/sh", path), 0);
        assert_string_equal(path, "usr/bin/sh");
        assert_int_equal(source_locate(&p->source, "absolute/bin/sh", path), 0);
        assert_string_equal(path, "usr/bin/sh");
        assert_int_equal(source_locate(&p->source, "/etc", path), 0);
        assert_string_equal(path, "etc");
        assert_int_equal(source_locate(&p->source, "escape/x", path), -ENOENT);
        assert_int_equal(source_locate(&p->source, "/usr/bin/..", path), -EINVAL);
        assert_int_equal(source_locate(&p->source, "/", path), -EINVAL);
}

static void own(Strings *paths, const char *path) {
        assert_int_equal(strings_add(paths, strdup(path)), 0);
        strings_sort_unique(paths);
}

static void links_to_what_is_taken_are_taken(void **state) {
        Place *p = *state;
        _cleanup_(strings_done_all) Strings paths = {};

        make_file(p, "from/usr/bin/mawk", 0755);
        make_file(p, "from/usr/bin/vim", 0755);
        make_file(p, "from/etc/alternatives/README", 0644);
        assert_int_equal(symlinkat("/usr/bin/mawk", p->fd, "from/etc/alternatives/awk"), 0);
        assert_int_equal(symlinkat("/usr/bin/vim", p->fd, "from/etc/alternatives/editor"), 0);
        assert_int_equal(symlinkat("/etc/alternatives/awk", p->fd, "from/usr/bin/awk"), 0);
        assert_int_equal(symlinkat("/etc/alternatives/editor", p->fd, "from/usr/bin/editor"), 0);
        assert_int_equal(symlinkat("mawk", p->fd, "from/usr/bin/own"), 0);
        own(&paths, "usr/bin/mawk");
        assert_int_equal(paths_add_links(&paths, &p->source, "etc/alternatives"), 0);
        assert_int_equal(paths_add_links(&paths, &p->source, "usr/bin"), 0);
        assert_int_equal(paths_add_links(&paths, &p->source, "not/there"), 0);
        assert_int_equal(paths.n, 4);
        assert_true(strings_contain(&paths, "etc/alternatives/awk"));
        assert_true(strings_contain(&paths, "usr/bin/awk"));
        assert_true(strings_contain(&paths, "usr/bin/own"));
        assert_false(strings_contain(&paths, "usr/bin/editor"));
}

static void compiled_files_of_taken_sources_are_taken(void **state) {
        Place *p = *state;
        _cleanup_(strings_done_all) Strings paths = {};

        make_file(p, "from/usr/lib/p/a.py", 0644);
        make_file(p, "from/usr/lib/p/__pycache__/a.cpython-311.pyc", 0644);
        make_file(p, "from/usr/lib/p/__pycache__/a.cpython-311.opt-1.pyc", 0644);
        make_file(p, "from/usr/lib/p/__pycache__/other.cpython-311.pyc", 0644);
        own(&paths, "usr/lib/p/a.py");
        own(&paths, "usr/lib/none/b.py");
        assert_int_equal(paths_add_compiled(&paths, &p->source), 0);
        assert_int_equal(paths.n, 3);
        assert_true(strings_contain(&paths, "usr/lib/p/__pycache__/a.cpython-311.pyc"));
}

static void paths_of_one_folder_follow_each_other(_unused_ void **state) {
        _cleanup_(strings_done_all) Strings paths = {};
        static const char *const sorted[] = { "a", "x", "d/b", "d/z", "d/c/a", "e/a" };

        for (size_t i = ELEMENTSOF(sorted); i > 0; i--) {
                own(&paths, sorted[i - 1]);
                own(&paths, sorted[i - 1]);
        }
        assert_int_equal(paths.n, ELEMENTSOF(sorted));
        for (size_t i = 0; i < ELEMENTSOF(sorted); i++)
                assert_string_equal(paths.items[i], sorted[i]);
}

#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, place_make, place_drop)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_PLACE(copies_content_and_time),
                WITH_PLACE(copies_without_the_kernels_help),
                WITH_PLACE(modes_are_normal),
                WITH_PLACE(folders_have_own_modes),
                WITH_PLACE(hard_links_become_files_of_their_own),
                WITH_PLACE(attributes_are_dropped),
                WITH_PLACE(links_are_copied_as_they_are),
                WITH_PLACE(links_are_never_written_through),
                WITH_PLACE(paths_do_not_climb),
                WITH_PLACE(odd_names),
                WITH_PLACE(other_kinds_and_missing_ones_are_left_out),
                WITH_PLACE(what_users_cannot_read_is_left_out),
                WITH_PLACE(a_signal_ends_the_copy),
                WITH_PLACE(removing_does_not_follow_links),
                cmocka_unit_test(wanted_paths),
                WITH_PLACE(links_in_folders_are_resolved),
                WITH_PLACE(links_to_what_is_taken_are_taken),
                WITH_PLACE(compiled_files_of_taken_sources_are_taken),
                cmocka_unit_test(paths_of_one_folder_follow_each_other),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
