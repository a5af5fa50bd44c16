/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"

int terminal_open(uint16_t rows, uint16_t columns, int *ret_master, int *ret_slave) {
        struct winsize size = { .ws_row = rows, .ws_col = columns };
        int unlock = 0;

        _cleanup_fd_ int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCSWINSZ, &size) < 0)
                return -errno;
        int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (slave < 0)
                return -errno;
        *ret_master = take_fd(master);
        *ret_slave = slave;
        return 0;
}
