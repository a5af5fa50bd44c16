/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define PEERS_MAX 8

static char container[32];

static const char *const *bwrap_argv(const Bench *b, const char *program) {
        static const char *argv[] = { NULL, "--unshare-all", "--die-with-parent", "--new-session", "--uid", "1000",
                "--gid", "1000", "--hostname", "sandbox", "--ro-bind", NULL, "/", "--dev", "/dev", "--proc", "/proc",
                "--tmpfs", "/home/sandboxuser", "--tmpfs", "/tmp", "--chdir", "/", "--clearenv", "--", "/bin/true",
                NULL };

        argv[0] = program;
        argv[11] = b->root;
        return argv;
}

static const char *const *crun_argv(const Bench *b, const char *program) {
        static const char *argv[] = { NULL, "--cgroup-manager=disabled", "run", "--bundle", NULL, container, NULL };

        argv[0] = program;
        argv[4] = b->bundle;
        return b->bundle ? argv : NULL;
}

static const char *const *runc_argv(const Bench *b, const char *program) {
        static const char *argv[] = { NULL, "run", "--bundle", NULL, container, NULL };

        argv[0] = program;
        argv[3] = b->bundle;
        return b->bundle ? argv : NULL;
}

static const struct {
        const char *name;
        double target;
        const char *const *(*argv)(const Bench *b, const char *program);
} known[] = {
        { "bwrap", 3.0, bwrap_argv },
        { "crun", 0, crun_argv },
        { "runc", 0, runc_argv },
};

static bool find_program(const char *name, char *path, size_t size) {
        static const char *const folders[] = { "/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin" };

        for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
                (void) snprintf(path, size, "%s/%s", folders[i], name);
                if (access(path, X_OK) == 0)
                        return true;
        }
        return false;
}

/* Does it run at all? Its words go where ours go. */
static bool works(const char *const *argv) {
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                (void) dup2(STDERR_FILENO, STDOUT_FILENO);
                (void) execv(argv[0], (char *const *) argv);
                _exit(127);
        }
        return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

const Peer *peers_find(Bench *b) {
        static char paths[ELEMENTSOF(known)][64];
        static Peer found[PEERS_MAX + 1];
        size_t n = 0;

        (void) snprintf(container, sizeof container, "bench-%d", (int) getpid());
        for (size_t i = 0; i < ELEMENTSOF(known); i++) {
                const char *const *argv =
                        find_program(known[i].name, paths[i], sizeof paths[i]) ? known[i].argv(b, paths[i]) : NULL;
                if (!argv)
                        warnx("%s: not installed, or it needs root: not compared", known[i].name);
                else if (!works(argv))
                        warnx("%s: does not run here: not compared", known[i].name);
                else
                        found[n++] = (Peer){ .name = known[i].name, .argv = argv, .target = known[i].target };
        }
        found[n] = (Peer){ 0 };
        return found;
}
