/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

/* The end of a command: nothing of it may run on, whether it is alone in its sandbox or not. */

static unsigned count_named(const char *name) {
        char path[300], text[64];
        DIR *d = opendir("/proc");
        unsigned n = 0;

        for (struct dirent *e; d && (e = readdir(d));) {
                if (e->d_name[0] < '0' || e->d_name[0] > '9' || atoi(e->d_name) == getpid())
                        continue;
                (void) snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
                if (read_file(path, text, sizeof text) > 0 && strncmp(text, name, strlen(name)) == 0)
                        n++;
        }
        if (d)
                (void) closedir(d);
        return n;
}

static void detach(const char *name) {
        (void) prctl(PR_SET_NAME, name);
        (void) setsid();
        for (int i = 1; i <= SIGRTMAX; i++)
                (void) signal(i, SIG_IGN);
}

/* Part 'b' looks whether something is left. */
int attack_daemon_hold(char part) {
        if (part == 'b') {
                unsigned n = count_named("attack-daemon");
                return n > 0 ? broken("%u processes of an ended command run on", n) : held("nothing is left");
        }
        for (int i = 0; i < 3; i++)
                if (fork() == 0) {
                        detach("attack-daemon");
                        if (fork() > 0)
                                _exit(0);
                        sleep_ms(60000); /* with the streams open */
                        _exit(0);
                }
        return held("daemons hold the streams");
}

int attack_self_stop(char part) {
        if (part == 'b') {
                unsigned n = count_named("attack-stop");
                return n > 0 ? broken("%u stopped processes are left", n) : held("nothing is left");
        }
        (void) prctl(PR_SET_NAME, "attack-stop");
        if (fork() == 0)
                (void) raise(SIGSTOP);
        (void) raise(SIGSTOP);
        return broken("it was not stopped");
}

static void lower(int resource, rlim_t value) {
        struct rlimit limit = { value, value };

        (void) setrlimit(resource, &limit);
}

/* Part 'b' leaves processes that try to look like those of part 'a', which runs on. */
int attack_exec_escape(char part) {
        static const int resources[] = { RLIMIT_RTTIME, RLIMIT_LOCKS };
        struct rlimit own;

        if (part == 'a') {
                ready();
                wait_for_other();
                sleep_ms(200);
                unsigned n = count_named("escapee");
                return n > 0 ? broken("%u processes outlive their command", n) : held("none outlives its command");
        }
        for (size_t i = 0; i < N_OF(resources); i++) {
                (void) getrlimit(resources[i], &own);
                rlim_t values[] = { 0, 1, own.rlim_max - 1, own.rlim_max - 2, own.rlim_max - 3, RLIM_INFINITY };
                for (size_t j = 0; j < N_OF(values); j++)
                        if (fork() == 0) {
                                detach("escapee");
                                if (values[j] != RLIM_INFINITY)
                                        lower(resources[i], values[j]);
                                if (fork() > 0)
                                        _exit(0);
                                sleep_ms(30000);
                                _exit(0);
                        }
        }
        sleep_ms(100);
        return held("twelve daemons");
}

static void bomb(void) {
        for (;;) {
                pid_t pid = fork();
                if (pid == 0) {
                        (void) setsid();
                        continue;
                }
                if (pid < 0)
                        sleep_ms(1);
                if (getppid() == 1 && pid > 0)
                        _exit(0); /* always on the move */
        }
}

/* Part 'b' ends while its descendants fork without end. */
int attack_exec_bomb(char part) {
        if (part == 'a') {
                ready();
                wait_for_other();
                sleep_ms(500);
                unsigned n = count_named("attack-bomb");
                return n > 0 ? broken("%u processes outlive their command", n) : held("none outlives its command");
        }
        if (fork() == 0) {
                (void) signal(SIGCHLD, SIG_IGN);
                detach("attack-bomb");
                (void) signal(SIGCHLD, SIG_IGN);
                bomb();
        }
        sleep_ms(300);
        return held("it forks");
}

/* Part 'a' stops the commands that come after it before they have executed anything, while process 1 waits for that. */
int attack_vfork_stop(char part) {
        unsigned n = 0;

        if (part == 'b') {
                (void) close(open("/tmp/attack-go", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
                return held("a command");
        }
        ready();
        while (access("/tmp/attack-go", F_OK) < 0) /* the runner has seen that we are ready */
                sleep_ms(5);
        for (uint64_t end = now_ms() + 15000; now_ms() < end && access("/tmp/attack-stop", F_OK) < 0;)
                for (pid_t pid = getpid() + 1; pid < getpid() + 600; pid++)
                        if (kill(pid, SIGSTOP) == 0)
                                n++;
        return held("%u commands were stopped", n);
}

/* Part 'a' traces the commands that come after it and never lets their end be seen. */
int attack_trace_zombie(char part) {
        unsigned n = 0;

        if (part == 'b') {
                (void) prctl(PR_SET_NAME, "attack-traced");
                sleep_ms(300);
                return held("it ended");
        }
        ready();
        for (uint64_t end = now_ms() + 8000; now_ms() < end; sleep_ms(5))
                for (pid_t pid = getpid() + 1; pid < getpid() + 64; pid++)
                        if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0)
                                n++;
        return held("%u commands were traced", n);
}
