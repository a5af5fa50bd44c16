/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/userns.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "spec/wire.h"

/* What is counted for each user is also counted for all sandboxes together, against the limits that the owner of the
 * namespace has now: with the usual ones a single sandbox could take all message queues, or a few all signals. Each
 * sandbox has limits of its own. Only root may lift them; others keep what they have. */
static void lift_limits(void) {
        static const int resources[] = { RLIMIT_NPROC, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_MEMLOCK };

        for (size_t i = 0; i < ELEMENTSOF(resources); i++) {
                struct rlimit limit;
                if (getrlimit((__rlimit_resource_t) resources[i], &limit) < 0)
                        continue;
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit((__rlimit_resource_t) resources[i], &limit);
                limit = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
                (void) setrlimit((__rlimit_resource_t) resources[i], &limit);
        }
}

/* The process whose namespace it becomes: says on @tell what unshare() gave, ends when @hold is closed. */
static _noreturn_ void owner_process(
        UsernsMethod method, const IdLayout *uids, const IdLayout *gids, int tell, int hold) {
        int error = 0;
        char c;

        lift_limits();
        if (method == USERNS_DIRECT) {
                if (setgroups(0, NULL) < 0 || setresgid(gids->own, gids->own, gids->own) < 0 ||
                        setresuid(uids->own, uids->own, uids->own) < 0)
                        error = errno;
                /* changing ids made the process's files in /proc root's: the parent has to reach uid_map */
                (void) prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        }
        if (error == 0 && unshare(CLONE_NEWUSER) < 0)
                error = errno;
        if (write(tell, &error, sizeof error) != sizeof error)
                _exit(1);
        while (read(hold, &c, 1) < 0 && errno == EINTR)
                ; /* returns when the parent is done or dead */
        _exit(0);
}

static int run_map_program(const char *program, pid_t pid, const IdLayout *layout) {
        char text[10][16];
        unsigned numbers[10] = {
                (unsigned) pid,
                NAMESPACE_IMAGE_ID,
                layout->image,
                1,
                NAMESPACE_OWN_ID,
                layout->own,
                1,
                NAMESPACE_SANDBOX_ID,
                layout->sandbox,
                layout->count,
        };
        char *argv[12] = { (char *) program };
        int status;

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                (void) snprintf(text[i], sizeof text[i], "%u", numbers[i]);
                argv[i + 1] = text[i];
        }

        pid_t child = fork();
        if (child < 0)
                return -errno;
        if (child == 0) {
                (void) execvp(program, argv);
                _exit(errno == ENOENT ? 127 : 126);
        }
        if (waitpid(child, &status, 0) < 0)
                return -errno;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -EPERM;
}

static int write_maps(
        UsernsMethod method, pid_t pid, const IdLayout *uids, const IdLayout *gids, const char **ret_what) {
        char path[64], text[ID_MAP_TEXT_MAX];
        int r;

        if (method == USERNS_SETUID) {
                *ret_what = "newuidmap";
                r = run_map_program("newuidmap", pid, uids);
                if (r < 0)
                        return r;
                *ret_what = "newgidmap";
                return run_map_program("newgidmap", pid, gids);
        }

        *ret_what = "writing uid_map";
        (void) snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
        r = file_write(AT_FDCWD, path, idmap_text(uids, text));
        if (r < 0)
                return r;
        *ret_what = "writing gid_map";
        (void) snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
        return file_write(AT_FDCWD, path, idmap_text(gids, text));
}

int userns_make(UsernsMethod method, const IdLayout *uids, const IdLayout *gids, int *ret_fd, const char **ret_what) {
        int tell[2], hold[2], error, fd = -EBADF, r;
        char path[64];

        *ret_what = "pipe";
        if (pipe2(tell, O_CLOEXEC) < 0)
                return -errno;
        if (pipe2(hold, O_CLOEXEC) < 0) {
                r = -errno;
                fds_close(tell, 2);
                return r;
        }

        *ret_what = "fork";
        pid_t pid = fork();
        if (pid < 0) {
                r = -errno;
                fds_close(tell, 2);
                fds_close(hold, 2);
                return r;
        }
        if (pid == 0) {
                fd_close(tell[0]);
                fd_close(hold[1]);
                owner_process(method, uids, gids, tell[1], hold[0]);
        }
        tell[1] = fd_close(tell[1]);
        hold[0] = fd_close(hold[0]);

        *ret_what = "unshare(CLONE_NEWUSER)";
        if (read(tell[0], &error, sizeof error) != sizeof error)
                r = -EIO;
        else
                r = -error;
        if (r == 0)
                r = write_maps(method, pid, uids, gids, ret_what);
        if (r == 0) {
                *ret_what = "opening the namespace";
                (void) snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        r = -errno;
        }

        fds_close(tell, 2);
        fds_close(hold, 2);
        (void) waitpid(pid, NULL, 0);
        if (r < 0)
                return r;
        *ret_fd = fd;
        return 0;
}
