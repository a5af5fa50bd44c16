/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

static int open_terminal(int *ret_slave) {
        int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), zero = 0;
        unsigned number;
        char path[64];

        if (master < 0 || ioctl(master, TIOCSPTLCK, &zero) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
                return -1;
        (void) snprintf(path, sizeof path, "/dev/pts/%u", number);
        *ret_slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        return master;
}

static int push(void *argument) {
        static const struct {
                const char *name;
                unsigned long request;
        } requests[] = { { "TIOCSTI", TIOCSTI }, { "TIOCLINUX", TIOCLINUX }, { "TIOCSETD", TIOCSETD },
                { "TIOCCONS", TIOCCONS } };
        int slave = -1, master = open_terminal(&slave);

        (void) argument;
        if (master < 0 || slave < 0 || setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
                return 77;
        for (size_t i = 0; i < N_OF(requests); i++)
                for (int high = 0; high < 2; high++) {
                        int argument_of = 3;
                        errno = 0;
                        if (syscall(SYS_ioctl, slave, requests[i].request | (unsigned long) high << 32, &argument_of) ==
                                        0 ||
                                errno != EPERM)
                                return 1 + (int) i;
                }
        return 0;
}

int attack_tiocsti(char part) {
        char c = '\n';

        (void) part;
        for (int fd = 0; fd < 3; fd++)
                if (isatty(fd) && ioctl(fd, TIOCSTI, &c) == 0)
                        hole("input can be pushed into the client's terminal");
        int r = in_child(push, NULL);
        if (r == 77)
                return skipped("no terminal can be made");
        if (r != 0)
                hole("request %d reached the terminal", r);
        return verdict("four requests, with and without high bits");
}

int attack_terminals_apart(char part) {
        int slave = -1, master;
        struct stat st;

        if (part == 'a') {
                master = open_terminal(&slave);
                if (master < 0)
                        return skipped("no terminal can be made");
                ready();
                wait_for_other();
                return held("a terminal was held");
        }
        DIR *d = opendir("/dev/pts");
        for (struct dirent *e; d && (e = readdir(d));)
                if (e->d_name[0] != '.' && strcmp(e->d_name, "ptmx") != 0)
                        hole("there is a terminal %s", e->d_name);
        if (d)
                (void) closedir(d);
        master = open_terminal(&slave);
        unsigned number = 99;
        if (master < 0 || ioctl(master, TIOCGPTN, &number) < 0)
                return skipped("no terminal can be made");
        if (number != 0)
                hole("the first terminal has number %u", number);
        if (stat("/dev/console", &st) == 0 || stat("/dev/tty1", &st) == 0 || stat("/dev/ttyS0", &st) == 0)
                hole("there is a console");
        return verdict("terminals are counted from 0 here");
}

int attack_terminal_flood(char part) {
        unsigned n = 0;

        (void) part;
        while (n < 1000 && open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC) >= 0)
                n++;
        if (n > 64)
                hole("%u terminals can be had", n);
        return verdict("%u terminals", n);
}
