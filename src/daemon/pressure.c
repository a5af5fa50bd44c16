/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "daemon/manager.h"
#include "log/log.h"

/* Pressure stall information (Documentation/accounting/psi.rst): when tasks of the machine wait for memory or processor,
 * the pool shrinks first, and then no sessions are created, before the kernel has to kill anything. */

#define LOOK_USEC (2 * USEC_PER_SEC)
#define MEMORY_SHRINK 10.0 /* percent of the last 10 s that some task waited */
#define MEMORY_REFUSE 40.0
#define CPU_SHRINK 99.0 /* percent of the last minute: a machine that is merely busy often has 90 */
#define EASED 0.5 /* of the limit, before it is over */

static bool parse(const char *text, unsigned seconds, double *ret) {
        if (seconds == 10)
                return sscanf(text, "some avg10=%lf", ret) == 1;
        return sscanf(text, "some avg10=%*f avg60=%lf", ret) == 1;
}

/* The root of control groups can be read where /proc is not shown. */
static double read_pressure(const char *what, unsigned seconds) {
        char path[64], text[256];
        double value;

        for (int i = 0; i < 2; i++) {
                (void) snprintf(path, sizeof path, i == 0 ? "/sys/fs/cgroup/%s.pressure" : "/proc/pressure/%s", what);
                if (file_read(AT_FDCWD, path, text, sizeof text) > 0 && parse(text, seconds, &value))
                        return value;
        }
        return 0;
}

static bool is_over(bool was_over, double value, double limit) {
        return value >= (was_over ? limit * EASED : limit);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;
        double memory = read_pressure("memory", 10), cpu = read_pressure("cpu", 60);

        (void) usec;
        (void) sd_event_source_set_time_relative(source, LOOK_USEC);
        m->api.pressure_memory = memory;
        m->api.pressure_cpu = cpu;

        if (!m->ready) /* the pool is filled once, whatever else begins at the same time */
                return 0;
        bool shrink = is_over(m->pool_strained, memory, MEMORY_SHRINK) || is_over(m->pool_strained, cpu, CPU_SHRINK);
        bool refuse = is_over(m->sessions_strained, memory, MEMORY_REFUSE);
        if (shrink != m->pool_strained) {
                m->pool_strained = shrink;
                log_event(LOG_NOTICE, &MESSAGE_PRESSURE, NULL,
                        shrink ? "The machine is under pressure (memory %.0f %%, CPU %.0f %%): the pool shrinks."
                               : "The pressure on the machine has eased (memory %.0f %%, CPU %.0f %%).",
                        memory, cpu);
                for (Pool *p = m->pool; p; p = pool_next(p))
                        pool_set_strained(p, shrink);
        }
        if (refuse != m->sessions_strained) {
                m->sessions_strained = refuse;
                session_manager_set_strained(m->sessions, refuse);
        }
        return 0;
}

int manager_watch_pressure(Manager *m) {
        int r = sd_event_add_time_relative(
                m->event, &m->pressure_source, CLOCK_MONOTONIC, 0, USEC_PER_SEC / 2, on_time, m);

        if (r >= 0)
                r = sd_event_source_set_enabled(m->pressure_source, SD_EVENT_ON);
        return r < 0 ? log_error_errno(r, "Cannot set a timer: %m") : 0;
}
