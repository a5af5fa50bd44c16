/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/manager.h"
#include "log/log.h"

/* Without a service manager: what the units do otherwise. */

#define WORKER_USER "sandboxd"

void manager_find_program(const char *folder, const char *name, char *buf, size_t size) {
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

        if (n > 0) {
                self[n] = '\0';
                (void) snprintf(buf, size, "%s/../%s/%s", dirname(self), folder, name);
                if (access(buf, R_OK) == 0)
                        return;
        }
        (void) snprintf(buf, size, "%s/%s", LIBEXECDIR, name);
}

/* Runs a program to its end. With @buf, keeps the first line that it prints. */
static int run(char *const argv[], char *buf, size_t size) {
        int p[2] = { -EBADF, -EBADF }, status;

        if (buf && pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        pid_t pid = fork();
        if (pid < 0) {
                int r = -errno;
                fds_close(p, 2);
                return r;
        }
        if (pid == 0) {
                if (!buf || dup2(p[1], STDOUT_FILENO) >= 0)
                        (void) execv(argv[0], argv);
                _exit(127);
        }
        p[1] = fd_close(p[1]);
        if (buf) {
                ssize_t n = read(p[0], buf, size - 1);
                buf[n > 0 ? n : 0] = '\0';
                buf[strcspn(buf, "\n")] = '\0';
                p[0] = fd_close(p[0]);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

int manager_make_folder(const char *folder) {
        char path[PATH_MAX];

        (void) snprintf(path, sizeof path, "%s", folder);
        for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
                *p = '\0';
                (void) mkdir(path, 0755);
                *p = '/';
        }
        return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int make_folders(Manager *m, char *images, size_t size) {
        (void) snprintf(images, size, "%s/images", m->options.state);
        const char *const folders[] = { m->options.state, images, m->options.runtime };

        for (size_t i = 0; i < ELEMENTSOF(folders); i++) {
                int r = manager_make_folder(folders[i]);
                if (r < 0)
                        return log_error_errno(r, "Cannot make %s: %m", folders[i]);
        }
        return 0;
}

static int make_image(char *spawner, char *images) {
        char builder[PATH_MAX + 64], list[PATH_MAX + 64], owner[64];
        char *ask[] = { spawner, (char *) "--image-owner", NULL };
        char *argv[10] = { builder, (char *) "--images", images };
        size_t n = 3;

        manager_find_program("image", "sandboxd-base-image", builder, sizeof builder);
        /* a list beside the program is the one that belongs to it */
        manager_find_program("image", "base.packages", list, sizeof list);
        if (access(list, R_OK) == 0) {
                argv[n++] = (char *) "--packages";
                argv[n++] = list;
        }
        /* images belong to the id that is root in the worker's user namespace; the spawner knows which */
        if (getuid() == 0 && run(ask, owner, sizeof owner) == 0) {
                argv[n++] = (char *) "--owner";
                argv[n++] = owner;
        }
        int r = run(argv, NULL, 0);
        if (r < 0)
                log_error("The image \"base\" could not be made; the message above says why.");
        return r;
}

static int start_spawner(Manager *m, char *spawner, const char *images) {
        char number[16];
        char *argv[] = { spawner, (char *) "--standalone", m->config->worker_id, (char *) "--socket", number,
                (char *) "--images", (char *) images, NULL };
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return log_error_errno(errno, "Cannot make a socket: %m");
        (void) snprintf(number, sizeof number, "%d", ends[1]);

        m->spawner = fork();
        if (m->spawner < 0) {
                int r = -errno;
                fds_close(ends, 2);
                return log_error_errno(r, "Cannot start the spawner: %m");
        }
        if (m->spawner == 0) {
                (void) setpgid(0, 0); /* a key press that ends us is ours to pass on */
                (void) fcntl(ends[1], F_SETFD, 0);
                (void) execv(spawner, argv);
                _exit(127);
        }
        fd_close(ends[1]);
        m->spawner_sock = ends[0];
        return 0;
}

/* As root: becomes the worker's user where there is one, else the id after the spawner's. */
static int give_up_root(const Manager *m) {
        struct passwd *pw = getpwnam(WORKER_USER);
        struct group *group = getgrnam("sandbox");
        uid_t uid = pw ? pw->pw_uid : 65533;
        gid_t gid = pw ? pw->pw_gid : 65533;

        char path[400];

        if (getuid() != 0)
                return 0;
        (void) snprintf(path, sizeof path, "%s/%s/snapshots", m->options.state, m->config->worker_id);
        if (fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
                (void) log_warning_errno(errno, "%s: %m; no snapshots can be made.", path);
        /* without the group only its owner reaches the socket: sandboxd-announce has to */
        if (!group && m->socket_path[0] && fchownat(AT_FDCWD, m->socket_path, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
                (void) log_warning_errno(errno, "%s: %m; it is not announced in Redis.", m->socket_path);
        if (setgroups(group ? 1 : 0, group ? &group->gr_gid : NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
                setresuid(uid, uid, uid) < 0)
                return log_error_errno(errno, "Cannot give up root: %m");
        return 0;
}

int manager_standalone(Manager *m) {
        char spawner[PATH_MAX + 64], images[PATH_MAX];

        manager_find_program("spawner", "sandboxd-spawner", spawner, sizeof spawner);
        int r = make_folders(m, images, sizeof images);
        if (r >= 0 && strcmp(m->config->image, "base") == 0)
                r = make_image(spawner, images);
        if (r >= 0)
                r = start_spawner(m, spawner, images);
        if (r >= 0)
                r = manager_listen(m);
        if (r >= 0)
                r = give_up_root(m);
        if (r >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                r = log_error_errno(errno, "Cannot forbid new privileges: %m");
        return r;
}
