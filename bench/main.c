/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* Measures a worker that runs already; bench/run starts one for it. */

static const struct {
        const char *name;
        Part *run;
} parts[] = {
        { "create", part_create },
        { "ondemand", part_ondemand },
        { "exec", part_exec },
        { "growth", part_growth },
        { "memory", part_memory },
        { "rate", part_rate },
        { "files", part_files },
        { "image", part_image },
        { "filter", part_filter },
        { "streams", part_streams },
        { "warm", part_warm },
};

static const struct option options[] = {
        { "tcp", required_argument, NULL, 't' },
        { "unix", required_argument, NULL, 'u' },
        { "other", required_argument, NULL, 'o' },
        { "dav", required_argument, NULL, 'v' },
        { "root", required_argument, NULL, 'r' },
        { "bundle", required_argument, NULL, 'b' },
        { "pid", required_argument, NULL, 'p' },
        { "rounds", required_argument, NULL, 'n' },
        { "sessions", required_argument, NULL, 's' },
        { "seconds", required_argument, NULL, 'd' },
        { 0 },
};

_noreturn_ static void usage(void) {
        (void) fputs("bench-sandboxd --tcp ADDR:PORT --unix PATH --root DIR --pid PID [--bundle DIR]\n"
                     "               [--other ADDR] [--dav ADDR:PORT] [--rounds N] [--sessions N] [--seconds S] PART\n"
                     "  parts: create ondemand exec growth memory rate files image filter streams warm\n",
                stderr);
        exit(2);
}

static unsigned number(const char *text, unsigned min, unsigned max) {
        char *end;
        unsigned long n = strtoul(text, &end, 10);

        if (*end != '\0' || n < min || n > max)
                errx(2, "%s: not a number from %u to %u", text, min, max);
        return (unsigned) n;
}

int main(int argc, char *argv[]) {
        static Bench b = { .rounds = 300, .sessions = 300, .seconds = 1 };
        Part *part = NULL;
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 't':
                        b.tcp = optarg;
                        break;
                case 'u':
                        b.local = optarg;
                        break;
                case 'o':
                        b.other = optarg;
                        break;
                case 'v':
                        b.dav = optarg;
                        break;
                case 'r':
                        b.root = optarg;
                        break;
                case 'b':
                        b.bundle = optarg;
                        break;
                case 'p':
                        b.worker = (pid_t) number(optarg, 1, 1U << 22);
                        break;
                case 'n':
                        b.rounds = number(optarg, 20, 100000);
                        break;
                case 's':
                        b.sessions = number(optarg, 20, 10000);
                        break;
                case 'd':
                        b.seconds = strtod(optarg, NULL);
                        break;
                default:
                        usage();
                }
        for (size_t i = 0; i < ELEMENTSOF(parts) && optind + 1 == argc; i++)
                if (strcmp(argv[optind], parts[i].name) == 0)
                        part = parts[i].run;
        if (part == part_filter) { /* needs no worker */
                part(&b);
                return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
        if (!part || !b.tcp || !b.local || !b.root || b.worker == 0 || b.seconds <= 0)
                usage();

        srandom((unsigned) time(NULL));
        /* before there are descriptors that they would keep open */
        bare_start(&b.host, NULL);
        bare_start(&b.image, b.root);
        client_open(&b.client, b.tcp);
        part(&b);
        client_close(&b.client);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
