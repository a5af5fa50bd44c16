/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "daemon/manager.h"

/* SIGTERM alone does not say whether the service is stopped for good or restarted; the job that the service manager
 * runs for it does (org.freedesktop.systemd1(5)). */

#define ANSWER_USEC USEC_PER_SEC
#define SYSTEMD "org.freedesktop.systemd1"

typedef struct Question {
        Manager *manager;
        void (*answer)(Manager *m, bool restart);
        sd_bus *bus;
} Question;

static void answer(Question *q, bool restart) {
        q->answer(q->manager, restart);
        (void) sd_bus_detach_event(q->bus);
        q->bus = sd_bus_close_unref(q->bus);
        free(q);
}

static int on_job_type(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const char *type = "";

        (void) error;
        if (!sd_bus_message_is_method_error(reply, NULL))
                (void) sd_bus_message_read(reply, "v", "s", &type);
        answer(userdata,
                strcmp(type, "restart") == 0 || strcmp(type, "try-restart") == 0 || strcmp(type, "start") == 0);
        return 0;
}

static int ask_property(
        Question *q, const char *path, const char *interface, const char *name, sd_bus_message_handler_t done) {
        sd_bus_message *m = NULL;

        int r = sd_bus_message_new_method_call(q->bus, &m, SYSTEMD, path, "org.freedesktop.DBus.Properties", "Get");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", interface, name);
        if (r >= 0)
                r = sd_bus_call_async(q->bus, NULL, m, done, q, ANSWER_USEC);
        (void) sd_bus_message_unref(m);
        return r;
}

static int on_job(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Question *q = userdata;
        const char *path = NULL;
        uint32_t id = 0;

        (void) error;
        if (!sd_bus_message_is_method_error(reply, NULL))
                (void) sd_bus_message_read(reply, "v", "(uo)", &id, &path);
        if (id == 0 || ask_property(q, path, SYSTEMD ".Job", "JobType", on_job_type) < 0)
                answer(q, false); /* no job: somebody sent the signal by hand */
        return 0;
}

void manager_ask_job(Manager *m, void (*done)(Manager *m, bool restart)) {
        _cleanup_free_ char *path = NULL;
        char unit[128];
        Question *q = calloc(1, sizeof *q);
        int r = q ? 0 : -ENOMEM;

        if (r >= 0) {
                *q = (Question){ .manager = m, .answer = done };
                (void) snprintf(unit, sizeof unit, "sandboxd@%s.service", m->config->worker_id);
                r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path);
        }
        if (r >= 0)
                r = sd_bus_open_system(&q->bus);
        if (r >= 0)
                r = sd_bus_attach_event(q->bus, m->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = ask_property(q, path, SYSTEMD ".Unit", "Job", on_job);
        if (r >= 0)
                return;
        if (q)
                (void) sd_bus_close_unref(q->bus);
        free(q);
        done(m, false);
}
