/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spec/image.h"

#include <string.h>

#include "base/fd.h"
#include "spec/create.h"
#include "spec/exec.h"

#define TAG_DEFAULT ":latest"
#define KEPT "abcdefghijklmnopqrstuvwxyz0123456789.-"
#define DIGITS "0123456789"
#define FIRST "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS
#define ALLOWED FIRST "._-/:@"

static const char *const silent_prefixes[] = { "docker.io/library/", "docker.io/", "localhost/" };

/* No empty part, and none that a path would take for something else. */
static bool is_well_formed(const char *reference) {
        size_t length = strlen(reference);

        if (length == 0 || length > IMAGE_REFERENCE_MAX || reference[strspn(reference, ALLOWED)])
                return false;
        for (const char *p = reference; *p; p += strcspn(p, "/:@"), p += *p != '\0')
                if (!strchr(FIRST, *p) && *p != '_')
                        return false;
        return strchr(FIRST, reference[length - 1]) || strchr("._-", reference[length - 1]);
}

static bool has_tag(const char *reference) {
        const char *slash = strrchr(reference, '/');

        return strpbrk(slash ? slash : reference, ":@") != NULL;
}

int image_folder(const char *reference, char folder[static IMAGE_FOLDER_MAX]) {
        char full[IMAGE_REFERENCE_MAX + sizeof TAG_DEFAULT];
        size_t used = 0;

        if (!is_well_formed(reference))
                return -EINVAL;
        /* all of them, or what is left would be another image's name */
        for (size_t i = 0; i < ELEMENTSOF(silent_prefixes);) {
                size_t n = strlen(silent_prefixes[i]);
                bool fits = strncmp(reference, silent_prefixes[i], n) == 0;
                reference += fits ? n : 0;
                i = fits ? 0 : i + 1;
        }
        (void) stpcpy(stpcpy(full, reference), has_tag(reference) ? "" : TAG_DEFAULT);

        for (const char *p = full; *p; p++) {
                /* "-" and digits at the end are how the times that an image was made are told apart */
                bool last = *p == '-' && p[1] && !p[1 + strspn(p + 1, DIGITS)];
                if (used + 3 >= IMAGE_FOLDER_MAX)
                        return -ENAMETOOLONG;
                if (strchr(KEPT, *p) && !last && !(p == full && (*p == '.' || *p == '-')))
                        folder[used++] = *p;
                else {
                        static const char digits[] = "0123456789abcdef";
                        folder[used++] = '_';
                        folder[used++] = digits[(unsigned char) *p >> 4];
                        folder[used++] = digits[*p & 15];
                }
        }
        folder[used] = '\0';
        return 0;
}

static int hex_value(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int image_reference(const char *folder, char reference[static IMAGE_REFERENCE_MAX + 1]) {
        char again[IMAGE_FOLDER_MAX];
        size_t used = 0;

        for (const char *p = folder; *p; p++) {
                if (used >= IMAGE_REFERENCE_MAX)
                        return -EINVAL;
                if (*p != '_') {
                        reference[used++] = *p;
                        continue;
                }
                int high = hex_value(p[1]), low = high < 0 ? -1 : hex_value(p[2]);
                if (low < 0)
                        return -EINVAL;
                reference[used++] = (char) (high << 4 | low);
                p += 2;
        }
        reference[used] = '\0';
        return image_folder(reference, again) == 0 && strcmp(again, folder) == 0 ? 0 : -EINVAL;
}

/* --- what it says of commands --- */

static const JsonField fields[] = {
        { "env", env_parse, offsetof(ImageConfig, env) },
        { "cwd", exec_parse_cwd, offsetof(ImageConfig, cwd) },
        { "digest", json_parse_text, offsetof(ImageConfig, digest) },
        { "architecture", json_parse_text, offsetof(ImageConfig, architecture) },
        { "created", json_parse_text, offsetof(ImageConfig, created) },
        { "imported", json_parse_text, offsetof(ImageConfig, imported) },
        { "size", json_parse_size, offsetof(ImageConfig, size) },
        { "n_files", json_parse_size, offsetof(ImageConfig, n_files) },
        { 0 },
};

int image_config_read(const char *text, size_t length, ImageConfig **ret, Error *error) {
        _cleanup_(image_config_unrefp) ImageConfig *c = calloc(1, sizeof *c);
        _cleanup_json_ json_t *object = NULL;

        if (!c)
                return -ENOMEM;
        c->n_ref = 1;
        c->files = -EBADF;
        int r = json_read_object(text, length, &object, error);
        if (r == 0)
                r = json_apply(object, fields, c, error);
        if (r < 0)
                return r;
        *ret = take_ptr(c);
        return 0;
}

ImageConfig *image_config_ref(ImageConfig *c) {
        c->n_ref++;
        return c;
}

ImageConfig *image_config_unref(ImageConfig *c) {
        if (!c || --c->n_ref > 0)
                return NULL;
        json_decref(c->env);
        free(c->cwd);
        free(c->digest);
        free(c->architecture);
        free(c->created);
        free(c->imported);
        (void) fd_close(c->files);
        free_counted(c);
        return NULL;
}
