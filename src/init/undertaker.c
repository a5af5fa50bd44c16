/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/undertaker.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/init.h"

/* One with a descriptor is to hold it, one without to let go. */
typedef struct Errand {
        uint32_t slot;
} Errand;

static int errands = -EBADF; /* the zygote's end */

/* --- the zygote's part --- */

void undertaker_hold(uint32_t slot, pid_t pid) {
        Errand e = { .slot = slot };
        struct iovec iov = { .iov_base = &e, .iov_len = sizeof e };
        char path[48];

        (void) snprintf(path, sizeof path, TEMPLATE_PROC "/%d/ns/mnt", (int) pid);
        _cleanup_fd_ int mounts = open(path, O_RDONLY | O_CLOEXEC);
        if (mounts >= 0)
                (void) message_send(errands, &iov, 1, &mounts, 1);
}

int undertaker_clear(uint32_t slot) {
        Errand e = { .slot = slot };
        struct iovec iov = { .iov_base = &e, .iov_len = sizeof e };

        return message_send(errands, &iov, 1, NULL, 0);
}

/* --- its own --- */

typedef struct Held {
        int32_t *fds; /* owned, by slot; 0: none */
        uint32_t n;
} Held;

static bool make_room(Held *h, uint32_t slot) {
        uint32_t n = MAX(2 * h->n, slot + 1);

        if (slot < h->n)
                return true;
        int32_t *fds = reallocarray(h->fds, n, sizeof *fds);
        if (!fds)
                return false;
        memset(fds + h->n, 0, (n - h->n) * sizeof *fds);
        h->fds = fds;
        h->n = n;
        return true;
}

static void let_go(Held *h, uint32_t slot) {
        if (slot >= h->n || h->fds[slot] == 0)
                return;
        (void) close(h->fds[slot]); /* returns when all of it is gone */
        h->fds[slot] = 0;
}

static int tell_clear(uint32_t slot) {
        ZygoteMessage m = { .type = ZYGOTE_CLEAR, .cookie = slot };
        struct iovec iov = { .iov_base = &m, .iov_len = sizeof m };

        return message_send(INIT_ZYGOTE_FD, &iov, 1, NULL, 0);
}

_noreturn_ static void run(int sock) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[2] = { 0 };
        Held h = { 0 };

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || syscall(SYS_capset, &header, none) < 0)
                _exit(EXIT_FAILURE);
        for (;;) {
                int fds[MESSAGE_FDS_MAX];
                size_t n_fds = 0;
                Errand e;

                ssize_t n = message_recv(sock, &e, sizeof e, fds, &n_fds, 0);
                if (n == -EBADMSG) /* no room for the descriptor */
                        continue;
                if (n != sizeof e)
                        _exit(EXIT_SUCCESS); /* so did the zygote */
                let_go(&h, e.slot);
                if (n_fds == 1 && make_room(&h, e.slot))
                        h.fds[e.slot] = take_fd(fds[0]);
                else if (n_fds == 0 && tell_clear(e.slot) < 0)
                        _exit(EXIT_FAILURE);
                fds_close(fds, n_fds);
        }
}

int undertaker_start(void) {
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        pid_t pid = fork();
        if (pid < 0) {
                int r = -errno;
                fds_close(ends, 2);
                return r;
        }
        if (pid == 0) {
                (void) close(ends[0]);
                run(ends[1]);
        }
        (void) close(ends[1]);
        errands = ends[0];
        return 0;
}
