/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <curl/curl.h>
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "runner.h"

/*
 * Runs the attack suite against a running worker, through its public API alone: sessions, commands, health. Each case
 * gets fresh sessions; after each the worker has to be healthy, the number of sessions what it was and, when the
 * worker runs on this machine, no process of the case left.
 */

/* Processes on this machine that run the program, or -1 when that cannot be told. */
static int count_processes(const Runner *x) {
        const char *name = strrchr(x->inside, '/') + 1;
        DIR *proc = opendir("/proc");
        int n = 0;

        for (struct dirent *e; proc && (e = readdir(proc));) {
                char path[300], text[PATH_MAX];
                if (e->d_name[0] < '0' || e->d_name[0] > '9')
                        continue;
                (void) snprintf(path, sizeof path, "/proc/%s/exe", e->d_name);
                ssize_t length = readlink(path, text, sizeof text - 1);
                text[length > 0 ? length : 0] = '\0';
                if (strstr(text, name))
                        n++;
        }
        if (!proc)
                return -1;
        (void) closedir(proc);
        return n;
}

static void check_outside(Runner *x, Verdict *v) {
        Health h = { 0 };
        int r = -EIO, left = 0;

        for (usec_t end = clock_monotonic() + 5 * USEC_PER_SEC; clock_monotonic() < end; usleep(50000)) {
                r = server_health(&x->server, &h);
                left = count_processes(x);
                if (r == 0 && strcmp(h.status, "healthy") == 0 && h.active <= x->before.active && left <= 0)
                        break;
        }
        if (r < 0)
                judge(v, BROKEN, "the worker is gone: %s", client_error(x->server.client));
        else if (strcmp(h.status, "healthy") != 0)
                judge(v, BROKEN, "the worker is %s", h.status);
        else if (h.active > x->before.active)
                judge(v, BROKEN, "%llu sessions are left", (unsigned long long) (h.active - x->before.active));
        else if (left > 0)
                judge(v, BROKEN, "%d processes are left on the machine", left);
}

static void run_case(Runner *x, const Case *c) {
        static const char *const words[] = { "held", "skipped", "BROKEN", "known" };
        Verdict v = { 0 };

        if ((c->flags & NEEDS_LIMITS) && !x->before.limits)
                judge(&v, SKIPPED, "this worker has no limits of memory, CPU and tasks");
        else {
                run_kind(x, c, &v);
                check_outside(x, &v);
        }
        if (v.state == BROKEN && (c->flags & KNOWN))
                v.state = KNOWN_GAP;
        x->known += v.state == KNOWN_GAP;
        x->passed += v.state == HELD;
        x->failed += v.state == BROKEN;
        x->skipped += v.state == SKIPPED;
        (void) printf("%-17s  %-7s  %s\n", c->name, words[v.state], c->stopper);
        if (v.state != HELD || x->verbose)
                (void) printf("%-17s  %-7s  (%s)\n", "", "", v.detail);
        (void) fflush(stdout);
}

/* --- start --- */

static bool takes_long(const Case *c) {
        return c->kind == ATTACK_FLOOD || (c->flags & (REPEAT | LASTS));
}

static int read_cases(Runner *x) {
        static const char *const kinds[] = { "single", "flood", "pair", "together", "heir", "differ", "outside" };
        char command[PATH_MAX + 32], line[1024];

        (void) snprintf(command, sizeof command, "'%s' --list", x->program);
        FILE *f = popen(command, "re");
        while (f && fgets(line, sizeof line, f) && x->n_cases < ELEMENTSOF(x->cases)) {
                Case *c = &x->cases[x->n_cases];
                char *rest = line, *name = strsep(&rest, "\t"), *kind = strsep(&rest, "\t"),
                     *flags = strsep(&rest, "\t"), *stopper = strsep(&rest, "\t");
                if (!stopper)
                        continue;
                (void) snprintf(c->name, sizeof c->name, "%s", name);
                (void) snprintf(c->stopper, sizeof c->stopper, "%s", stopper);
                c->flags = (unsigned) atoi(flags);
                for (unsigned i = 0; i < ELEMENTSOF(kinds); i++)
                        if (strcmp(kinds[i], kind) == 0) {
                                c->kind = (AttackKind) i;
                                x->n_cases++;
                        }
        }
        if (f)
                (void) pclose(f);
        return x->n_cases > 0 ? 0 : -ENOENT;
}

static int read_program(Runner *x) {
        int fd = open(x->program, O_RDONLY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        _cleanup_free_ char *bytes = malloc((size_t) st.st_size);
        if (!bytes || read(fd, bytes, (size_t) st.st_size) != st.st_size)
                return -EIO;
        (void) close(fd);
        x->image = base64_encode(bytes, (size_t) st.st_size);
        return x->image ? 0 : -ENOMEM;
}

static const struct option options[] = {
        { "url", required_argument, NULL, 'u' },
        { "socket", required_argument, NULL, 's' },
        { "key", required_argument, NULL, 'k' },
        { "image", required_argument, NULL, 'i' },
        { "fork", no_argument, NULL, 'f' },
        { "program", required_argument, NULL, 'p' },
        { "list", no_argument, NULL, 'l' },
        { "verbose", no_argument, NULL, 'v' },
        { "brief", no_argument, NULL, 'b' },
        { "thorough", no_argument, NULL, 't' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

static int usage(FILE *f, int status) {
        (void) fputs("Attacks the sandboxes of a running worker and tells what held.\n\n"
                     "run --url URL | --socket PATH [OPTION...] [CASE...]\n\n"
                     "  --key KEY       of the API (default: the variable SANDBOXD_KEY)\n"
                     "  --image NAME    that the sandboxes are made of (default: the server's own choice)\n"
                     "  --fork          make each session a fork of another\n"
                     "  --program FILE  the program with the cases (default: \"attack\" beside this one)\n"
                     "  --list          show the cases\n"
                     "  --brief         leave out floods, and what is tried for long\n"
                     "  --thorough      take the time for 100,000 reads and writes\n"
                     "  --verbose       say what was tried also where it held\n",
                f);
        return status;
}

int main(int argc, char *argv[]) {
        static Runner x;
        bool list = false, brief = false;
        int c;

        while ((c = getopt_long(argc, argv, "hv", options, NULL)) >= 0)
                switch (c) {
                case 'u':
                        x.server.url = optarg;
                        break;
                case 's':
                        x.server.socket = optarg;
                        break;
                case 'k':
                        x.server.key = optarg;
                        break;
                case 'i':
                        x.server.image = optarg;
                        break;
                case 'f':
                        x.server.forks = true;
                        break;
                case 'p':
                        (void) snprintf(x.program, sizeof x.program, "%s", optarg);
                        break;
                case 'l':
                        list = true;
                        break;
                case 'b':
                        brief = true;
                        break;
                case 't':
                        x.thorough = true;
                        break;
                case 'v':
                        x.verbose = true;
                        break;
                case 'h':
                        return usage(stdout, 0);
                default:
                        return usage(stderr, 2);
                }
        if (!x.server.key)
                x.server.key = getenv("SANDBOXD_KEY");
        if (x.server.key && !*x.server.key)
                x.server.key = NULL;
        if (!list && !x.server.url == !x.server.socket)
                return usage(stderr, 2);

        if (!x.program[0]) {
                char self[PATH_MAX - 16];
                ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
                self[n > 0 ? n : 0] = '\0';
                (void) snprintf(x.program, sizeof x.program, "%s/attack", dirname(self));
        }
        (void) snprintf(
                x.inside, sizeof x.inside, "/tmp/atk%08x", (unsigned) (clock_realtime() ^ (usec_t) getpid() << 20));
        int r = read_cases(&x);
        if (r == 0)
                r = read_program(&x);
        if (r < 0) {
                (void) fprintf(stderr, "%s: %s\n", x.program, strerror(-r));
                return 2;
        }
        if (list) {
                for (size_t i = 0; i < x.n_cases; i++)
                        (void) printf("%-17s  %s\n", x.cases[i].name, x.cases[i].stopper);
                return 0;
        }

        (void) signal(SIGPIPE, SIG_IGN);
        (void) curl_global_init(CURL_GLOBAL_DEFAULT);
        r = server_connect(&x.server);
        if (r == 0 && x.server.forks)
                r = server_make_parents(&x.server);
        if (r == 0)
                r = server_health(&x.server, &x.before);
        if (r < 0) {
                (void) fprintf(stderr, "%s\n", x.server.client ? client_error(x.server.client) : strerror(-r));
                server_end_parents(&x.server);
                return 2;
        }
        unsigned n_run = 0;
        for (size_t i = 0; i < x.n_cases; i++) {
                bool wanted = optind == argc && !(brief && takes_long(&x.cases[i]));
                for (int j = optind; j < argc; j++)
                        wanted = wanted || strcmp(argv[j], x.cases[i].name) == 0;
                if (!wanted)
                        continue;
                run_case(&x, &x.cases[i]);
                n_run++;
        }
        server_end_parents(&x.server);
        free(x.image);
        x.server.client = client_free(x.server.client);
        if (x.skipped)
                (void) printf("%u skipped, which are none of those that held\n", x.skipped);
        if (x.known)
                (void) printf("%u known gaps, see SECURITY.md\n", x.known);
        (void) printf("%s%s%.*s: %u of %u cases held\n", x.server.forks ? "forks" : "sandboxes",
                x.server.image ? " of " : "", x.server.image ? (int) strcspn(x.server.image, ":") : 0,
                x.server.image ? x.server.image : "", x.passed, x.passed + x.failed);
        (void) printf("%u passed, %u failed\n", x.passed, x.failed);
        return n_run == 0 || x.failed > 0;
}
