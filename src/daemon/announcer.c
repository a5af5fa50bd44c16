/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/manager.h"
#include "log/log.h"

#define AGAIN_USEC (2 * USEC_PER_SEC)

/* Without a service manager the worker starts sandboxd-announce by itself, and again when it ended. */

static int start(Manager *m);

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        (void) start(userdata);
        return 0;
}

static int on_end(sd_event_source *source, const siginfo_t *info, void *userdata) {
        Manager *m = userdata;

        (void) source;
        m->announcer = 0;
        m->announcer_source = sd_event_source_disable_unref(m->announcer_source);
        if (m->stopping || !m->config->redis.host[0])
                return 0;
        log_warning("sandboxd-announce ended with %d; it is started again.", info->si_status);
        (void) sd_event_add_time_relative(m->event, &m->announcer_source, CLOCK_MONOTONIC, AGAIN_USEC, 0, on_again, m);
        return 0;
}

static int start(Manager *m) {
        char path[PATH_MAX + 64];
        char *argv[] = { path, (char *) "--worker", m->config->worker_id, (char *) "--runtime",
                (char *) m->options.runtime, NULL };
        sigset_t none;

        manager_find_program("announce", "sandboxd-announce", path, sizeof path);
        m->announcer = fork();
        if (m->announcer < 0)
                return log_error_errno(errno, "Cannot start sandboxd-announce: %m");
        if (m->announcer == 0) {
                (void) setpgid(0, 0); /* a key press that ends us is ours to pass on */
                (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
                (void) sigemptyset(&none);
                (void) sigprocmask(SIG_SETMASK, &none, NULL);
                (void) execv(path, argv);
                _exit(127);
        }
        m->announcer_source = sd_event_source_disable_unref(m->announcer_source);
        return sd_event_add_child(m->event, &m->announcer_source, m->announcer, WEXITED, on_end, m);
}

int manager_start_announcer(Manager *m) {
        return m->options.standalone && m->config->redis.host[0] ? start(m) : 0;
}

void manager_change_announcer(Manager *m, const Config *former) {
        if (redis_settings_equal(&m->config->redis, &former->redis) &&
                strcmp(m->config->advertise, former->advertise) == 0)
                return;
        if (m->announcer > 0)
                (void) kill(m->announcer, SIGTERM); /* the next one reads the new configuration */
        else
                (void) manager_start_announcer(m);
}

void manager_stop_announcer(Manager *m) {
        m->announcer_source = sd_event_source_disable_unref(m->announcer_source);
        if (m->announcer > 0)
                (void) kill(m->announcer, SIGTERM);
        m->announcer = 0;
}
