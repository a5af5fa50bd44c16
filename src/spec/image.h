/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/json.h"
#include "spec/wire.h"

/*
 * Images: how they are called and what they say of the commands that run in them.
 *
 * A client names an image by a reference as other programs have them: "python", "sandbox-secure:latest",
 * "ghcr.io/acme/tools:1.2". Where no tag is given it is "latest"; "docker.io/", "docker.io/library/" and "localhost/"
 * in front do not count. Each reference has one folder: what is no a-z, 0-9, "." or "-" in it becomes "_" and two
 * hexadecimal digits, so that no two references meet and nothing has to be looked up.
 */

#define IMAGE_REFERENCE_MAX 255U
#define IMAGE_FOLDER_MAX 112U /* with NUL; a number follows for each time that it is made */
#define IMAGE_CONFIG_NAME "config.json"
#define IMAGE_CONFIG_MAX (256 * KIB)
#define IMAGE_FILES_NAME "files.tar" /* beside it: what the image has in /home/sandboxuser, if it has */

/* Returns 0, -EINVAL when it is no reference, -ENAMETOOLONG when its folder's name would be too long. */
int image_folder(const char *reference, char folder[static IMAGE_FOLDER_MAX]);

/* The reference that belongs to a folder. Returns 0, or -EINVAL when there is none: it is called as it is. */
int image_reference(const char *folder, char reference[static IMAGE_REFERENCE_MAX + 1]);

/* What an image says of commands, from its file IMAGE_CONFIG_NAME. */
typedef struct ImageConfig {
        unsigned n_ref;
        json_t *env;        /* owned: object of strings, or NULL */
        char *cwd;          /* owned: or NULL for the home folder */
        char *digest;       /* owned: of the image's configuration, "sha256:...", or NULL */
        char *architecture; /* owned or NULL */
        char *created;      /* owned or NULL: when it was built, as it says */
        char *imported;     /* owned or NULL */
        uint64_t size;      /* bytes of its files */
        uint64_t n_files;
        int files; /* owned: IMAGE_FILES_NAME, opened for reading, or -EBADF */
} ImageConfig;

/* Returns 0 with a new reference, or -errno with @error set. */
int image_config_read(const char *text, size_t length, ImageConfig **ret, Error *error);
ImageConfig *image_config_ref(ImageConfig *c);
ImageConfig *image_config_unref(ImageConfig *c);
DEFINE_CLEANUP(ImageConfig, image_config_unref);
