/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/manager.h"

enum { OPTION_STANDALONE = 256, OPTION_LISTEN, OPTION_STATE, OPTION_RUNTIME, OPTION_VERSION };

static const struct option options[] = {
        { "worker", required_argument, NULL, 'w' },
        { "standalone", no_argument, NULL, OPTION_STANDALONE },
        { "listen", required_argument, NULL, OPTION_LISTEN },
        { "state", required_argument, NULL, OPTION_STATE },
        { "runtime", required_argument, NULL, OPTION_RUNTIME },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, OPTION_VERSION },
        { 0 },
};

static void usage(FILE *f) {
        (void) fputs("sandboxd keeps a pool of sandboxes, hands one out for each session and runs commands in it.\n\n"
                     "  --worker NAME       name of this worker (default worker1)\n"
                     "  --standalone        run without a service manager, in the foreground, with its own spawner\n"
                     "  --listen ADDR:PORT  standalone: listen there (default 127.0.0.1:5000); may be repeated\n"
                     "  --state DIR         standalone: folder of images\n"
                     "  --runtime DIR       standalone: folder of sockets\n"
                     "  --help, --version\n\n"
                     "See sandboxd(8), and sandboxctl(1) to use it.\n",
                f);
}

/* Where an ordinary user keeps such things. */
static void default_folders(ManagerOptions *o, char *state, char *runtime, size_t size) {
        const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME"), *run = getenv("XDG_RUNTIME_DIR");

        if (getuid() == 0 || !o->standalone) {
                (void) snprintf(state, size, "/var/lib/sandboxd");
                (void) snprintf(runtime, size, "/run/sandboxd");
        } else {
                if (data && data[0] == '/')
                        (void) snprintf(state, size, "%s/sandboxd", data);
                else
                        (void) snprintf(
                                state, size, "%s/.local/share/sandboxd", home && home[0] == '/' ? home : "/tmp");
                if (run && run[0] == '/')
                        (void) snprintf(runtime, size, "%s/sandboxd", run);
                else
                        (void) snprintf(runtime, size, "/tmp/sandboxd-%u", getuid());
        }
        if (!o->state)
                o->state = state;
        if (!o->runtime)
                o->runtime = runtime;
}

int main(int argc, char *argv[]) {
        static char state[256], runtime[256];
        ManagerOptions o = { .root = "" };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'w':
                        o.worker = optarg;
                        break;
                case OPTION_STANDALONE:
                        o.standalone = true;
                        break;
                case OPTION_LISTEN:
                        if (o.n_listen == ELEMENTSOF(o.listen)) {
                                (void) fprintf(
                                        stderr, "sandboxd: --listen can be given %zu times at most\n", o.n_listen);
                                return 2;
                        }
                        o.listen[o.n_listen++] = optarg;
                        break;
                case OPTION_STATE:
                        o.state = optarg;
                        break;
                case OPTION_RUNTIME:
                        o.runtime = optarg;
                        break;
                case 'h':
                        usage(stdout);
                        return EXIT_SUCCESS;
                case OPTION_VERSION:
                        (void) puts("sandboxd " VERSION);
                        return EXIT_SUCCESS;
                default:
                        usage(stderr);
                        return 2;
                }
        if (optind != argc || ((o.n_listen || o.state || o.runtime) && !o.standalone)) {
                usage(stderr);
                return 2;
        }
        (void) umask(022);
        default_folders(&o, state, runtime, sizeof state);
        if (strlen(o.state) > 200 || strlen(o.runtime) > 80 || o.state[0] != '/' || o.runtime[0] != '/') {
                (void) fprintf(stderr,
                        "sandboxd: --state and --runtime have to be absolute paths of at most 200 and 80 "
                        "characters\n");
                return 2;
        }
        return manager_main(&o);
}
