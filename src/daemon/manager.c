/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/manager.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/fd.h"
#include "log/log.h"
#include "session/language.h"
#include "session/warm.h"

#define STOP_PATIENCE_USEC (8 * USEC_PER_SEC)
#define HAND_OVER_USEC (200 * USEC_PER_MSEC)    /* for requests that are nearly done */
#define READY_PATIENCE_USEC (15 * USEC_PER_SEC) /* the pool may be slow to fill: sessions are served all the same */

static SessionSettings session_settings(const Manager *m) {
        const Config *c = m->config;
        SessionSettings s = {
                .timeout = c->session_timeout,
                .timeout_max = c->session_timeout_max,
                .sessions_max = c->sessions_max,
                .sessions_per_owner = c->sessions_per_key,
                .limits = c->limits,
                .archiver = m->archiver,
                .output_max = c->output_max,
        };

        (void) snprintf(s.image, sizeof s.image, "%s", c->image);
        return s;
}

SnapshotSettings manager_snapshot_settings(const Manager *m) {
        const Config *c = m->config;

        return (SnapshotSettings){
                .max = c->snapshots_max, .max_per_key = c->snapshots_per_key, .space = c->snapshots_space
        };
}

/* --- signals --- */

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        (void) source;
        (void) usec;
        if (m->handing_over)
                return sd_event_exit(m->event, EXIT_SUCCESS);
        if (m->stopping) {
                log_warning("%u sandboxes do not end in time.", session_n_ending(m->sessions));
                return sd_event_exit(m->event, EXIT_FAILURE);
        }
        if (!m->ready) {
                manager_set_ready(m);
                log_warning("The pool is not filled yet; sessions are served as sandboxes become ready.");
        }
        return 0;
}

static int set_patience(Manager *m, usec_t usec) {
        m->deadline_source = sd_event_source_disable_unref(m->deadline_source);
        return sd_event_add_time_relative(m->event, &m->deadline_source, CLOCK_MONOTONIC, usec, 0, on_patience, m);
}

/* Runs once a turn while stopping: ends when nothing runs any more. */
static int on_post(sd_event_source *source, void *userdata) {
        Manager *m = userdata;

        (void) source;
        if (m->stopping && (m->handing_over || session_n_ending(m->sessions) == 0) &&
                http_server_n_busy(m->server) == 0)
                return sd_event_exit(m->event, EXIT_SUCCESS);
        return 0;
}

/* For good: sessions end in order. For a restart: they, and what runs in them, are the next worker's. */
static void begin_stop(Manager *m, bool restart) {
        m->handing_over = restart && m->records;
        if (m->handing_over)
                log_event(LOG_INFO, &MESSAGE_WORKER_STOPPING, NULL,
                        "Worker %s is restarted: %u sessions go on without it meanwhile.", m->config->worker_id,
                        session_count(m->sessions));
        else {
                log_event(LOG_INFO, &MESSAGE_WORKER_STOPPING, NULL, "Worker %s stops: %u sessions end.",
                        m->config->worker_id, session_count(m->sessions));
                session_manager_set_draining(m->sessions, true);
                for (Pool *p = m->pool; p; p = pool_next(p))
                        pool_stop(p);
                session_end_all(m->sessions, SESSION_STOPPED);
        }
        (void) set_patience(m, m->handing_over ? HAND_OVER_USEC : STOP_PATIENCE_USEC);
        (void) sd_event_add_post(m->event, NULL, on_post, m);
}

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *m = userdata;

        (void) source;
        (void) info;
        if (m->stopping) /* told twice: at once */
                return sd_event_exit(m->event, EXIT_SUCCESS);
        m->stopping = true;
        (void) sd_notify(0, "STOPPING=1\nSTATUS=Stopping");
        manager_stop_announcer(m);
        http_server_stop_listening(m->server);
        if (m->options.standalone)
                begin_stop(m, false);
        else
                manager_ask_job(m, begin_stop);
        return 0;
}

static void apply(Manager *m) {
        SessionSettings sessions = session_settings(m);
        SnapshotSettings snapshots = manager_snapshot_settings(m);

        session_manager_configure(m->sessions, &sessions);
        snapshots_configure(m->snapshots, &snapshots);
        manager_configure_pools(m);
        http_server_configure(m->server, m->config->body_max, m->config->connections_max);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *m = userdata;
        Error error = { 0 };
        Config *config;

        (void) source;
        (void) info;
        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long) clock_monotonic());
        if (config_load(m->options.root, m->options.worker, &config, &error) < 0)
                log_error("The configuration stays as it was: %s", error.detail ? error.detail : "out of memory");
        else {
                Config *old = m->config;
                /* who it is does not change while it runs */
                char *id = config->worker_id;
                config->worker_id = old->worker_id;
                old->worker_id = id;
                if (!config->allow_anonymous)
                        api_keys_follow(&config->keys, &old->keys);
                if (config->keys.needed)
                        log_warning(
                                "There are no API keys any more: nobody is let in until there is one, or a restart.");
                m->config = config;
                manager_revoke_keys(m, old);
                manager_change_announcer(m, old);
                (void) config_free(old);
                apply(m);
                log_event(LOG_INFO, &MESSAGE_WORKER_RELOADED, NULL, "Configuration of worker %s read again.",
                        m->config->worker_id);
        }
        error_clear(&error);
        (void) sd_notify(0, "READY=1");
        manager_update_status(m);
        return 0;
}

static int on_spawner_end(sd_event_source *source, const siginfo_t *info, void *userdata) {
        Manager *m = userdata;

        (void) source;
        (void) info;
        m->spawner = 0;
        if (m->stopping)
                return 0;
        log_error("The spawner ended; its message above says why.");
        return sd_event_exit(m->event, EXIT_FAILURE);
}

static int watch_signals(Manager *m) {
        sigset_t mask;
        int r;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGHUP);
        (void) sigaddset(&mask, SIGCHLD);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
        r = sd_event_add_signal(m->event, NULL, SIGTERM, on_terminate, m);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGINT, on_terminate, m);
        if (r >= 0)
                r = sd_event_add_signal(m->event, NULL, SIGHUP, on_reload, m);
        if (r >= 0 && m->spawner > 0)
                r = sd_event_add_child(m->event, &m->spawner_source, m->spawner, WEXITED, on_spawner_end, m);
        return r < 0 ? log_error_errno(r, "Cannot watch signals: %m") : 0;
}

/* --- start and end --- */

static int make_server(Manager *m) {
        HttpServerSettings settings = {
                .routes = http_api_routes,
                .authenticate = manager_authenticate,
                .userdata = &m->api,
                .body_max = m->config->body_max,
                .connections_max = m->config->connections_max,
                .keep_targets = true,
        };

        int r = rate_limiter_new(&m->rates);
        if (r >= 0)
                r = http_server_new(m->event, &settings, &m->server);
        return r < 0 ? log_error_errno(r, "Cannot start the HTTP server: %m") : 0;
}

static int make_parts(Manager *m) {
        SessionSettings sessions = session_settings(m);
        char path[256];

        manager_find_program("archive", "sandboxd-archive", m->archiver, sizeof m->archiver);
        (void) snprintf(path, sizeof path, "%s/%s.spawner.sock", m->options.runtime, m->config->worker_id);
        int r = native_new(
                m->event, m->options.standalone ? NULL : path, m->spawner_sock, manager_on_backend, m, &m->backend);
        if (r >= 0)
                r = manager_make_pools(m);
        if (r >= 0)
                r = session_manager_new(m->event, m->backend, m->pool, &sessions, manager_on_session,
                        manager_resolve_image, m->registry, m, &m->sessions);
        if (r < 0)
                return log_error_errno(r, "Cannot start: %m");
        session_manager_set_snapshots(m->sessions, m->snapshots);
        m->spawner_sock = -EBADF;
        m->api = (HttpApi){
                .worker_id = m->config->worker_id,
                .sessions = m->sessions,
                .pool = m->pool,
                .images = m->images,
                .backend = m->backend,
                .server = m->server,
                .started = clock_monotonic(),
                .listen = m->listen,
        };
        uuid_make(m->api.fencing_token);
        return 0;
}

static int make_bus(Manager *m) {
        BusContext context = {
                .worker_id = m->config->worker_id,
                .sessions = m->sessions,
                .pool = m->pool,
                .listen = m->listen,
        };

        int r = bus_new(m->event, &context, &m->bus);
        return r < 0 ? log_error_errno(r, "Cannot prepare the bus interface: %m") : 0;
}

static int start(Manager *m) {
        char size[16];
        int r;

        log_event(LOG_INFO, &MESSAGE_WORKER_STARTING, NULL, "Starting worker %s, sandboxd " VERSION,
                m->config->worker_id);
        (void) snprintf(size, sizeof size, "%u", m->config->pool_size);
        log_event(LOG_INFO, &MESSAGE_POOL_STARTING,
                LOG_FIELDS({ "SANDBOXD_IMAGE", m->config->image }, { "SANDBOXD_USER", SANDBOX_USER },
                        { "SANDBOXD_POOL_SIZE", size }),
                "Pool size: %s (at least %u, at most %u), image: %s, user: %s", size, m->config->pool_min,
                m->config->pool_max, m->config->image, SANDBOX_USER);

        r = make_server(m);
        if (r >= 0)
                r = manager_open_registry(m);
        if (r >= 0)
                r = manager_open_snapshots(m);
        if (r >= 0)
                r = m->options.standalone ? manager_standalone(m) : manager_listen(m);
        if (r >= 0)
                r = manager_open_images(m);
        if (r >= 0)
                r = manager_check_image(m);
        if (r >= 0)
                r = watch_signals(m);
        if (r >= 0) {
                manager_start_keeper(m);
                r = make_parts(m);
        }
        if (r >= 0)
                r = manager_inherit(m);
        if (r >= 0 && !m->options.standalone)
                r = make_bus(m);
        if (r >= 0)
                r = manager_watch(m);
        if (r >= 0)
                r = manager_watch_pressure(m);
        if (r >= 0)
                r = manager_start_announcer(m);
        if (r >= 0)
                r = set_patience(m, READY_PATIENCE_USEC);
        return r;
}

static void manager_done(Manager *m) {
        manager_stop_announcer(m);
        m->bus = bus_free(m->bus);
        for (size_t i = 0; i < m->n_listen; i++)
                free(m->listen[i]);
        free(m->listen);
        m->server = http_server_free(m->server);
        m->rates = rate_limiter_free(m->rates);
        m->api.fetcher = fetcher_free(m->api.fetcher);
        /* the backend goes first: it tells pool and sessions that all is over */
        m->backend = backend_free(m->backend);
        manager_free_pools(m);
        m->sessions = session_manager_free(m->sessions);
        m->snapshots = snapshots_free(m->snapshots);
        m->records = record_table_free(m->records);
        manager_stop_keeper(m);
        m->registry = registry_free(m->registry);
        m->records_fd = fd_close(m->records_fd);
        m->inherit_source = sd_event_source_disable_unref(m->inherit_source);
        m->watchdog_source = sd_event_source_disable_unref(m->watchdog_source);
        m->pressure_source = sd_event_source_disable_unref(m->pressure_source);
        m->status_source = sd_event_source_disable_unref(m->status_source);
        m->deadline_source = sd_event_source_disable_unref(m->deadline_source);
        m->spawner_source = sd_event_source_disable_unref(m->spawner_source);
        m->spawner_sock = fd_close(m->spawner_sock);
        m->images = images_free(m->images);
        if (m->socket_path[0])
                (void) unlink(m->socket_path);
        m->event = sd_event_unref(m->event);
        m->config = config_free(m->config);
}

int manager_main(const ManagerOptions *options) {
        _cleanup_(manager_done)
                Manager m = { .options = *options, .spawner_sock = -EBADF, .records_fd = -EBADF, .keeper_fd = -EBADF };
        _cleanup_(error_clear) Error error = { 0 };

        log_set_starting(true);
        int r = config_load(options->root, options->worker, &m.config, &error);
        if (r < 0) {
                log_setup(LOG_TARGET_AUTO, LOG_INFO, options->worker);
                log_error("%s", error.detail ? error.detail : "Out of memory.");
                return r == -EINVAL ? EX_CONFIG : EXIT_FAILURE; /* the former is not tried again */
        }
        log_setup(LOG_TARGET_AUTO, LOG_INFO, m.config->worker_id);
        if (sodium_init() < 0)
                return EXIT_FAILURE;
        r = sd_event_default(&m.event);
        if (r >= 0)
                r = start(&m);
        if (r < 0)
                return m.exit_code ?: EXIT_FAILURE;
        r = sd_event_loop(m.event);
        if (r < 0)
                (void) log_error_errno(r, "The event loop failed: %m");
        if (m.handing_over) /* nothing is taken apart: it is the next worker's now */
                _exit(EXIT_SUCCESS);
        return r < 0 ? EXIT_FAILURE : r;
}
