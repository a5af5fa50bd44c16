/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <systemd/sd-daemon.h>

#include "daemon/manager.h"
#include "log/log.h"

/* The service manager is told that all is well only when this loop turns and the spawner, with its zygote, answers. */

#define ASK_USEC (2 * USEC_PER_SEC)
#define SILENCE_USEC (15 * USEC_PER_SEC)

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;
        Backend *b = m->backend;

        (void) usec;
        (void) sd_event_source_set_time_relative(source, ASK_USEC);
        manager_update_status(m); /* of what changes without an event, as draining does */
        if (b->status != BACKEND_READY) {
                (void) sd_notify(0, "WATCHDOG=1"); /* known, told in /health, and being repaired */
                return 0;
        }
        usec_t silence = clock_monotonic() - b->last_answer;
        if (silence < SILENCE_USEC)
                (void) sd_notify(0, "WATCHDOG=1");
        else if (!m->silence_told)
                log_event(LOG_ERR, &MESSAGE_SPAWNER_LOST, LOG_FIELDS({ "REASON", "does not answer" }),
                        "The spawner does not answer any more.");
        m->silence_told = silence >= SILENCE_USEC;
        if (b->ops->ping)
                b->ops->ping(b);
        return 0;
}

int manager_watch(Manager *m) {
        int r = sd_event_add_time_relative(
                m->event, &m->watchdog_source, CLOCK_MONOTONIC, 0, USEC_PER_SEC / 4, on_time, m);

        if (r >= 0)
                r = sd_event_source_set_enabled(m->watchdog_source, SD_EVENT_ON);
        return r < 0 ? log_error_errno(r, "Cannot set a timer: %m") : 0;
}
