/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "daemon/manager.h"
#include "log/log.h"

#define FILL_PATIENCE_USEC (10 * USEC_PER_SEC)

void manager_set_ready(Manager *m) {
        m->ready = true;
        log_set_starting(false);
        (void) sd_notify(0, "READY=1");
}

static void become_ready(Manager *m) {
        if (m->ready)
                return;
        manager_set_ready(m);
        m->deadline_source = sd_event_source_disable_unref(m->deadline_source);
        log_event(LOG_INFO, &MESSAGE_WORKER_READY, NULL, "Worker %s is ready.", m->config->worker_id);
        if (m->options.standalone)
                (void) fprintf(stderr, "ready\n");
}

static int on_status(sd_event_source *source, void *userdata) {
        Manager *m = userdata;
        char status[sizeof m->status];

        (void) source;
        (void) snprintf(status, sizeof status, "Pool %u of %u ready, %u session%s%s", pool_sum_ready(m->pool),
                pool_sum_target(m->pool), session_count(m->sessions), session_count(m->sessions) == 1 ? "" : "s",
                session_manager_is_draining(m->sessions) ? ", draining" : "");
        if (strcmp(status, m->status) != 0) {
                memcpy(m->status, status, sizeof status);
                (void) sd_notifyf(0, "STATUS=%s", status);
        }
        bus_changed(m->bus);
        return 0;
}

/* Told when there is nothing more urgent. */
void manager_update_status(Manager *m) {
        if (!m->status_source) {
                if (sd_event_add_defer(m->event, &m->status_source, on_status, m) < 0)
                        return;
                (void) sd_event_source_set_priority(m->status_source, SD_EVENT_PRIORITY_IDLE);
        }
        (void) sd_event_source_set_enabled(m->status_source, SD_EVENT_ONESHOT);
}

void manager_on_backend(Backend *b, void *userdata) {
        Manager *m = userdata;
        bool changed = m->backend_status != b->status;

        m->backend_status = b->status;
        if (!changed) { /* there is room again */
                session_manager_backend_changed(m->sessions);
                return;
        }
        if (b->status == BACKEND_LOST)
                log_event(LOG_ERR, &MESSAGE_SPAWNER_LOST, LOG_FIELDS({ "REASON", "connection lost" }),
                        "The connection to the spawner is lost; no new sandboxes until it is back.");
        else if (b->status == BACKEND_READY && m->backend_was_ready)
                log_event(LOG_NOTICE, &MESSAGE_SPAWNER_BACK, NULL, "The spawner is back.");
        if (b->status == BACKEND_READY) {
                m->backend_was_ready = true;
                if (!b->limits_enforced && !m->limits_warned) {
                        m->limits_warned = true;
                        log_event(LOG_WARNING, &MESSAGE_LIMITS_UNAVAILABLE, NULL,
                                "Limits of memory, CPU and tasks are not enforced: this system does not delegate the "
                                "cgroup controllers memory, cpu and pids (cgroup version 2) to the spawner. "
                                "Limits of each process and of files hold.");
                }
                manager_store_records(m);
                manager_start_pools(m);
        }
        session_manager_backend_changed(m->sessions);
        manager_update_status(m);
}

static const char *pool_reason(PoolEvent event, const Sandbox *s) {
        switch (event) {
        case POOL_MEMBER_DIED:
                return "died while it waited";
        case POOL_MEMBER_FAILED:
        case POOL_MEMBER_UNPREPARED:
                return s->error_text;
        default:
                return NULL;
        }
}

void manager_on_pool(Pool *p, PoolEvent event, const Sandbox *s, void *userdata) {
        Manager *m = userdata;
        const char *image = manager_pool_image(m, p), *of = image ? " of image " : "", *name = image ?: "";
        char ready[16], size[16];

        (void) snprintf(ready, sizeof ready, "%u", pool_n_ready(p));
        (void) snprintf(size, sizeof size, "%u", pool_target(p));

        const LogField about[] = { { "SANDBOXD_IMAGE", image ?: m->config->image }, { "SANDBOXD_POOL_READY", ready },
                { "SANDBOXD_POOL_SIZE", size }, { "REASON", pool_reason(event, s) }, { 0 } };

        switch (event) {
        case POOL_MEMBER_READY:
                log_event(m->ready ? LOG_DEBUG : LOG_INFO, &MESSAGE_POOL_MEMBER_READY, about, "Sandbox %u/%u%s%s ready",
                        pool_n_ready(p), pool_target(p), of, name);
                break;
        case POOL_FILLED:
                log_event(LOG_INFO, &MESSAGE_POOL_READY, about, "Pool%s%s initialized: %u sandboxes ready", of, name,
                        pool_n_ready(p));
                if (p == m->pool)
                        become_ready(m);
                break;
        case POOL_EMPTY:
                log_event(LOG_INFO, &MESSAGE_POOL_EMPTY, about, "Pool%s%s empty, creating sandbox on demand", of, name);
                break;
        case POOL_MEMBER_DIED:
                log_event(LOG_WARNING, &MESSAGE_POOL_MEMBER_DIED, about,
                        "A sandbox of the pool%s%s died while it waited; it is replaced.", of, name);
                break;
        case POOL_MEMBER_FAILED:
                (void) log_errno(LOG_ERR, s->error, &MESSAGE_SANDBOX_FAILED, about,
                        "A sandbox could not be made: %s: %m", s->error_text);
                break;
        case POOL_MEMBER_UNPREPARED:
                if (m->warm_warned)
                        break;
                m->warm_warned = true;
                log_event(LOG_WARNING, &MESSAGE_WARM_FAILED, about,
                        "No interpreter waits in the sandboxes of the pool ([Sandbox] Warm=): %s", s->error_text);
                break;
        case POOL_RESIZED:
                log_event(LOG_INFO, &MESSAGE_POOL_RESIZED, about, "Pool size%s%s is now %u", of, name, pool_target(p));
                break;
        }
        manager_update_status(m);
}

static void log_exec(const Session *s, const Exec *e) {
        char code[16];

        (void) snprintf(code, sizeof code, "%d", e->exit_code);
        log_event(LOG_INFO, &MESSAGE_EXEC_FINISHED,
                LOG_FIELDS({ "SESSION_ID", s->id }, { "EXEC_ID", e->id }, { "REQUEST_ID", e->request_id },
                        { "REASON", exec_reason_text(e->reason) }, { "EXIT_CODE", code },
                        { "SANDBOXD_OWNER", s->owner }, { "SANDBOXD_CALLER", e->caller }),
                "Command in session %s ended: %s, exit code %d, %llu ms", s->id, exec_reason_text(e->reason),
                e->exit_code, (unsigned long long) ((e->ended - e->started) / USEC_PER_MSEC));
}

void manager_on_session(SessionManager *sm, SessionEvent event, Session *s, const Exec *e, void *userdata) {
        Manager *m = userdata;

        (void) sm;
        switch (event) {
        case SESSION_EVENT_NEW:
                log_event(LOG_INFO, &MESSAGE_SESSION_CREATED,
                        LOG_FIELDS({ "SESSION_ID", s->id }, { "REQUEST_ID", s->request_id },
                                { "SANDBOXD_OWNER", s->owner }, { "SANDBOXD_CALLER", s->caller }),
                        "Session %s created (%s)", s->id, s->from_pool ? "from pool" : "on demand");
                bus_session_new(m->bus, s);
                break;
        case SESSION_EVENT_CHANGED:
                bus_session_changed(m->bus, s);
                break;
        case SESSION_EVENT_REMOVED:
                log_event(LOG_INFO, &MESSAGE_SESSION_ENDED,
                        LOG_FIELDS({ "SESSION_ID", s->id }, { "REASON", session_end_reason_text(s->end_reason) },
                                { "SANDBOXD_OWNER", s->owner }),
                        "Session %s ended: %s", s->id, session_end_reason_text(s->end_reason));
                bus_session_removed(m->bus, s);
                break;
        case SESSION_EVENT_EXEC:
                log_exec(s, e);
                bus_exec_exited(m->bus, s, e);
                break;
        }
        manager_update_status(m);
}
