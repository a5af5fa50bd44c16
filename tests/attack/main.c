/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

#define WAIT_FOR_OTHER_MS 60000
#define READY_FILE "/tmp/attack-ready"
#define STOP_FILE "/tmp/attack-stop"

static char first_hole[512];

__attribute__((format(printf, 3, 0))) static int say(const char *verdict, int status, const char *format, va_list ap) {
        char text[1024];

        (void) vsnprintf(text, sizeof text, format, ap);
        for (char *p = text; *p; p++)
                if (*p == '\n')
                        *p = ' ';
        (void) printf("%s: %s\n", verdict, text);
        (void) fflush(stdout);
        return status;
}

#define SAY(verdict, status)                                                                                           \
        va_list ap;                                                                                                    \
        va_start(ap, format);                                                                                          \
        int r = say(verdict, status, format, ap);                                                                      \
        va_end(ap);                                                                                                    \
        return r

int held(const char *format, ...) {
        SAY("held", 0);
}

int broken(const char *format, ...) {
        SAY("BROKEN", 1);
}

int skipped(const char *format, ...) {
        SAY("skipped", 77);
}

void hole(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        if (!first_hole[0])
                (void) vsnprintf(first_hole, sizeof first_hole, format, ap);
        va_end(ap);
}

int verdict(const char *format, ...) {
        if (first_hole[0])
                return broken("%s", first_hole);
        SAY("held", 0);
}

void sleep_ms(unsigned ms) {
        struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long) (ms % 1000) * 1000000 };

        (void) nanosleep(&t, NULL);
}

uint64_t now_ms(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

void ready(void) {
        int fd = open(READY_FILE, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

        if (fd >= 0)
                (void) close(fd);
}

void wait_for_other(void) {
        for (uint64_t end = now_ms() + WAIT_FOR_OTHER_MS; now_ms() < end && access(STOP_FILE, F_OK) < 0;)
                sleep_ms(20);
}

ssize_t read_file(const char *path, char *buf, size_t size) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        size_t length = 0;
        ssize_t n = 0;

        if (fd < 0)
                return -errno;
        while (length < size - 1 && (n = read(fd, buf + length, size - 1 - length)) > 0)
                length += (size_t) n;
        if (n < 0)
                n = -errno;
        (void) close(fd);
        buf[length] = '\0';
        return n < 0 ? n : (ssize_t) length;
}

bool has_content(const char *path) {
        char c[2];

        return read_file(path, c, sizeof c) > 0;
}

long status_number(const char *path, const char *key, int base) {
        char text[8192], *p;
        size_t n = strlen(key);

        if (read_file(path, text, sizeof text) < 0)
                return -1;
        for (p = text; p; p = strchr(p, '\n')) {
                p += *p == '\n';
                if (strncmp(p, key, n) == 0 && p[n] == ':')
                        return (long) strtoull(p + n + 1, NULL, base);
                if (*p == '\0')
                        break;
        }
        return -1;
}

unsigned count_in_state(char state) {
        char path[300], text[1024];
        DIR *d = opendir("/proc");
        unsigned n = 0;

        for (struct dirent *e; d && (e = readdir(d));) {
                (void) snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
                if (e->d_name[0] < '0' || e->d_name[0] > '9' || read_file(path, text, sizeof text) <= 0)
                        continue;
                char *p = strrchr(text, ')');
                n += p && p[1] == ' ' && p[2] == state;
        }
        if (d)
                (void) closedir(d);
        return n;
}

int in_child(int (*function)(void *), void *argument) {
        int status;

        (void) fflush(stdout);
        pid_t pid = fork();
        if (pid < 0)
                return -EAGAIN;
        if (pid == 0)
                _exit(function(argument));
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -ECHILD;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

const Attack attacks[] = {
#define ATTACK(name, kind, flags, stopper, mirrors) { #name, ATTACK_##kind, flags, stopper, mirrors, attack_##name },
#include "cases.h"
#undef ATTACK
};
const size_t n_attacks = N_OF(attacks);

int main(int argc, char *argv[]) {
        static const char *const kinds[] = { "single", "flood", "pair", "together", "heir", "differ", "outside" };

        if (argc == 2 && strcmp(argv[1], "--list") == 0) {
                for (size_t i = 0; i < n_attacks; i++)
                        (void) printf("%s\t%s\t%u\t%s\t%s\n", attacks[i].name, kinds[attacks[i].kind], attacks[i].flags,
                                attacks[i].stopper, attacks[i].mirrors);
                return 0;
        }
        for (size_t i = 0; (argc == 2 || argc == 3) && i < n_attacks; i++)
                if (strcmp(argv[1], attacks[i].name) == 0)
                        return attacks[i].run(argc == 3 ? argv[2][0] : 'a');
        (void) fprintf(stderr, "Usage: attack NAME [PART] | --list\n");
        return 2;
}
