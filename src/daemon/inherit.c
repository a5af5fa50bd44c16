/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "base/fd.h"
#include "daemon/manager.h"
#include "log/log.h"

/* What outlives a worker: its sessions' records in the service manager's descriptor store, and the names of sessions
 * that have ended in a file. */

#define INHERIT_PATIENCE_USEC (3 * USEC_PER_SEC)

int manager_open_registry(Manager *m) {
        char path[400];

        (void) snprintf(path, sizeof path, "%s/%s", m->options.state, m->config->worker_id);
        if (m->options.standalone) { /* opening tells when that did not work */
                (void) manager_make_folder(m->options.state);
                (void) mkdir(path, 0750);
        }
        (void) snprintf(path, sizeof path, "%s/%s/sessions", m->options.state, m->config->worker_id);
        int r = manager_open_kept_registry(m, path);
        if (r < 0 && r != -EBUSY)
                r = registry_open(path, &m->registry);
        if (r >= 0)
                return 0;
        if (r == -EBUSY) /* its sessions would be taken for lost, and its sandboxes be ended */
                return log_error_errno(r, "%s: another worker with the name %s runs already: %m", path,
                        m->config->worker_id);
        (void) log_warning_errno(r, "%s: %m; which sessions ended, and why, will not be known after a restart.", path);
        r = registry_open(NULL, &m->registry);
        return r < 0 ? log_error_errno(r, "Cannot keep track of sessions: %m") : 0;
}

int manager_open_snapshots(Manager *m) {
        SnapshotSettings settings = manager_snapshot_settings(m);
        unsigned n_dropped = 0;
        char path[400];

        (void) snprintf(path, sizeof path, "%s/%s/snapshots", m->options.state, m->config->worker_id);
        int folder = mkdir(path, 0700) < 0 && errno != EEXIST ? -1 : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
                (void) log_warning_errno(-errno, "%s: %m; no snapshots can be made.", path);
        int r = snapshots_open(folder, &m->snapshots, &n_dropped);
        if (r < 0)
                return log_error_errno(r, "Cannot read the snapshots: %m");
        if (n_dropped > 0)
                log_warning("%s: %u files of incomplete snapshots were removed.", path, n_dropped);
        snapshots_configure(m->snapshots, &settings);
        return 0;
}

static void set_incarnation(Manager *m, const char *text) {
        (void) snprintf(m->api.incarnation, sizeof m->api.incarnation, "%.*s", (int) sizeof m->api.incarnation - 1, text);
}

static void begin_serving(Manager *m) {
        m->inherit_source = sd_event_source_disable_unref(m->inherit_source);
        http_server_set_accepting(m->server, true);
}

static void on_restored(SessionManager *sm, void *userdata) {
        Manager *m = userdata;

        if (session_n_inherited(sm) > 0)
                log_event(LOG_NOTICE, &MESSAGE_SESSIONS_KEPT, NULL,
                        "%u sessions were taken over from the worker before.", session_n_inherited(sm));
        begin_serving(m);
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        begin_serving(userdata); /* the spawner does not answer yet; /health says so */
        return 0;
}

int manager_inherit(Manager *m) {
        int r;

        if (m->records_fd >= 0) {
                r = record_table_open(take_fd(m->records_fd), &m->records);
                if (r < 0)
                        (void) log_warning_errno(r, "The former worker's sessions cannot be taken over: %m");
        }
        if (m->records)
                set_incarnation(m, record_table_incarnation(m->records));
        else
                uuid_make(m->api.incarnation);
        session_manager_inherit(m->sessions, m->records, on_restored);
        /* requests wait in the sockets until sessions that live on are known again */
        http_server_set_accepting(m->server, false);
        r = sd_event_add_time_relative(
                m->event, &m->inherit_source, CLOCK_MONOTONIC, INHERIT_PATIENCE_USEC, 0, on_patience, m);
        return r < 0 ? log_error_errno(r, "Cannot set a timer: %m") : 0;
}

void manager_store_records(Manager *m) {
        if (m->records || m->options.standalone)
                return;
        int r = record_table_new(m->backend->capacity, &m->records);
        if (r >= 0) {
                int fd = record_table_fd(m->records);
                r = sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=" RECORDS_NAME, &fd, 1);
        }
        if (r < 0) {
                (void) log_warning_errno(r, "Sessions will not outlive this process: %m");
                m->records = record_table_free(m->records);
                return;
        }
        session_manager_set_records(m->sessions, m->records);
        set_incarnation(m, record_table_incarnation(m->records));
}
