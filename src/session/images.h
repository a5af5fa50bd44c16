/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "spec/image.h"

/* The folder of images, as a worker sees it: names are links to folders, which do not change once they are there. */

#define IMAGES_LISTED_MAX 1000U

typedef struct Images Images;

/* Called when a name came, went or means another image than before; not from within. */
typedef void ImagesChanged(Images *images, void *userdata);

/* @folder: need not be there yet. @changed: or NULL. */
int images_new(sd_event *event, const char *folder, ImagesChanged *changed, void *userdata, Images **ret);
Images *images_free(Images *images);
DEFINE_CLEANUP(Images, images_free);

/* Finds the folder of the image @name. @ret_config: what it says of commands, borrowed until the next call, or NULL.
 * Returns 0, or -errno with @error set. */
int images_resolve(Images *images, const char *name, char folder[static IMAGE_NAME_MAX], ImageConfig **ret_config, Error *error);

/* All of them, {"images":[...]}: a new object, NULL when out of memory. */
json_t *images_describe(Images *images);
