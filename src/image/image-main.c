/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sodium.h>
#include <sys/stat.h>

#include "base/text.h"
#include "image/generation.h"
#include "image/pull.h"
#include "image/report.h"
#include "spec/image.h"

#define IMAGES_FOLDER "/var/lib/sandboxd/images"

static volatile sig_atomic_t stopped;

static void on_signal(int number) {
        stopped = number;
}

static void usage(FILE *f) {
        (void) fputs("Usage: sandboxd-image import FILE|FOLDER [--name NAME] [--ref NAME] [LIMITS]\n"
                     "       sandboxd-image pull REFERENCE [--name NAME] [LIMITS]\n"
                     "       sandboxd-image rm NAME...\n"
                     "Options of all: [--images DIR]; of import and pull: [--owner UID:GID];\n"
                     "LIMITS: [--max-size SIZE] [--max-files N]\n",
                f);
}

/* Returns 0 to go on, 1 when all is done, -EINVAL. */
static int parse_arguments(int argc, char **argv, ImportOptions *o) {
        enum { OPT_IMAGES = 256, OPT_OWNER, OPT_NAME, OPT_REF, OPT_SIZE, OPT_FILES, OPT_HELP, OPT_VERSION };
        static const struct option options[] = {
                { "images", required_argument, NULL, OPT_IMAGES },
                { "owner", required_argument, NULL, OPT_OWNER },
                { "name", required_argument, NULL, OPT_NAME },
                { "ref", required_argument, NULL, OPT_REF },
                { "max-size", required_argument, NULL, OPT_SIZE },
                { "max-files", required_argument, NULL, OPT_FILES },
                { "help", no_argument, NULL, OPT_HELP },
                { "version", no_argument, NULL, OPT_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case OPT_IMAGES:
                        o->images = optarg;
                        break;
                case OPT_OWNER:
                        if (owner_parse(optarg, &o->owner) < 0)
                                return report(
                                        EINVAL, "--owner %s: write UID:GID, two numbers below 4294967295", optarg);
                        o->owner_given = true;
                        break;
                case OPT_NAME:
                        o->name = optarg;
                        break;
                case OPT_REF:
                        o->wanted = optarg;
                        break;
                case OPT_SIZE:
                        if (parse_size(optarg, &o->bytes_max) < 0 || o->bytes_max > INT64_MAX / 2)
                                return report(EINVAL, "--max-size %s: write a size such as 512M or 20G", optarg);
                        break;
                case OPT_FILES:
                        if (parse_unsigned(optarg, &o->files_max) < 0 || o->files_max > UINT32_MAX)
                                return report(EINVAL, "--max-files %s: write a number up to %u", optarg, UINT32_MAX);
                        break;
                case OPT_HELP:
                        usage(stdout);
                        return 1;
                case OPT_VERSION:
                        (void) puts("sandboxd-image " VERSION);
                        return 1;
                default:
                        usage(stderr);
                        return -EINVAL;
                }
        return 0;
}

static int remove_image(const char *images, const char *name) {
        _cleanup_(generations_done) Generations g = { .fd = -EBADF, .work_fd = -EBADF };
        char folder[IMAGE_FOLDER_MAX];
        bool in_use;

        if (image_folder(name, folder) < 0)
                return report(EINVAL, "\"%.100s\" is no name of an image", name);
        int r = generations_open(images, folder, true, &g);
        if (r < 0)
                return r;
        if (r > 0 || g.current == 0)
                return report(ENOENT, "there is no image \"%.100s\" that was imported", name);
        r = generations_remove(&g, &in_use);
        if (r < 0)
                return r;
        (void) printf("%s: removed%s\n", name,
                in_use ? "; sandboxes still run from it: its files go with the next import or rm after they ended" : "");
        return 0;
}

static int remove_all(const char *images, char **names) {
        int result = 0;

        for (; *names; names++) {
                int r = remove_image(images, *names);
                if (r < 0)
                        result = r;
        }
        return result;
}

int main(int argc, char **argv) {
        const struct sigaction stop = { .sa_handler = on_signal };
        ImportOptions o = {
                .images = IMAGES_FOLDER,
                .bytes_max = IMPORT_BYTES_MAX,
                .files_max = IMPORT_FILES_MAX,
                .stop = &stopped,
        };

        (void) setlocale(LC_CTYPE, "C.UTF-8"); /* names are UTF-8, and what is not goes through as it is */
        int r = parse_arguments(argc, argv, &o);
        if (r != 0)
                return r < 0 ? 2 : EXIT_SUCCESS;
        (void) umask(0077); /* every mode is set by hand */
        (void) sigaction(SIGINT, &stop, NULL);
        (void) sigaction(SIGTERM, &stop, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
        if (sodium_init() < 0)
                return EXIT_FAILURE;

        const char *command = optind < argc ? argv[optind] : "";
        int n = argc - optind - 1;
        if (n == 1 && strcmp(command, "import") == 0)
                r = import_run(&o, argv[optind + 1]);
        else if (n == 1 && strcmp(command, "pull") == 0)
                r = pull_run(&o, argv[optind + 1]);
        else if (n >= 1 && strcmp(command, "rm") == 0)
                r = remove_all(o.images, argv + optind + 1);
        else {
                usage(stderr);
                return 2;
        }
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
