/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bare.h"

#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 64
#define MESSAGE_MAX 8192

static char *const environment[] = { (char *) "PATH=/usr/local/bin:/usr/bin:/bin", (char *) "LANG=C.UTF-8", NULL };

static double spawn(char *const *argv, int *ret_status) {
        double start = now_usec();
        pid_t pid;

        errno = posix_spawn(&pid, argv[0], NULL, NULL, argv, environment);
        if (errno != 0)
                err(EXIT_FAILURE, "%s", argv[0]);
        if (waitpid(pid, ret_status, 0) != pid)
                err(EXIT_FAILURE, "waitpid");
        return now_usec() - start;
}

static void become(const char *root) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
                err(EXIT_FAILURE, "/dev/null");
        if (root && chroot(root) < 0 && (errno != EPERM || unshare(CLONE_NEWUSER) < 0 || chroot(root) < 0))
                err(EXIT_FAILURE, "%s", root);
        if (root && chdir("/") < 0)
                err(EXIT_FAILURE, "/");
}

static void serve(int sock) {
        char text[MESSAGE_MAX], *argv[ARGS_MAX + 1];
        ssize_t n;

        while ((n = recv(sock, text, sizeof text, 0)) > 0) {
                double usec;
                int status;
                size_t argc = 0;

                for (char *p = text; p < text + n && argc < ARGS_MAX; p += strlen(p) + 1)
                        argv[argc++] = p;
                argv[argc] = NULL;
                usec = spawn(argv, &status);
                if (status != 0) {
                        warnx("%s failed: status 0x%x", argv[0], (unsigned) status);
                        usec = -1;
                }
                if (send(sock, &usec, sizeof usec, MSG_NOSIGNAL) < 0)
                        break;
        }
        _exit(EXIT_SUCCESS);
}

void bare_start(Bare *b, const char *root) {
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                err(EXIT_FAILURE, "socketpair");
        pid_t pid = fork();
        if (pid < 0)
                err(EXIT_FAILURE, "fork");
        if (pid == 0) {
                (void) close(ends[0]);
                become(root);
                serve(ends[1]);
        }
        (void) close(ends[1]);
        b->sock = ends[0];
}

double bare_run(Bare *b, const char *const *argv) {
        char text[MESSAGE_MAX];
        size_t used = 0;
        double usec;

        for (; *argv; argv++) {
                size_t n = strlen(*argv) + 1;
                if (used + n > sizeof text)
                        errx(EXIT_FAILURE, "the command is too long");
                memcpy(text + used, *argv, n);
                used += n;
        }
        if (send(b->sock, text, used, MSG_NOSIGNAL) < 0 || recv(b->sock, &usec, sizeof usec, 0) != sizeof usec ||
                usec < 0)
                errx(EXIT_FAILURE, "a command outside of sandboxes failed");
        return usec;
}

double bare_rate(const char *root, unsigned workers, double seconds, const char *const *argv) {
        double start = now_usec();
        unsigned long sum = 0;
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                err(EXIT_FAILURE, "pipe");
        for (unsigned i = 0; i < workers; i++) {
                pid_t pid = fork();
                if (pid < 0)
                        err(EXIT_FAILURE, "fork");
                if (pid == 0) {
                        unsigned long n = 0;
                        int status;
                        become(root);
                        for (; now_usec() - start < seconds * 1e6; n++)
                                (void) spawn((char *const *) argv, &status);
                        _exit(write(ends[1], &n, sizeof n) == sizeof n ? EXIT_SUCCESS : EXIT_FAILURE);
                }
        }
        (void) close(ends[1]);
        for (unsigned long n; read(ends[0], &n, sizeof n) == sizeof n;)
                sum += n;
        (void) close(ends[0]);
        double elapsed = now_usec() - start;
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        return (double) sum / elapsed * 1e6;
}
