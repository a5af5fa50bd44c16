/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/finish.h"

/* The documents of an image, without the digests that bind them: a docker archive's manifest and configuration, an
 * index, and what a worker reads of an image. The first byte chooses; a manifest and its configuration are parted by a
 * NUL. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
        if (!condition)
                abort();
}

static void add(struct archive *a, const char *name, const uint8_t *data, size_t size) {
        struct archive_entry *e = archive_entry_new();

        check(e != NULL);
        archive_entry_set_pathname(e, name);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_size(e, (la_int64_t) size);
        check(archive_write_header(a, e) == ARCHIVE_OK && archive_write_data(a, data, size) == (la_ssize_t) size);
        archive_entry_free(e);
}

static void check_plan(const Plan *p) {
        check(p->n_layers <= PLAN_LAYERS_MAX && strlen(p->name) <= IMAGE_REFERENCE_MAX);
        for (size_t i = 0; i < p->n_layers; i++)
                check(p->layers[i].path && strlen(p->layers[i].plain) == SHA256_TEXT_MAX - 1);
}

static void check_config(const ImageConfig *c) {
        const char *name;
        json_t *value;

        check(!c->cwd || c->cwd[0] == '/');
        json_object_foreach(c->env, name, value) check(*name && !strchr(name, '=') && json_is_string(value));
}

static void try_documents(const char *first_name, const uint8_t *data, size_t size) {
        TreeWriter w = { .root_fd = -EBADF, .folder_fd = -EBADF };
        Apply a = { .writer = &w };
        _cleanup_(plan_done) Plan plan = { 0 };
        _cleanup_free_ char *config = NULL;
        const uint8_t *nul = memchr(data, '\0', size);
        size_t first = nul ? (size_t) (nul - data) : size;
        struct archive *archive = archive_write_new();
        _cleanup_fd_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
        Bundle b = { .file = fd, .broker = -EBADF };

        check(archive && fd >= 0 && archive_write_set_format_pax_restricted(archive) == ARCHIVE_OK &&
                archive_write_open_fd(archive, fd) == ARCHIVE_OK);
        add(archive, first_name, data, first);
        if (nul)
                add(archive, "config.json", nul + 1, size - first - 1);
        check(archive_write_free(archive) == ARCHIVE_OK);
        if (plan_read(&b, NULL, &plan) < 0)
                return;
        check_plan(&plan);
        if (finish_config(&plan, &a, &config) < 0)
                return;
        ImageConfig *c = NULL;
        check(image_config_read(config, strlen(config), &c, NULL) == 0);
        check_config(c);
        (void) image_config_unref(c);
}

static void try_config(const uint8_t *data, size_t size) {
        _cleanup_error_ Error error = { 0 };
        _cleanup_free_ char *text = malloc(size + 1);
        ImageConfig *c = NULL;

        check(text != NULL);
        memcpy(text, data, size);
        int r = image_config_read(text, size, &c, &error);
        check(r == 0 || (r < 0 && (error.kind != ERROR_NONE || r == -ENOMEM)));
        if (r == 0)
                check_config(c);
        (void) image_config_unref(c);
}

static void try_name(const uint8_t *data, size_t size) {
        _cleanup_free_ char *name = strndup((const char *) data, size);
        char folder[IMAGE_FOLDER_MAX], again[IMAGE_FOLDER_MAX], reference[IMAGE_REFERENCE_MAX + 1];

        check(name != NULL);
        if (image_folder(name, folder) == 0) {
                check(folder[0] != '.' && !strchr(folder, '/') && strlen(folder) < IMAGE_FOLDER_MAX);
                check(image_reference(folder, reference) == 0 && image_folder(reference, again) == 0);
                check(strcmp(folder, again) == 0);
        }
        if (image_reference(name, reference) == 0)
                check(image_folder(reference, folder) == 0 && strcmp(folder, name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static bool begun;

        if (size == 0)
                return 0;
        if (!begun) {
                int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
                check(sodium_init() >= 0 && null >= 0 && dup2(null, STDERR_FILENO) >= 0); /* each refusal says a line */
                (void) close(null);
                begun = true;
        }
        switch (data[0] % 4) {
        case 0:
                try_documents("manifest.json", data + 1, size - 1);
                break;
        case 1:
                try_documents("index.json", data + 1, size - 1);
                break;
        case 2:
                try_config(data + 1, size - 1);
                break;
        default:
                try_name(data + 1, size - 1);
        }
        return 0;
}
