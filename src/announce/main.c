/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "announce/announce.h"
#include "log/log.h"

enum { OPTION_VERSION = 256, OPTION_CHECK };

static const struct option options[] = {
        { "worker", required_argument, NULL, 'w' },
        { "runtime", required_argument, NULL, 'r' },
        { "check", no_argument, NULL, OPTION_CHECK },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, OPTION_VERSION },
        { 0 },
};

static void usage(FILE *f) {
        (void) fputs("sandboxd-announce says in Redis that a worker of this machine is there.\n\n"
                     "  --worker NAME   name of the worker (default worker1)\n"
                     "  --runtime DIR   folder of its socket (default /run/sandboxd)\n"
                     "  --check         only see whether the configuration can be read\n"
                     "  --help, --version\n\n"
                     "See [Redis] in sandboxd.conf(5); without Host= there it does nothing.\n",
                f);
}

int main(int argc, char *argv[]) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(error_clear) Error error = { 0 };
        const char *worker = NULL, *runtime = "/run/sandboxd";
        _cleanup_free_ char *socket = NULL;
        bool check = false;
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'w':
                        worker = optarg;
                        break;
                case 'r':
                        runtime = optarg;
                        break;
                case OPTION_CHECK:
                        check = true;
                        break;
                case 'h':
                        usage(stdout);
                        return EXIT_SUCCESS;
                case OPTION_VERSION:
                        (void) puts("sandboxd-announce " VERSION);
                        return EXIT_SUCCESS;
                default:
                        usage(stderr);
                        return 2;
                }
        if (optind != argc) {
                usage(stderr);
                return 2;
        }
        if (sodium_init() < 0)
                return EXIT_FAILURE;
        int r = config_load_without_keys("", worker, &config, &error);
        log_setup(LOG_TARGET_AUTO, LOG_INFO, r < 0 ? worker : config->worker_id);
        if (r < 0) {
                log_error("%s", error.detail ? error.detail : "Out of memory.");
                return EXIT_FAILURE;
        }
        if (check)
                return EXIT_SUCCESS;
        if (!config->redis.host[0]) {
                (void) sd_notify(0, "READY=1"); /* there is nothing to do */
                return EXIT_SUCCESS;
        }
        if (asprintf(&socket, "%s/%s.sock", runtime, config->worker_id) < 0) {
                socket = NULL;
                return EXIT_FAILURE;
        }
        return announce_run(config, socket);
}
