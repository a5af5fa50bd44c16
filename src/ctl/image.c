/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/reader.h"
#include "ctl/table.h"
#include "spec/image.h"

#define PROGRAM "sandboxd-image"
#define DIGEST_SHOWN 19U /* sha256: and 12 digits */

/* --- those of the server --- */

typedef struct ImageView {
        const char *name, *digest, *architecture, *created, *imported, *cwd;
        const json_t *env;
        uint64_t size, files;
} ImageView;

static int image_view(const json_t *image, ImageView *ret) {
        Reader r = reader_open(image);
        ImageView v = {
                .name = reader_text(&r, "name", REQUIRED),
                .digest = reader_text(&r, "digest", OPTIONAL),
                .architecture = reader_text(&r, "architecture", OPTIONAL),
                .created = reader_text(&r, "created", OPTIONAL),
                .imported = reader_text(&r, "imported", OPTIONAL),
                .cwd = reader_text(&r, "cwd", OPTIONAL),
                .env = reader_object(&r, "env", OPTIONAL),
        };

        (void) reader_unsigned(&r, "size", OPTIONAL, &v.size);
        (void) reader_unsigned(&r, "files", OPTIONAL, &v.files);
        int e = reader_finish(&r, "image");
        if (e < 0)
                return e;
        *ret = v;
        return 0;
}

static int get_images(Ctl *ctl, json_t **ret, const json_t **ret_list) {
        _cleanup_json_ json_t *answer = NULL;

        int r = ctl_call(ctl, &(Call){ .method = "GET", .path = "/v1/images" }, &answer);
        if (r < 0)
                return r;
        Reader reader = reader_open(answer);
        *ret_list = reader_array(&reader, "images", REQUIRED);
        r = reader_finish(&reader, "list of images");
        if (r == 0)
                *ret = take_ptr(answer);
        return r;
}

int command_image_list(Ctl *ctl, int argc, char **argv) {
        static const char *const heads[] = { "IMAGE", "SIZE", "FILES", "CREATED", "IMPORTED", "DIGEST" };
        _cleanup_(table_freep) Table *t = table_new(heads, ELEMENTSOF(heads));
        _cleanup_json_ json_t *answer = NULL;
        const json_t *list, *image;
        ImageView v;
        size_t i;

        (void) argc, (void) argv; /* takes none */
        if (get_images(ctl, &answer, &list) < 0)
                return STATUS_FAILED;
        if (ctl->options.json) {
                print_json(answer);
                return 0;
        }
        json_array_foreach((json_t *) list, i, image) {
                _cleanup_free_ char *digest = NULL, *safe = NULL;
                char size[SPAN_MAX];
                if (image_view(image, &v) < 0)
                        return STATUS_FAILED;
                if (ctl->options.quiet) {
                        safe = terminal_escape_string(v.name);
                        printf("%s\n", safe);
                        continue;
                }
                digest = v.digest ? xasprintf("%.*s", (int) DIGEST_SHOWN, v.digest) : NULL;
                table_add(t, COLOUR_NONE, v.name);
                table_add(t, COLOUR_NONE, format_size(v.size, size));
                table_addf(t, COLOUR_NONE, "%" PRIu64, v.files);
                table_add(t, COLOUR_NONE, v.created);
                table_add(t, COLOUR_NONE, v.imported);
                table_add(t, COLOUR_NONE, digest);
        }
        if (!ctl->options.quiet)
                table_print(t, stdout);
        return 0;
}

static bool is_called(const char *name, const char *wanted) {
        char a[IMAGE_FOLDER_MAX], b[IMAGE_FOLDER_MAX];

        return strcmp(name, wanted) == 0 ||
               (image_folder(name, a) == 0 && image_folder(wanted, b) == 0 && strcmp(a, b) == 0);
}

static void field(const char *label, const char *text) {
        _cleanup_free_ char *safe = text ? terminal_escape_string(text) : NULL;

        if (safe)
                printf("%-13s %s\n", label, safe);
}

int command_image_show(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *answer = NULL;
        const json_t *list, *image, *found = NULL;
        char size[SPAN_MAX];
        const char *name;
        json_t *value;
        ImageView v;
        size_t i;

        (void) argc; /* one, by the table */
        if (get_images(ctl, &answer, &list) < 0)
                return STATUS_FAILED;
        json_array_foreach((json_t *) list, i, image) {
                if (image_view(image, &v) < 0)
                        return STATUS_FAILED;
                if (!found && is_called(v.name, argv[0]))
                        found = image;
        }
        if (!found) {
                _cleanup_free_ char *safe = terminal_escape_string(argv[0]);
                print_error("There is no image \"%s\"; sandboxctl image list shows those that are", safe);
                return STATUS_FAILED;
        }
        if (ctl->options.json) {
                print_json(found);
                return 0;
        }
        if (image_view(found, &v) < 0)
                return STATUS_FAILED;
        field("Image", v.name);
        field("Digest", v.digest);
        field("Architecture", v.architecture);
        field("Created", v.created);
        field("Imported", v.imported);
        printf("%-13s %s, %" PRIu64 " files\n", "Size", format_size(v.size, size), v.files);
        field("Starts in", v.cwd);
        json_object_foreach((json_t *) v.env, name, value) {
                _cleanup_free_ char *line = xasprintf("%s=%s", name, json_string_value(value) ?: "");
                field("Environment", line);
        }
        return 0;
}

/* --- of this machine --- */

/* Beside this program when it runs from where it was built, else where it is installed. */
static void find_program(char *buf, size_t size) {
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

        if (n > 0) {
                self[n] = '\0';
                (void) snprintf(buf, size, "%s/../image/" PROGRAM, dirname(self));
                if (access(buf, X_OK) == 0)
                        return;
        }
        (void) snprintf(buf, size, LIBEXECDIR "/" PROGRAM);
}

/* Becomes that program, which says what there is to say. */
static int become(Ctl *ctl, const char *verb, int argc, char **argv) {
        _cleanup_free_ const char **words = xrealloc(NULL, ((size_t) argc + 16) * sizeof *words);
        _cleanup_free_ char *bytes = NULL, *files = NULL;
        const Options *o = &ctl->options;
        char path[PATH_MAX + 64];
        size_t n = 0;

        if (o->url || o->socket || o->json) {
                print_error("image %s works on this machine's images, and takes none of --url, --socket and --json", verb);
                return STATUS_USAGE;
        }
        find_program(path, sizeof path);
        words[n++] = PROGRAM;
        words[n++] = verb;
        const char *const texts[][2] = { { "--name", o->image_name }, { "--ref", o->image_ref },
                { "--images", o->images } };
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (texts[i][1]) {
                        words[n++] = texts[i][0];
                        words[n++] = texts[i][1];
                }
        if (o->max_size != OPTION_UNSET) {
                bytes = xasprintf("--max-size=%" PRIu64, o->max_size);
                words[n++] = bytes;
        }
        if (o->max_files != OPTION_UNSET) {
                files = xasprintf("--max-files=%" PRIu64, o->max_files);
                words[n++] = files;
        }
        words[n++] = "--";
        for (int i = 0; i < argc; i++)
                words[n++] = argv[i];
        words[n] = NULL;
        (void) fflush(stdout);
        (void) signal(SIGPIPE, SIG_DFL);
        (void) execv(path, (char *const *) (void *) words);
        print_error("%s cannot be run: %s; it comes with the package sandboxd", path, strerror(errno));
        return STATUS_FAILED;
}

int command_image_import(Ctl *ctl, int argc, char **argv) {
        return become(ctl, "import", argc, argv);
}

int command_image_pull(Ctl *ctl, int argc, char **argv) {
        return become(ctl, "pull", argc, argv);
}

int command_image_remove(Ctl *ctl, int argc, char **argv) {
        return become(ctl, "rm", argc, argv);
}
