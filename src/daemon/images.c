/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "daemon/manager.h"
#include "log/log.h"

static void on_changed(Images *images, void *userdata) {
        Manager *m = userdata;

        (void) images;
        backend_forget(m->backend);
        manager_configure_pools(m); /* a name may mean another folder now */
        manager_update_status(m);
}

int manager_open_images(Manager *m) {
        char path[512];

        (void) snprintf(path, sizeof path, "%s/images", m->options.state);
        int r = images_new(m->event, path, on_changed, m, &m->images);
        return r < 0 ? log_error_errno(r, "Cannot watch the folder of images: %m") : 0;
}

int manager_resolve_image(const char *name, SandboxSpec *spec, ImageConfig **ret_config, void *userdata, Error *error) {
        Manager *m = userdata;

        spec->calls = config_calls(m->config, name);
        return images_resolve(m->images, name, spec->image, ret_config, error);
}

int manager_check_image(Manager *m) {
        SandboxSpec spec;
        ImageConfig *config;
        Error error = { 0 };

        int r = manager_resolve_image(m->config->image, &spec, &config, m, &error);
        if (r == -EINVAL)
                m->exit_code = EX_CONFIG;
        if (r < 0)
                log_error("The image \"%s\" is not in %s/images; %s", m->config->image, m->options.state,
                        strcmp(m->config->image, "base") == 0
                                ? "`systemctl start sandboxd-base-image.service` makes it."
                                : "`sandboxctl image import` or `pull` brings it there.");
        error_clear(&error);
        return r;
}
