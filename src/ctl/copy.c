/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "ctl/ctl.h"
#include "ctl/interrupt.h"
#include "ctl/problem.h"
#include "ctl/reader.h"
#include "ctl/terminal.h"
#include "ctl/tree.h"

/* cp: files and folders between this machine and a session. As with cp -r, what is copied to a folder that exists goes
 * into it, under its own name. */

typedef struct Side {
        char *id;         /* owned: of the session, NULL: on this machine */
        const char *path; /* borrowed */
} Side;

typedef struct Copy {
        Ctl *ctl;
        int fd;          /* borrowed: that is read from or written to */
        bool has_failed; /* here, which has been told */
        uint64_t bytes;
} Copy;

/* --- names --- */

/* "ID:PATH"; what has a slash before the colon is a file here. */
static Side parse_side(const char *text) {
        const char *colon = strchr(text, ':');
        Side s = { .path = text };

        if (!colon)
                return s;
        _cleanup_free_ char *id = xasprintf("%.*s", (int) (colon - text), text);
        if (id_is_valid(id)) {
                s.id = take_ptr(id);
                s.path = colon[1] ? colon + 1 : "."; /* the home folder */
        }
        return s;
}

/* The last part of a path, without slashes after it; "" for what names no more than a folder: "/", ".", "..", "x/.". */
static char *last_part(const char *path) {
        size_t n = strlen(path), start;

        while (n > 0 && path[n - 1] == '/')
                n--;
        for (start = n; start > 0 && path[start - 1] != '/'; start--)
                ;
        if ((n - start == 1 && path[start] == '.') || (n - start == 2 && memcmp(path + start, "..", 2) == 0))
                return xstrdup("");
        return xasprintf("%.*s", (int) (n - start), path + start);
}

static char *join(const char *folder, const char *name) {
        size_t n = strlen(folder);

        return xasprintf("%s%s%s", folder, n > 0 && folder[n - 1] == '/' ? "" : "/", name);
}

static char *make_path(const Side *s, const char *route, const char *path, const char *more) {
        _cleanup_free_ char *escaped = client_escape(path);

        return xasprintf("/v1/sessions/%s/%s?path=%s%s", s->id, route, escaped, more);
}

/* Says that something here failed. Returns -errno. */
static int fail(const char *path, int error) {
        _cleanup_free_ char *safe = terminal_escape_string(path);

        print_error("%s: %s", safe, strerror(error));
        return -error;
}

/* --- what is there --- */

typedef enum Kind { NOTHING, A_FILE, A_FOLDER } Kind;

/* Returns 0 or -errno after an error was printed. */
static int look_remote(Ctl *ctl, const Side *s, Kind *ret) {
        _cleanup_free_ char *path = make_path(s, "stat", s->path, "");
        _cleanup_answer_ Answer a = { 0 };

        int r = ctl_try(ctl, &(Call){ .method = "GET", .path = path }, &a);
        if (r < 0)
                return r;
        /* an unknown session has no path that is missing */
        if (a.status == 404 && json_is_string(json_object_get(a.json, "field")) &&
                strcmp(json_string_value(json_object_get(a.json, "field")), "path") == 0) {
                *ret = NOTHING;
                return 0;
        }
        if (a.status != 200) {
                _cleanup_free_ char *text = problem_text(&a);
                print_error("%s", text);
                return -EREMOTEIO;
        }
        Reader reader = reader_open(a.json);
        const char *type = reader_text(&reader, "type", REQUIRED);
        if (reader_finish(&reader, "file") < 0)
                return -EPROTO;
        *ret = strcmp(type, "directory") == 0 ? A_FOLDER : A_FILE;
        return 0;
}

/* --- to a session --- */

static ssize_t on_give(char *buf, size_t size, void *userdata) {
        Copy *c = userdata;
        ssize_t n;

        do
                n = read(c->fd, buf, size);
        while (n < 0 && errno == EINTR && interrupt_count() == 0);
        if (n < 0)
                c->has_failed = true;
        return n < 0 ? fail("Reading", errno) : n;
}

static int put(Copy *c, const Side *to, const char *route, const char *path, const char *more, int64_t length) {
        _cleanup_free_ char *target = make_path(to, route, path, more);
        _cleanup_json_ json_t *answer = NULL;

        int r = ctl_call(c->ctl,
                &(Call){
                        .method = "PUT",
                        .path = target,
                        .timeout = USEC_INFINITY,
                        .give = on_give,
                        .length = length,
                        .userdata = c,
                },
                &answer);
        if (r == 0 && c->ctl->options.json)
                print_json(answer);
        return r;
}

static int put_file(Copy *c, int fd, const struct stat *st, const Side *to, const char *path) {
        bool regular = S_ISREG(st->st_mode);
        char mode[16] = "";

        c->fd = fd;
        if (regular)
                (void) snprintf(mode, sizeof mode, "&mode=%04o", st->st_mode & 0777);
        return put(c, to, "files", path, mode, regular ? (int64_t) st->st_size : -1);
}

static int put_folder(Copy *c, const char *from, const Side *to, const char *path) {
        TreeChild child;

        int r = tree_pack(from, &child);
        if (r < 0)
                return fail(from, -r);
        c->fd = child.fd;
        r = put(c, to, "archive", path, "", -1);
        int k = tree_finish(&child, r < 0);
        return r < 0 ? r : k;
}

static int upload(Copy *c, const char *from, const Side *to) {
        _cleanup_free_ char *name = last_part(from), *inside = NULL;
        bool standard = strcmp(from, "-") == 0;
        Kind kind;
        struct stat st;

        _cleanup_fd_ int fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(from, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return fail(from, errno);
        int r = look_remote(c->ctl, to, &kind);
        if (r < 0)
                return r;
        bool into = kind == A_FOLDER || (kind == NOTHING && to->path[strlen(to->path) - 1] == '/');
        if (standard && into) {
                print_error("Name the file that standard input is copied to");
                return -EISDIR;
        }
        if (S_ISDIR(st.st_mode) && kind == A_FILE)
                return fail(to->path, ENOTDIR);
        const char *path = into &&*name ? inside = join(to->path, name) : to->path;
        return S_ISDIR(st.st_mode) ? put_folder(c, from, to, path) : put_file(c, fd, &st, to, path);
}

/* --- from a session --- */

static int on_take(const char *data, size_t size, void *userdata) {
        Copy *c = userdata;

        c->bytes += size;
        while (size > 0) {
                ssize_t n = write(c->fd, data, size);
                if (n < 0 && errno == EINTR && interrupt_count() == 0)
                        continue;
                if (n < 0) {
                        c->has_failed = true;
                        return fail("Writing", errno);
                }
                data += n;
                size -= (size_t) n;
        }
        return 0;
}

static int get(Copy *c, const Side *from, const char *route, unsigned *ret_mode) {
        _cleanup_free_ char *path = make_path(from, route, from->path, "");
        _cleanup_answer_ Answer a = { 0 };

        int r = ctl_try(c->ctl,
                &(Call){
                        .method = "GET",
                        .path = path,
                        .accept = "*/*",
                        .timeout = USEC_INFINITY,
                        .take = on_take,
                        .userdata = c,
                },
                &a);
        if (r < 0)
                return r;
        if (a.status != 200) {
                _cleanup_free_ char *text = problem_text(&a);
                print_error("%s", text);
                return -EREMOTEIO;
        }
        *ret_mode = a.file_mode ? a.file_mode : 0644;
        return 0;
}

/* Something that is not replaced but written to: a device, a pipe. */
static int get_to(Copy *c, const Side *from, int fd) {
        unsigned mode;

        c->fd = fd;
        return get(c, from, "files", &mode);
}

/* The file appears when it is complete. */
static int get_file(Copy *c, const Side *from, const char *path, const struct stat *existing) {
        _cleanup_free_ char *temporary = xasprintf("%s.XXXXXX", path);
        mode_t mask = umask(0);
        unsigned mode = 0;

        (void) umask(mask);
        _cleanup_fd_ int fd = mkostemp(temporary, O_CLOEXEC);
        if (fd < 0)
                return fail(path, errno);
        c->fd = fd;
        int r = get(c, from, "files", &mode);
        mode_t final = existing ? existing->st_mode & 0777 : mode & ~mask & 0777;
        if (r == 0 && (fchmod(fd, final) < 0 || rename(temporary, path) < 0))
                r = fail(path, errno);
        if (r < 0)
                (void) unlink(temporary);
        return r;
}

static int get_folder(Copy *c, const Side *from, const char *path) {
        TreeChild child;
        unsigned mode;

        if (mkdir(path, 0777) < 0 && errno != EEXIST)
                return fail(path, errno);
        int r = tree_unpack(path, &child);
        if (r < 0)
                return fail(path, -r);
        c->fd = child.fd;
        r = get(c, from, "archive", &mode);
        int k = tree_finish(&child, r < 0 && !c->has_failed);
        return r < 0 ? r : k;
}

static int download(Copy *c, const Side *from, const char *to) {
        _cleanup_free_ char *name = last_part(from->path), *inside = NULL;
        struct stat st;
        Kind kind;

        int r = look_remote(c->ctl, from, &kind);
        if (r < 0)
                return r;
        if (kind == NOTHING)
                return fail(from->path, ENOENT);
        if (strcmp(to, "-") == 0) {
                if (kind == A_FOLDER)
                        return fail(from->path, EISDIR);
                return get_to(c, from, STDOUT_FILENO);
        }
        bool there = stat(to, &st) == 0;
        if (there && S_ISDIR(st.st_mode) && *name) {
                to = inside = join(to, name);
                there = stat(to, &st) == 0;
        }
        if (kind == A_FOLDER)
                return there && !S_ISDIR(st.st_mode) ? fail(to, ENOTDIR) : get_folder(c, from, to);
        if (there && S_ISDIR(st.st_mode))
                return fail(to, EISDIR);
        if (!there || S_ISREG(st.st_mode))
                return get_file(c, from, to, there ? &st : NULL);
        _cleanup_fd_ int fd = open(to, O_WRONLY | O_CLOEXEC);
        return fd < 0 ? fail(to, errno) : get_to(c, from, fd);
}

int command_copy(Ctl *ctl, int argc, char **argv) {
        Side from = parse_side(argv[0]), to = parse_side(argv[1]);
        Copy c = { .ctl = ctl, .fd = -EBADF };
        int r = -EINVAL;

        (void) argc; /* two, by the table */
        if (!from.id == !to.id)
                print_error("One of the two has to be in a session, as ID:PATH; %s",
                        from.id ? "to copy between sessions, copy to this machine first"
                                : "a file here whose name has a colon is given as ./NAME");
        else if (interrupt_catch() == 0)
                r = to.id ? upload(&c, from.path, &to) : download(&c, &from, to.path);
        if (r == 0 && from.id && ctl->options.json) {
                _cleanup_json_ json_t *j = json_pack("{s:I}", "bytes", (json_int_t) c.bytes);
                print_json(j);
        }
        free(from.id);
        free(to.id);
        return r == 0 ? 0 : r == -EINVAL ? STATUS_USAGE : STATUS_FAILED;
}
