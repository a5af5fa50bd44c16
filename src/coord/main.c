/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>

#include "coord/coord.h"

enum { OPTION_LISTEN = 256, OPTION_CONFIG, OPTION_VERSION };

static const struct option options[] = {
        { "listen", required_argument, NULL, OPTION_LISTEN },
        { "config", required_argument, NULL, OPTION_CONFIG },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, OPTION_VERSION },
        { 0 },
};

static void usage(FILE *f) {
        (void) fputs(
                "sandbox-coord makes the workers of a fleet look like one.\n\n"
                "  --listen ADDR:PORT   listen there (default 127.0.0.1:8000, or what the service manager passes);\n"
                "  --listen unix:/PATH  may be repeated\n"
                "  --config FILE        read this instead of the configuration of the system\n"
                "  --help, --version\n\n"
                "Workers come from WORKERS=http://ADDRESS:PORT,... or /etc/sandboxd/coordinator.conf, else from\n"
                "the system bus. See sandbox-coord(8).\n",
                f);
}

int main(int argc, char *argv[]) {
        CoordOptions o = { 0 };
        int option;

        while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (option) {
                case OPTION_LISTEN:
                        if (o.n_listen == ELEMENTSOF(o.listen)) {
                                (void) fprintf(stderr, "sandbox-coord: --listen: at most %zu\n", o.n_listen);
                                return 2;
                        }
                        o.listen[o.n_listen++] = optarg;
                        break;
                case OPTION_CONFIG:
                        o.config = optarg;
                        break;
                case 'h':
                        usage(stdout);
                        return EXIT_SUCCESS;
                case OPTION_VERSION:
                        (void) puts("sandbox-coord " VERSION);
                        return EXIT_SUCCESS;
                default:
                        usage(stderr);
                        return 2;
                }
        if (optind != argc) {
                usage(stderr);
                return 2;
        }
        (void) umask(077);
        return coord_main(&o);
}
