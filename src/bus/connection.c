/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/connection.h"

#include <string.h>

#include "bus/connection-internal.h"

#define BACKOFF_MIN_USEC (100 * USEC_PER_MSEC)
#define BACKOFF_MAX_USEC (5 * USEC_PER_SEC)
#define ANSWER_USEC USEC_PER_SEC /* of the bus itself, to questions that are waited for */
#define QUEUED_MAX 4096U         /* messages that the bus does not take */

static void disconnect(BusConnection *c) {
        c->ready = false;
        c->n_names = 0;
        c->mute_until = 0;
        memset(c->senders, 0, sizeof c->senders);
        bus_calls_drop(c);
        if (c->bus) {
                (void) sd_bus_detach_event(c->bus);
                sd_bus_close(c->bus); /* without flushing, which could wait forever */
                c->bus = sd_bus_unref(c->bus);
        }
}

static void retry_later(BusConnection *c) {
        c->backoff = MIN(MAX(2 * c->backoff, BACKOFF_MIN_USEC), BACKOFF_MAX_USEC);
        (void) sd_event_source_set_time_relative(c->retry, c->backoff);
        (void) sd_event_source_set_enabled(c->retry, SD_EVENT_ONESHOT);
}

static int want_next_name(BusConnection *c);

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusConnection *c = userdata;

        (void) ret_error;
        if (sd_bus_message_is_method_error(m, NULL)) {
                retry_later(c); /* the policy is not loaded yet, or another has the name */
                return 0;
        }
        c->n_names++;
        if (want_next_name(c) < 0)
                retry_later(c);
        return 0;
}

/* A name that others of our kind have too is one to queue for. */
static int want_next_name(BusConnection *c) {
        const char *const *names = c->settings.names + c->n_names;

        if (names[0])
                return sd_bus_request_name_async(c->bus, NULL, names[0], names[1] ? SD_BUS_NAME_QUEUE : 0, on_name, c);
        c->ready = true;
        c->backoff = 0;
        return sd_bus_set_method_call_timeout(c->bus, ANSWER_USEC); /* names may take longer, when a machine boots */
}

/* The callback runs inside the connection: it is closed from the timer. */
static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        BusConnection *c = userdata;

        (void) m;
        (void) ret_error;
        c->ready = false;
        c->backoff = 0;
        retry_later(c);
        return 0;
}

static int prepare(BusConnection *c) {
        int r = sd_bus_set_exit_on_disconnect(c->bus, false);

        if (r >= 0)
                r = sd_bus_attach_event(c->bus, c->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = c->settings.add_objects(c->bus, c->settings.userdata);
        if (r >= 0)
                r = sd_bus_match_signal_async(c->bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                        "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, c);
        if (r >= 0 && c->direct)
                c->ready = true;
        else if (r >= 0)
                r = want_next_name(c);
        return r;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        BusConnection *c = userdata;

        (void) source;
        (void) usec;
        disconnect(c);
        if (c->direct)
                return 0;
        if (sd_bus_open_system(&c->bus) < 0 || prepare(c) < 0) {
                disconnect(c);
                retry_later(c);
        }
        return 0;
}

int bus_connection_new(sd_event *event, const BusConnectionSettings *settings, sd_bus *direct, BusConnection **ret) {
        _cleanup_(bus_connection_freep) BusConnection *c = calloc(1, sizeof *c);

        if (!c)
                return -ENOMEM;
        c->event = event;
        c->settings = *settings;
        LIST_INIT(&c->calls);

        int r = sd_event_add_time_relative(event, &c->retry, CLOCK_MONOTONIC, 0, 0, on_retry, c);
        if (r < 0)
                return r;
        if (direct) {
                c->direct = true;
                c->bus = direct;
                r = sd_event_source_set_enabled(c->retry, SD_EVENT_OFF);
                if (r >= 0)
                        r = prepare(c);
        }
        if (r < 0)
                return r;
        *ret = take_ptr(c);
        return 0;
}

BusConnection *bus_connection_free(BusConnection *c) {
        if (!c)
                return NULL;
        disconnect(c);
        c->retry = sd_event_source_disable_unref(c->retry);
        free(c);
        return NULL;
}

sd_bus *bus_connection_signals(BusConnection *c) {
        uint64_t n;

        if (!c || !c->ready || sd_bus_get_n_queued_write(c->bus, &n) < 0 || n > QUEUED_MAX)
                return NULL;
        return c->bus;
}
