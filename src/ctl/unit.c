/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <glob.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "ctl/terminal.h"

#define DROPIN_MAX 4096U

bool worker_name_is_valid(const char *name) {
        return id_is_valid(name) && strlen(name) <= WORKER_NAME_MAX && name[0] != '-' && strcmp(name, "images") != 0;
}

/* The socket address of ADDRESS:PORT. */
static int parse_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_size, unsigned *ret_port) {
        const char *colon = strrchr(text, ':');
        _cleanup_free_ char *host = NULL;
        struct sockaddr_storage s = { 0 };
        struct sockaddr_in *v4 = (struct sockaddr_in *) &s;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &s;
        uint64_t port;

        if (!colon || parse_unsigned(colon + 1, &port) < 0 || port < 1 || port > 65535)
                return -EINVAL;
        host = xasprintf("%.*s", (int) (colon - text), text);
        size_t n = strlen(host);
        if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
                host[n - 1] = '\0';
                if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1)
                        return -EINVAL;
                v6->sin6_family = AF_INET6;
                v6->sin6_port = htons((uint16_t) port);
        } else {
                if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
                        return -EINVAL;
                v4->sin_family = AF_INET;
                v4->sin_port = htons((uint16_t) port);
        }
        *ret = s;
        *ret_size = s.ss_family == AF_INET6 ? sizeof *v6 : sizeof *v4;
        *ret_port = (unsigned) port;
        return 0;
}

int listen_parse(const char *text, unsigned *ret_port) {
        struct sockaddr_storage s;
        socklen_t size;

        return parse_address(text, &s, &size, ret_port);
}

int listen_probe(const char *text) {
        _cleanup_fd_ int fd = -EBADF;
        struct sockaddr_storage s;
        socklen_t size;
        unsigned port;
        int one = 1;

        if (parse_address(text, &s, &size, &port) < 0)
                return -EINVAL;
        fd = socket(s.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
                bind(fd, (const struct sockaddr *) &s, size) < 0 || listen(fd, 1) < 0)
                return -errno;
        return 0;
}

/* Calls for the value of each ListenStream= line of a file, until one returns other than 0. */
static int each_listen(const char *path, int (*f)(const char *value, void *userdata), void *userdata) {
        char text[DROPIN_MAX];
        ssize_t n = file_read(AT_FDCWD, path, text, sizeof text);
        char *rest = text, *line;

        if (n < 0)
                return (int) n;
        while ((line = strsep(&rest, "\n"))) {
                line += strspn(line, " \t");
                if (strncmp(line, "ListenStream", 12) != 0)
                        continue;
                line += 12 + strspn(line + 12, " \t");
                if (*line != '=')
                        continue;
                line++;
                line += strspn(line, " \t");
                line[strcspn(line, " \t\r")] = '\0';
                int r = f(line, userdata);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* All addresses of the machine, in one of the ways to say so; @length: of the address. */
static bool is_any(const char *address, size_t length) {
        static const char *const any[] = { "", "0.0.0.0", "[::]" };

        return text_is_one_of(address, length, any, ELEMENTSOF(any));
}

/* 1 if the value is a TCP address, ADDRESS:PORT or PORT alone, that is taken by whoever has @userdata. */
static int meets(const char *value, void *userdata) {
        const char *listen = userdata, *colon = strrchr(value, ':'), *own_colon = strrchr(listen, ':');
        size_t length = colon ? (size_t) (colon - value) : 0, own_length = (size_t) (own_colon - listen);
        uint64_t port, own;

        if (*value == '/' || *value == '@')
                return 0;
        if (parse_unsigned(colon ? colon + 1 : value, &port) < 0 || parse_unsigned(own_colon + 1, &own) < 0 ||
                port != own)
                return 0;
        return is_any(value, length) || is_any(listen, own_length) ||
               (length == own_length && strncmp(value, listen, length) == 0);
}

int unit_find_listen(const char *root, const char *listen, const char *except, char **ret_name) {
        static const char *const folders[] = { "/etc", "/run", "/usr/local/lib", "/usr/lib" };
        int found = 0;

        for (size_t i = 0; i < ELEMENTSOF(folders) && found == 0; i++) {
                _cleanup_free_ char *pattern =
                        xasprintf("%s%s/systemd/system/sandboxd@*.socket.d/*.conf", root, folders[i]);
                glob_t g = { 0 };
                int r = glob(pattern, GLOB_NOSORT, NULL, &g);

                if (r == GLOB_NOSPACE)
                        return -ENOMEM;
                for (size_t k = 0; r == 0 && k < g.gl_pathc && found == 0; k++) {
                        const char *at = strstr(g.gl_pathv[k] + strlen(root), "/sandboxd@") + strlen("/sandboxd@");
                        _cleanup_free_ char *name = xasprintf("%.*s", (int) strcspn(at, "."), at);

                        /* a drop-in that cannot be read is none that could be asked about */
                        if (strcmp(name, except) == 0 || each_listen(g.gl_pathv[k], meets, (char *) listen) != 1)
                                continue;
                        *ret_name = take_ptr(name);
                        found = 1;
                }
                globfree(&g);
        }
        return found;
}

static char *dropin_folder(const char *root, const char *name) {
        return xasprintf("%s/etc/systemd/system/sandboxd@%s.socket.d", root, name);
}

static int keep_first(const char *value, void *userdata) {
        *(char **) userdata = xstrdup(value);
        return 1;
}

int unit_read_listen(const char *root, const char *name, char **ret) {
        _cleanup_free_ char *folder = dropin_folder(root, name), *path = xasprintf("%s/listen.conf", folder);
        int r = each_listen(path, keep_first, ret);

        return r == 0 ? -ENOENT : MIN(r, 0);
}

int unit_write_listen(const char *root, const char *name, const char *listen) {
        _cleanup_free_ char *folder = dropin_folder(root, name), *text = NULL;
        _cleanup_fd_ int dir = -EBADF, fd = -EBADF;
        size_t length;
        int r;

        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return -errno;
        dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (dir < 0)
                return -errno;
        if (unlinkat(dir, "listen.conf.new", 0) < 0 && errno != ENOENT) /* of an attempt that was cut off */
                return -errno;
        fd = openat(dir, "listen.conf.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return -errno;

        text = xasprintf("# Written by sandboxctl worker add.\n[Socket]\nListenStream=%s\n", listen);
        length = strlen(text);
        ssize_t n = write(fd, text, length);
        if (n < 0 || (size_t) n != length)
                r = n < 0 ? -errno : -ENOSPC;
        else if (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || renameat(dir, "listen.conf.new", dir, "listen.conf") < 0)
                r = -errno;
        else
                return fsync(dir) < 0 ? -errno : 0;

        (void) unlinkat(dir, "listen.conf.new", 0); /* the first error counts */
        return r;
}

int unit_remove_listen(const char *root, const char *name) {
        _cleanup_free_ char *folder = dropin_folder(root, name), *path = xasprintf("%s/listen.conf", folder);

        if (unlink(path) < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        (void) rmdir(folder); /* stays when the administrator has more in it */
        return 1;
}

bool systemd_runs(void) {
        return access("/run/systemd/system", F_OK) == 0;
}

/* @out: where its standard output goes. Returns the process id or -errno. */
static int spawn(const char *const *argv, int out) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t set;
        pid_t pid;
        int r;

        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attributes);
        if (r != 0) {
                (void) posix_spawn_file_actions_destroy(&actions);
                return -r;
        }

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGPIPE); /* which we ignore, and it should not */
        r = posix_spawnattr_setsigdefault(&attributes, &set);
        if (r == 0)
                r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawnp(&pid, argv[0], &actions, &attributes, (char *const *) argv, environ);

        (void) posix_spawnattr_destroy(&attributes);
        (void) posix_spawn_file_actions_destroy(&actions);
        return r != 0 ? -r : pid;
}

static int wait_for(pid_t pid) {
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int program_run(const char *const *argv) {
        (void) fflush(stdout); /* an error of it is seen at the end of the program */
        int pid = spawn(argv, STDERR_FILENO);

        return pid < 0 ? pid : wait_for(pid);
}

int program_open(const char *const *argv, FILE **ret, pid_t *ret_pid) {
        _cleanup_fd_ int in = -EBADF, out = -EBADF;
        int fds[2], pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        in = fds[0], out = fds[1];
        FILE *f = fdopen(in, "re");
        if (!f)
                return -errno;
        in = -EBADF;
        pid = spawn(argv, out);
        if (pid < 0) {
                (void) fclose(f);
                return pid;
        }
        *ret = f;
        *ret_pid = pid;
        return 0;
}

int program_wait(pid_t pid) {
        return wait_for(pid);
}

int unit_property(const char *unit, const char *property, char **ret) {
        const char *const argv[] = { "systemctl", "show", "-P", property, unit, NULL };
        _cleanup_fd_ int in = -EBADF, out = -EBADF;
        char text[256];
        size_t used = 0;
        int fds[2], pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        in = fds[0], out = fds[1];
        pid = spawn(argv, out);
        if (pid < 0)
                return pid;
        out = fd_close(out); /* or the end would never come */
        for (ssize_t n; used < sizeof text - 1 && (n = read(in, text + used, sizeof text - 1 - used)) != 0;) {
                if (n > 0)
                        used += (size_t) n;
                else if (errno != EINTR)
                        break;
        }
        text[used] = '\0';
        text[strcspn(text, "\n")] = '\0';

        int r = wait_for(pid);
        if (r < 0)
                return r;
        *ret = xstrdup(r == 0 ? text : "");
        return 0;
}
