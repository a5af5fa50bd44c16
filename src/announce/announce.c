/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "announce/announce.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "announce/url.h"
#include "fetch/fetch.h"
#include "log/log.h"
#include "store/redis.h"

#define STEP_USEC (3 * USEC_PER_SEC)
#define LIFE_USEC (10 * USEC_PER_SEC) /* of what is written: a few steps may be missed */
#define PATIENCE_USEC (2 * USEC_PER_SEC)
#define FAREWELL_USEC (500 * USEC_PER_MSEC)
#define ANSWER_MAX (64U * 1024U)
#define LISTEN_MAX 16U

typedef struct Announcer {
        const Config *config; /* borrowed */
        sd_event *event;
        Fetcher *fetcher;
        FetchServer *server;
        Store *store;
        Fetch *fetch;
        char *answer; /* owned */
        size_t answer_used;
        sd_event_source *timer, *patience;
        char member[ID_MAX + ANNOUNCE_URL_MAX + 2]; /* of the set: what was announced last, or "" */
        bool unreachable_told;
} Announcer;

/* --- what is announced --- */

static int find_url(Announcer *a, const json_t *health, char url[static ANNOUNCE_URL_MAX]) {
        const char *listen[LISTEN_MAX], *text;
        const json_t *list = json_object_get(health, "listen"), *item;
        size_t i, n = 0;

        if (a->config->advertise[0]) {
                (void) snprintf(url, ANNOUNCE_URL_MAX, "%s", a->config->advertise);
                return 0;
        }
        json_array_foreach(list, i, item) if (n < LISTEN_MAX && (text = json_string_value(item))) listen[n++] = text;
        return announce_url(listen, n, store_redis_local_address(a->store), url);
}

static void forget(Announcer *a) {
        if (a->member[0])
                (void) a->store->ops->remove(a->store, ANNOUNCE_SET, a->member);
        a->member[0] = '\0';
}

static int put(Announcer *a, const char *id, const char *url, json_t *health) {
        char name[sizeof "worker:" + ID_MAX];
        char member[sizeof a->member];

        (void) json_object_del(health, "listen");
        (void) json_object_del(health, "fencing_token"); /* is between the worker and coordinators */
        if (json_object_set_new(health, "url", json_string(url)) < 0)
                return -ENOMEM;
        _cleanup_free_ char *text = json_dumps(health, JSON_COMPACT);
        if (!text)
                return -ENOMEM;
        (void) snprintf(name, sizeof name, "worker:%s", id);
        (void) snprintf(member, sizeof member, "%s %s", id, url);
        if (strcmp(member, a->member) != 0) {
                forget(a); /* it listens elsewhere now */
                memcpy(a->member, member, sizeof member);
        }
        int r = a->store->ops->put(a->store, name, text, LIFE_USEC, NULL, NULL, NULL);
        return r < 0 ? r : store_add(a->store, ANNOUNCE_SET, member, LIFE_USEC);
}

static void announce(Announcer *a, json_t *health) {
        const char *id = json_string_value(json_object_get(health, "worker_id"));
        char url[ANNOUNCE_URL_MAX];

        if (!id || strcmp(id, a->config->worker_id) != 0)
                return;
        int r = find_url(a, health, url);
        if (r < 0) {
                if (!a->unreachable_told)
                        log_error("Worker %s listens only on this machine, and Redis is another: it is not announced. "
                                  "Have it listen on an address that others reach, or set [Redis] Advertise=.",
                                id);
                a->unreachable_told = true;
                return;
        }
        (void) put(a, id, url, health); /* it is tried again soon */
}

/* --- the worker --- */

static bool on_data(Fetch *f, const char *data, size_t size, void *userdata) {
        Announcer *a = userdata;
        char *p = a->answer_used + size <= ANSWER_MAX ? realloc(a->answer, a->answer_used + size) : NULL;

        (void) f;
        if (p) {
                a->answer = p;
                memcpy(p + a->answer_used, data, size);
        }
        a->answer_used += p ? size : ANSWER_MAX + 1; /* too much: is not read */
        return true;
}

static void on_done(Fetch *f, int result, void *userdata) {
        Announcer *a = userdata;
        unsigned status = result == 0 ? fetch_status(f) : 0;
        json_t *health = (status == 200 || status == 503) && a->answer_used <= ANSWER_MAX
                                 ? json_loadb(a->answer ? a->answer : "", a->answer_used, JSON_REJECT_DUPLICATES, NULL)
                                 : NULL;

        a->fetch = fetch_free(a->fetch);
        if (json_is_object(health) && a->store->available)
                announce(a, health);
        json_decref(health); /* one that does not answer is not announced: what was written ends */
}

static const FetchOps ops = { .data = on_data, .done = on_done };

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Announcer *a = userdata;
        FetchRequest q = { .method = "GET", .target = "/health", .patience = PATIENCE_USEC };

        (void) usec;
        (void) sd_event_source_set_time_relative(source, STEP_USEC);
        if (a->fetch || !a->store->available)
                return 0;
        a->answer_used = 0;
        (void) fetch_start(a->server, &q, &ops, a, &a->fetch); /* it is tried again soon */
        return 0;
}

static void on_store(Store *s, bool available, const char *reason, void *userdata) {
        Announcer *a = userdata;

        (void) s;
        if (available) {
                log_event(LOG_INFO, &MESSAGE_STORE_UP, NULL, "Redis is there; worker %s is announced.",
                        a->config->worker_id);
                (void) sd_event_source_set_time_relative(a->timer, 0);
        } else
                log_event(LOG_WARNING, &MESSAGE_STORE_DOWN, LOG_FIELDS({ "REASON", reason }),
                        "Redis cannot be used: %s", reason);
}

/* --- start and end --- */

static void on_farewell(const StoreReply *reply, void *userdata) {
        Announcer *a = userdata;

        (void) reply;
        (void) sd_event_exit(a->event, EXIT_SUCCESS);
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        (void) sd_event_exit(((Announcer *) userdata)->event, EXIT_SUCCESS);
        return 0;
}

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Announcer *a = userdata;
        char name[sizeof "worker:" + ID_MAX];

        (void) source;
        (void) info;
        (void) sd_event_source_set_enabled(a->timer, SD_EVENT_OFF);
        a->fetch = fetch_free(a->fetch);
        (void) snprintf(name, sizeof name, "worker:%s", a->config->worker_id);
        forget(a);
        (void) a->store->ops->drop(a->store, name);
        if (a->patience || a->store->ops->get(a->store, name, on_farewell, a, NULL) < 0 ||
                sd_event_add_time_relative(a->event, &a->patience, CLOCK_MONOTONIC, FAREWELL_USEC, 0, on_patience, a) <
                        0)
                (void) sd_event_exit(a->event, EXIT_SUCCESS);
        return 0;
}

static int start(Announcer *a, const char *socket) {
        _cleanup_free_ char *url = NULL;
        sigset_t mask;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
        if (asprintf(&url, "unix:%s", socket) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        int r = sd_event_default(&a->event);
        if (r >= 0)
                r = sd_event_add_signal(a->event, NULL, SIGTERM, on_terminate, a);
        if (r >= 0)
                r = sd_event_add_signal(a->event, NULL, SIGINT, on_terminate, a);
        if (r >= 0)
                r = fetcher_new(a->event, &a->fetcher);
        if (r >= 0)
                r = fetch_server_new(a->fetcher, url, &a->server);
        if (r >= 0)
                r = store_redis_new(a->event, &a->config->redis, &a->store);
        if (r >= 0)
                r = sd_event_add_time_relative(
                        a->event, &a->timer, CLOCK_MONOTONIC, 0, 100 * USEC_PER_MSEC, on_timer, a);
        if (r < 0)
                return r;
        a->store->notify = on_store;
        a->store->userdata = a;
        return sd_event_source_set_enabled(a->timer, SD_EVENT_ON);
}

static void announcer_done(Announcer *a) {
        a->fetch = fetch_free(a->fetch);
        a->store = store_free(a->store);
        a->server = fetch_server_free(a->server);
        a->fetcher = fetcher_free(a->fetcher);
        a->timer = sd_event_source_disable_unref(a->timer);
        a->patience = sd_event_source_disable_unref(a->patience);
        a->event = sd_event_unref(a->event);
        free(a->answer);
}

int announce_run(const Config *config, const char *socket) {
        _cleanup_(announcer_done) Announcer a = { .config = config };

        int r = start(&a, socket);
        if (r < 0) {
                (void) log_error_errno(r, "Cannot start: %m");
                return EXIT_FAILURE;
        }
        (void) sd_notify(0, "READY=1");
        r = sd_event_loop(a.event);
        return r < 0 ? EXIT_FAILURE : r;
}
