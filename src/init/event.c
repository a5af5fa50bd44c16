/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/event.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/init.h"

void event_tell_with(const InitEvent *e, int fd) {
        struct iovec iov = { .iov_base = (void *) e, .iov_len = sizeof *e };

        if (message_send(INIT_CONTROL_FD, &iov, 1, &fd, fd >= 0 ? 1 : 0) < 0)
                _exit(EXIT_FAILURE); /* nobody is left to work for */
}

void event_tell(const InitEvent *e) {
        event_tell_with(e, -EBADF);
}

void event_tell_with_data(const InitEvent *e) {
        _cleanup_fd_ int data = open(SANDBOX_HOME, INIT_DATA_FLAGS);

        event_tell_with(e, data);
}

void event_refuse(uint32_t exec, int error, InitStage stage) {
        InitEvent e = { .type = INIT_REFUSED, .exec = exec, .error = -error, .stage = stage };

        event_tell(&e);
}
