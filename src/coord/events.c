/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "coord/bus.h"
#include "coord/coord.h"
#include "coord/fence.h"
#include "coord/quota.h"
#include "log/log.h"

static int on_status(sd_event_source *source, void *userdata) {
        Coordinator *c = userdata;
        char status[sizeof c->status];

        (void) source;
        coord_bus_changed(c->bus);
        (void) snprintf(status, sizeof status, "%zu worker%s ready, %zu session%s known, store %s%s",
                fleet_n_ready(c->fleet), fleet_n_ready(c->fleet) == 1 ? "" : "s", sessions_total(c->sessions),
                sessions_total(c->sessions) == 1 ? "" : "s", c->store->ops->name,
                c->store->available ? "" : " is away");
        if (strcmp(status, c->status) != 0) {
                memcpy(c->status, status, sizeof status);
                (void) sd_notifyf(0, "STATUS=%s", status);
        }
        return 0;
}

/* Told when there is nothing more urgent. */
void coord_update_status(Coordinator *c) {
        if (!c->status_source) {
                if (sd_event_add_defer(c->event, &c->status_source, on_status, c) < 0)
                        return;
                (void) sd_event_source_set_priority(c->status_source, SD_EVENT_PRIORITY_IDLE);
        }
        (void) sd_event_source_set_enabled(c->status_source, SD_EVENT_ONESHOT);
}

static void on_up(const Coordinator *c, Worker *w) {
        if (w->announced)
                return;
        w->announced = true;
        log_event(LOG_INFO, &MESSAGE_WORKER_UP, LOG_FIELDS({ "WORKER_ID", w->id }), "Worker %s at %s is there.", w->id,
                w->url);
        coord_bus_worker(c->bus, w, true);
}

static void on_down(const Coordinator *c, Worker *w) {
        if (!w->announced && w->id[0])
                return;
        if (!w->id[0])
                log_warning("There is no worker at %s for now.", w->url);
        else
                log_event(LOG_WARNING, &MESSAGE_WORKER_DOWN,
                        LOG_FIELDS({ "WORKER_ID", w->id }, { "REASON", w->sources ? "does not answer" : "has ended" }),
                        "Worker %s %s; it had %u sessions.", w->id, w->sources ? "does not answer" : "has ended",
                        w->n_sessions);
        if (w->announced)
                coord_bus_worker(c->bus, w, false);
        w->announced = false;
}

/* What is lost takes no place among those of its key, whether anybody asks for it or not. */
static void on_given_up(Coordinator *c, Worker *w) {
        KnownSession *k;

        if (!w->id[0])
                return;
        log_event(LOG_WARNING, &MESSAGE_WORKER_GIVEN_UP,
                LOG_FIELDS({ "WORKER_ID", w->id }, { "REASON", "was away for too long" }),
                "Worker %s is given up; its %u sessions are lost, unless it comes back.", w->id, w->n_sessions);
        TAILQ_FOREACH(k, &w->sessions, by_worker) {
                sessions_uncount(k);
                quota_drop(c, k->owner, k->id);
        }
}

void coord_on_fleet(Fleet *f, FleetEvent event, Worker *w, void *userdata) {
        Coordinator *c = userdata;

        (void) f;
        switch (event) {
        case FLEET_UP:
                on_up(c, w);
                break;
        case FLEET_RENEWED:
                fence_worker(c, w);
                break;
        case FLEET_DOWN:
                on_down(c, w);
                break;
        case FLEET_GIVEN_UP:
                on_given_up(c, w);
                break;
        case FLEET_CONFLICT:
                log_event(LOG_ERR, &MESSAGE_WORKER_CONFLICT,
                        LOG_FIELDS({ "WORKER_ID", w->id }, { "REASON", "two workers have one name" }),
                        "The worker at %s is called %s, as another one is: it is not used. Give it another name "
                        "(WORKER_ID).",
                        w->url, w->id);
                break;
        case FLEET_REMOVED:
                sessions_orphan(w);
                break;
        }
        coord_update_status(c);
}
