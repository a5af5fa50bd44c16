/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/manager.h"
#include "log/log.h"

/* Under a service manager the registry is a file in the runtime folder, which is in memory and stays over a restart. A
 * process of its own, the keeper, writes it to the state folder: it may wait for the disk, the worker may not. */

#define SAVE_MSEC 10000
#define AGAIN_USEC (30 * USEC_PER_SEC)

int manager_open_kept_registry(Manager *m, const char *path) {
        char memory[400];

        if (m->options.standalone)
                return -EOPNOTSUPP;
        (void) snprintf(memory, sizeof memory, "%s/%s/sessions", m->options.runtime, m->config->worker_id);
        int r = registry_open_memory(path, memory, &m->registry);
        m->registry_kept = r >= 0;
        return r;
}

/* A byte in the pipe is the end for good: what has changed is written. Without one the next worker finds it in memory. */
static _noreturn_ void keep(const Registry *r, int orders, const char *path) {
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        bool last = false;
        int k = 0;

        (void) prctl(PR_SET_NAME, "sandboxd-keeper");
        /* of the worker's sockets and locks it has none */
        if (fd < 0 || dup2(orders, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 ||
                syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) < 0)
                _exit(errno);
        while (k >= 0 && !last) {
                struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
                char byte;
                int n = poll(&p, 1, SAVE_MSEC);
                if (n > 0 && read(STDIN_FILENO, &byte, 1) != 1)
                        break;
                last = n > 0;
                k = registry_save(r, STDOUT_FILENO);
        }
        _exit(-k);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        manager_start_keeper(userdata);
        return 0;
}

static void start_again(Manager *m, const char *why) {
        m->keeper_source = sd_event_source_disable_unref(m->keeper_source);
        m->keeper_fd = fd_close(m->keeper_fd); /* one that runs sees its end */
        log_warning("Which sessions there are cannot be written to %s: %s; it is tried again.", m->options.state, why);
        (void) sd_event_add_time_relative(m->event, &m->keeper_source, CLOCK_MONOTONIC, AGAIN_USEC, 0, on_again, m);
}

static int on_end(sd_event_source *source, const siginfo_t *info, void *userdata) {
        (void) source;
        start_again(userdata, info->si_code == CLD_EXITED ? strerror(info->si_status) : "the process for it was killed");
        return 0;
}

void manager_start_keeper(Manager *m) {
        char path[400];
        int ends[2];

        if (!m->registry_kept)
                return;
        (void) snprintf(path, sizeof path, "%s/%s/sessions", m->options.state, m->config->worker_id);
        m->keeper_source = sd_event_source_disable_unref(m->keeper_source);
        if (pipe2(ends, O_CLOEXEC) < 0) {
                start_again(m, strerror(errno));
                return;
        }
        pid_t pid = fork();
        if (pid == 0)
                keep(m->registry, ends[0], path);
        int r = pid < 0 ? -errno : 0;
        ends[0] = fd_close(ends[0]);
        m->keeper_fd = ends[1];
        if (r >= 0)
                r = sd_event_add_child(m->event, &m->keeper_source, pid, WEXITED, on_end, m);
        if (r < 0)
                start_again(m, strerror(-r));
}

void manager_stop_keeper(Manager *m) {
        m->keeper_source = sd_event_source_disable_unref(m->keeper_source);
        if (m->keeper_fd >= 0)
                (void) !write(m->keeper_fd, "", 1); /* fails only where nobody reads any more */
        m->keeper_fd = fd_close(m->keeper_fd);
}
