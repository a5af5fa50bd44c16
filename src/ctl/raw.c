/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/raw.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static bool on, registered;

int raw_enter(void) {
        struct termios t;

        if (on)
                return 0;
        if (tcgetattr(STDIN_FILENO, &before) < 0)
                return -errno;
        if (!registered && atexit(raw_leave) != 0)
                return -ENOMEM;
        registered = true;
        t = before;
        cfmakeraw(&t);
        t.c_cc[VMIN] = 1;
        t.c_cc[VTIME] = 0;
        if (tcsetattr(STDIN_FILENO, TCSADRAIN, &t) < 0)
                return -errno;
        on = true;
        return 0;
}

void raw_leave(void) {
        if (on)
                (void) tcsetattr(STDIN_FILENO, TCSADRAIN, &before); /* the terminal may be gone */
        on = false;
}

bool raw_is_on(void) {
        return on;
}

void raw_size(unsigned *ret_rows, unsigned *ret_columns) {
        struct winsize size;

        *ret_rows = 24;
        *ret_columns = 80;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
                return;
        if (size.ws_row > 0 && size.ws_row <= 1000 && size.ws_col > 0 && size.ws_col <= 1000) {
                *ret_rows = size.ws_row;
                *ret_columns = size.ws_col;
        }
}
