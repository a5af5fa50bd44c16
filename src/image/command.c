/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/command.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

static const char *const program_folders[] = { "/usr/bin", "/bin", "/usr/sbin", "/sbin" };
static char *const clean_environment[] = { (char *) "LC_ALL=C", (char *) "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };

static int program_find(const char *name, char path[static 128]) {
        for (size_t i = 0; i < ELEMENTSOF(program_folders); i++) {
                size_t n = strlen(program_folders[i]);

                assert(n + 1 + strlen(name) < 128);
                (void) stpcpy(stpcpy(stpcpy(path, program_folders[i]), "/"), name);
                if (access(path, X_OK) == 0)
                        return 0;
        }
        return -ENOENT;
}

static int read_all(int fd, char **ret) {
        _cleanup_free_ char *text = NULL;
        size_t used = 0, allocated = 0;

        for (;;) {
                if (allocated - used < 64 * KIB) {
                        allocated = MAX(allocated * 2, 256 * KIB);
                        char *grown = realloc(text, allocated);

                        if (!grown)
                                return -ENOMEM;
                        text = grown;
                }
                ssize_t n = read(fd, text + used, allocated - used - 1);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (n == 0)
                        break;
                used += (size_t) n;
        }
        text[used] = '\0';
        *ret = take_ptr(text);
        return 0;
}

int command_run(const char *const *argv, char **ret_output) {
        _cleanup_fd_ int reader = -EBADF, writer = -EBADF;
        _cleanup_free_ char *output = NULL;
        posix_spawn_file_actions_t actions;
        char path[128];
        int status, pipe_fds[2];
        pid_t pid;

        int r = program_find(argv[0], path);
        if (r < 0)
                return r;
        if (ret_output) {
                if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                        return -errno;
                reader = pipe_fds[0];
                writer = pipe_fds[1];
        }

        r = -posix_spawn_file_actions_init(&actions);
        if (r < 0)
                return r;
        r = -posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = -posix_spawn_file_actions_adddup2(&actions, writer >= 0 ? writer : STDERR_FILENO, STDOUT_FILENO);
        if (r == 0)
                r = -posix_spawn(&pid, path, &actions, NULL, (char *const *) (void *) argv, clean_environment);
        (void) posix_spawn_file_actions_destroy(&actions); /* never fails */
        if (r < 0)
                return r;

        writer = fd_close(writer);
        if (reader >= 0)
                r = read_all(reader, &output);
        reader = fd_close(reader); /* a child that still writes ends by SIGPIPE */
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        if (r < 0)
                return r;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return -EPROTO;
        if (ret_output)
                *ret_output = take_ptr(output);
        return 0;
}
