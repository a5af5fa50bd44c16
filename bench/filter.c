/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "init/init.h"

/* What the filters of a sandbox cost a system call: the same calls in two processes, one with the filters, in turn. */

#define CALLS 1000U /* short enough for one slice of the processor */
#define TURNS 2000U

static int null_fd;

static void call_plain(void) {
        (void) syscall(SYS_getppid);
}

/* These are looked at in their arguments. */
static void call_ioctl(void) {
        int value;

        (void) syscall(SYS_ioctl, null_fd, FIONREAD, &value);
}

static void call_sendto(void) {
        (void) syscall(SYS_sendto, null_fd, &(char){ 0 }, 1, 0, NULL, 0);
}

/* Nanoseconds of one call, the best of some turns: the rest is the machine's. In a child. */
static double measure(void (*call)(void), bool filtered) {
        double *best = mmap(NULL, sizeof *best, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        int status;

        if (best == MAP_FAILED)
                err(EXIT_FAILURE, "mmap");
        pid_t pid = fork();
        if (pid == 0) {
                if (filtered && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_install_allowed() < 0 ||
                                        filter_install_lock(0) < 0))
                        _exit(1);
                *best = 1e9;
                for (unsigned i = 0; i < TURNS; i++) {
                        struct timespec from, to;
                        (void) clock_gettime(CLOCK_MONOTONIC, &from);
                        for (unsigned n = 0; n < CALLS; n++)
                                call();
                        (void) clock_gettime(CLOCK_MONOTONIC, &to);
                        double took = ((double) (to.tv_sec - from.tv_sec) * 1e9 + (double) (to.tv_nsec - from.tv_nsec)) /
                                      CALLS;
                        *best = took < *best ? took : *best;
                }
                _exit(0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
                errx(EXIT_FAILURE, "the filters cannot be installed");
        double ns = *best;
        (void) munmap(best, sizeof *best);
        return ns;
}

static void report_cost(const char *name, void (*call)(void), double target) {
        double without = measure(call, false), with = measure(call, true);

        report_value(name, with - without, "ns", target);
}

void part_filter(Bench *b) {
        (void) b; /* needs no worker */
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        report_title("system call filters", "cost", "");
        report_cost("a call whose arguments do not matter", call_plain, 60);
        report_cost("ioctl(), whose request is looked at", call_ioctl, 100);
        report_cost("sendto(), whose flags are looked at", call_sendto, 100);
        (void) close(null_fd);
}
