/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/manager.h"

static bool is_folder_name(const char *name) {
        return name[0] != '.' && strlen(name) < IMAGE_NAME_MAX &&
               name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0';
}

/* readlink(2) in the folder of images, which stays open: every request for a session comes here. Returns -1 with errno
 * set on failure. */
static ssize_t read_link(Manager *m, const char *name, char *buf, size_t size) {
        char path[512];

        for (bool again = m->images >= 0;; again = false) {
                if (m->images < 0) {
                        (void) snprintf(path, sizeof path, "%s/images", m->options.state);
                        m->images = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
                }
                ssize_t n = m->images >= 0 ? readlinkat(m->images, name, buf, size) : -1;
                if (n >= 0 || errno != ENOENT || !again)
                        return n;
                m->images = fd_close(m->images); /* somebody may have put another folder in its place */
        }
}

/* Images lie in folders; a name is the folder itself, or a link beside it to the newest generation. */
int manager_resolve_image(const char *name, char folder[static IMAGE_NAME_MAX], void *userdata, Error *error) {
        char target[IMAGE_NAME_MAX];

        if (!is_folder_name(name))
                return error_set_field(error, ERROR_INVALID_VALUE, "image", NULL, "There is no image of this name.");
        ssize_t n = read_link(userdata, name, target, sizeof target - 1);
        if (n >= 0) {
                target[n] = '\0';
                if (is_folder_name(target)) {
                        memcpy(folder, target, (size_t) n + 1);
                        return 0;
                }
        } else if (errno == EINVAL) { /* no link */
                (void) snprintf(folder, IMAGE_NAME_MAX, "%s", name);
                return 0;
        }
        return error_set_field(error, ERROR_INVALID_VALUE, "image", NULL, "There is no image \"%s\".", name);
}
