/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/pull.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/generation.h"
#include "image/report.h"
#include "spec/image.h"

#define LAYOUT "layout"

/* Its configuration, keys and proxies are the caller's; what it says goes to stderr. */
static int run_skopeo(const char *from, const char *to) {
        const char *const argv[] = { "skopeo", "copy", "--quiet", from, to, NULL };
        posix_spawn_file_actions_t actions;
        int status;
        pid_t pid;

        int r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return report(r, "%s", strerror(r));
        r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *) (void *) argv, environ);
        (void) posix_spawn_file_actions_destroy(&actions); /* never fails */
        if (r == ENOENT)
                return report(r, "skopeo is not installed; it comes with the package of that name. "
                                 "Without it, import what `docker save` or `podman save` writes");
        if (r != 0)
                return report(r, "skopeo cannot be started: %s", strerror(r));
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return report(errno, "waiting: %s", strerror(errno));
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        return report(EIO, "skopeo could not fetch %s; its message above says why", from + strlen("docker://"));
}

int pull_run(const ImportOptions *o, const char *reference) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };
        _cleanup_free_ char *from = NULL, *to = NULL;
        ImportOptions named = *o;
        char folder[IMAGE_FOLDER_MAX];

        if (image_folder(reference, folder) < 0)
                return report(EINVAL, "\"%.100s\" is no reference to an image, such as docker.io/library/debian:12", reference);
        int r = generations_open(o->images, IMPORT_WORK_NAME, true, &g);
        if (r >= 0)
                r = generations_begin(&g);
        if (r < 0)
                return r;
        generations_unlock(&g);
        if (asprintf(&from, "docker://%s", reference) < 0)
                from = NULL;
        if (asprintf(&to, "oci:%s/%s/" LAYOUT, g.path, g.work) < 0)
                to = NULL;
        if (!from || !to)
                return report_memory();
        r = run_skopeo(from, to);
        if (r < 0)
                return r;
        named.name = o->name ? o->name : reference;
        return import_run(&named, to + strlen("oci:"));
}
