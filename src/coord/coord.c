/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/coord.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "coord/bus.h"
#include "coord/discover.h"
#include "coord/record.h"
#include "coord/revoke.h"
#include "log/log.h"

#define STOP_PATIENCE_USEC (8 * USEC_PER_SEC)
#define READY_PATIENCE_USEC (2 * USEC_PER_SEC) /* for the first answers of all workers */
#define READY_STEP_USEC (20 * USEC_PER_MSEC)
#define EXPIRE_USEC (5 * USEC_PER_SEC)
#define SESSIONS_MAX 1000000U

/* --- jobs --- */

void job_begin(Coordinator *c, Job *job, void (*end)(Job *job)) {
        job->coord = c;
        job->end = end;
        TAILQ_INSERT_TAIL(&c->jobs, job, entry);
        c->n_jobs++;
}

void job_done(Job *job) {
        if (!job->coord)
                return;
        TAILQ_REMOVE(&job->coord->jobs, job, entry);
        job->coord->n_jobs--;
}

/* Ends what goes on by itself; requests of clients end with the server. */
static void end_jobs(Coordinator *c) {
        Job *job;

        do
                TAILQ_FOREACH(job, &c->jobs, entry)
        if (job->end) {
                job->end(job);
                break; /* it may have ended others */
        }
        while (job)
                ;
}

/* --- signals --- */

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        Coordinator *c = userdata;

        (void) source;
        (void) usec;
        return sd_event_exit(c->event, EXIT_SUCCESS);
}

/* Runs once a turn while stopping. */
static int on_post(sd_event_source *source, void *userdata) {
        Coordinator *c = userdata;

        (void) source;
        if (http_server_n_busy(c->server) == 0)
                return sd_event_exit(c->event, EXIT_SUCCESS);
        return 0;
}

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Coordinator *c = userdata;

        (void) source;
        (void) info;
        if (c->stopping) /* told twice: at once */
                return sd_event_exit(c->event, EXIT_SUCCESS);
        c->stopping = true;
        (void) sd_notify(0, "STOPPING=1\nSTATUS=Finishing requests");
        log_event(LOG_INFO, &MESSAGE_COORDINATOR_STOPPING, NULL, "The coordinator stops; sessions live on.");
        http_server_stop_listening(c->server);
        (void) sd_event_add_time_relative(
                c->event, &c->deadline_source, CLOCK_MONOTONIC, STOP_PATIENCE_USEC, 0, on_patience, c);
        return sd_event_add_post(c->event, NULL, on_post, c);
}

static FleetSettings fleet_settings(const CoordConfig *config) {
        return (FleetSettings){ .interval = config->health_interval, .give_up = config->give_up };
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Coordinator *c = userdata;
        Error error = { 0 };
        CoordConfig *config;

        (void) source;
        (void) info;
        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long) clock_monotonic());
        if (coord_config_load(c->options.config, &config, &error) < 0)
                log_error("The configuration stays as it was: %s", error.detail ? error.detail : "out of memory");
        else {
                FleetSettings settings = fleet_settings(config);
                CoordConfig *old = c->config;
                if (!config->allow_anonymous)
                        api_keys_follow(&config->keys, &old->keys);
                if (config->keys.needed)
                        log_warning(
                                "There are no API keys any more: nobody is let in until there is one, or a restart.");
                c->config = config;
                coord_revoke_keys(c, old);
                coord_change_store(c, &old->redis);
                (void) coord_config_free(old);
                http_server_configure(c->server, config->body_max, config->connections_max);
                fleet_configure(c->fleet, &settings);
                discover_configured(c);
                log_info("Configuration read again.");
        }
        error_clear(&error);
        (void) sd_notify(0, "READY=1");
        return 0;
}

static int watch_signals(Coordinator *c) {
        sigset_t mask;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGHUP);
        (void) sigaddset(&mask, SIGCHLD);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
        int r = sd_event_add_signal(c->event, NULL, SIGTERM, on_terminate, c);
        if (r >= 0)
                r = sd_event_add_signal(c->event, NULL, SIGINT, on_terminate, c);
        if (r >= 0)
                r = sd_event_add_signal(c->event, NULL, SIGHUP, on_reload, c);
        return r < 0 ? log_error_errno(r, "Cannot watch signals: %m") : 0;
}

/* --- start and end --- */

static void become_ready(Coordinator *c) {
        c->ready = true;
        log_set_starting(false);
        (void) coord_bus_new(c, &c->bus); /* it does without */
        (void) sd_notify(0, "READY=1");
        log_event(LOG_INFO, &MESSAGE_COORDINATOR_READY, NULL, "The coordinator is ready: %zu workers.",
                fleet_n_ready(c->fleet));
        if (!getenv("NOTIFY_SOCKET"))
                (void) fprintf(stderr, "ready\n");
}

/* Clients wait in the sockets until all workers have been asked once, or for a moment. */
static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        Coordinator *c = userdata;

        (void) usec;
        if (c->ready) {
                sessions_expire(c->sessions, clock_realtime());
                coord_update_status(c);
                (void) sd_event_source_set_time_relative(source, EXPIRE_USEC); /* fails only without memory */
                return 0;
        }
        if ((discover_is_settled(c) && coord_store_is_settled(c) && fleet_is_settled(c->fleet)) ||
                clock_monotonic() > c->started + READY_PATIENCE_USEC) {
                if (coord_listen(c) < 0)
                        return sd_event_exit(c->event, c->exit_code ? c->exit_code : EXIT_FAILURE);
                become_ready(c);
        }
        (void) sd_event_source_set_time_relative(source, READY_STEP_USEC);
        return 0;
}

/* Each client, and each of its requests, takes a descriptor. */
static void raise_limits(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= limit.rlim_max)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit); /* what there is has to do */
}

static int make_parts(Coordinator *c) {
        FleetSettings fleet = fleet_settings(c->config);
        HttpServerSettings http = {
                .routes = coord_routes,
                .authenticate = coord_authenticate,
                .userdata = c,
                .body_max = c->config->body_max,
                .connections_max = c->config->connections_max,
                .keep_targets = true,
        };

        int r = rate_limiter_new(&c->rates);
        if (r >= 0)
                r = http_server_new(c->event, &http, &c->server);
        if (r >= 0)
                r = fetcher_new(c->event, &c->fetcher);
        if (r >= 0)
                r = sessions_new(SESSIONS_MAX, &c->sessions);
        if (r >= 0)
                r = coord_open_store(c);
        if (r >= 0)
                r = revocations_new(c, &c->revocations);
        if (r >= 0)
                r = fleet_new(c->event, c->fetcher, &fleet, coord_on_fleet, c, &c->fleet);
        if (r >= 0)
                r = discover_new(c, &c->discover);
        if (r >= 0)
                r = sd_event_add_time_relative(c->event, &c->tick, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_tick, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->tick, SD_EVENT_ON);
        return r < 0 ? log_error_errno(r, "Cannot start: %m") : 0;
}

static int start(Coordinator *c) {
        log_event(LOG_INFO, &MESSAGE_COORDINATOR_STARTING, NULL, "Starting the coordinator, sandboxd " VERSION);
        raise_limits();
        c->started = clock_monotonic();
        (void) sd_event_set_watchdog(c->event, true); /* where the service manager wants it */
        int r = watch_signals(c);
        return r < 0 ? r : make_parts(c);
}

static void coordinator_done(Coordinator *c) {
        c->bus = coord_bus_free(c->bus);
        c->discover = discover_free(c->discover);
        if (c->server) {
                end_jobs(c);
                c->server = http_server_free(c->server);
        }
        c->rates = rate_limiter_free(c->rates);
        c->revocations = revocations_free(c->revocations);
        c->sessions = sessions_free(c->sessions);
        c->fleet = fleet_free(c->fleet);
        records_end(c);
        coord_close_store(c);
        c->fetcher = fetcher_free(c->fetcher);
        c->tick = sd_event_source_disable_unref(c->tick);
        c->deadline_source = sd_event_source_disable_unref(c->deadline_source);
        c->status_source = sd_event_source_disable_unref(c->status_source);
        c->event = sd_event_unref(c->event);
        c->config = coord_config_free(c->config);
}

int coord_main(const CoordOptions *options) {
        _cleanup_(coordinator_done) Coordinator c = { .options = *options };
        _cleanup_(error_clear) Error error = { 0 };

        TAILQ_INIT(&c.jobs);
        TAILQ_INIT(&c.endings);
        log_setup(LOG_TARGET_AUTO, LOG_INFO, NULL);
        log_set_starting(true);
        int r = coord_config_load(options->config, &c.config, &error);
        if (r < 0) {
                log_error("%s", error.detail ? error.detail : "Out of memory.");
                return r == -EINVAL ? EX_CONFIG : EXIT_FAILURE; /* the former is not tried again */
        }
        if (sodium_init() < 0)
                return EXIT_FAILURE;
        r = sd_event_default(&c.event);
        if (r >= 0)
                r = start(&c);
        if (r < 0)
                return EXIT_FAILURE;
        r = sd_event_loop(c.event);
        if (r < 0)
                (void) log_error_errno(r, "The event loop failed: %m");
        return r < 0 ? EXIT_FAILURE : r;
}
