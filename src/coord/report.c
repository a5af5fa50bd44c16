/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "coord/report.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *const status_texts[] = {
        [REPORT_HEALTHY] = "healthy",
        [REPORT_DEGRADED] = "degraded",
        [REPORT_DRAINING] = "draining",
        [REPORT_UNHEALTHY] = "unhealthy",
};

const char *report_status_text(ReportStatus status) {
        assert(status < ELEMENTSOF(status_texts));
        return status_texts[status];
}

static unsigned read_count(const json_t *object, const char *name) {
        json_int_t n = json_integer_value(json_object_get(object, name));

        return n < 0 ? 0 : (unsigned) MIN(n, (json_int_t) INT_MAX);
}

static unsigned read_pressure(const json_t *object) {
        const json_t *pressure = json_object_get(object, "pressure");
        double memory = json_number_value(json_object_get(pressure, "memory")),
               cpu = json_number_value(json_object_get(pressure, "cpu")), worse = MAX(memory, cpu);

        return worse <= 0 ? 0 : worse >= 100 ? 100 : (unsigned) worse;
}

static int read_report(const json_t *object, WorkerReport *ret) {
        const char *id = json_string_value(json_object_get(object, "worker_id")),
                   *status = json_string_value(json_object_get(object, "status")),
                   *token = json_string_value(json_object_get(object, "fencing_token")),
                   *limits = json_string_value(json_object_get(object, "limits"));
        size_t i;

        if (!id || !id_is_valid(id) || !status)
                return -EPROTO;
        for (i = 0; i < ELEMENTSOF(status_texts); i++)
                if (strcmp(status_texts[i], status) == 0)
                        break;
        if (i == ELEMENTSOF(status_texts))
                return -EPROTO;

        WorkerReport r = {
                .status = (ReportStatus) i,
                .pool_size = read_count(object, "pool_size"),
                .pool_ready = read_count(object, "pool_ready"),
                .active_sessions = read_count(object, "active_sessions"),
                .max_sessions = read_count(object, "max_sessions"),
                .pressure = read_pressure(object),
                .limits_enforced = limits && strcmp(limits, "enforced") == 0,
        };
        (void) snprintf(r.worker_id, sizeof r.worker_id, "%s", id);
        if (token && id_is_valid(token))
                (void) snprintf(r.token, sizeof r.token, "%s", token);
        *ret = r;
        return 0;
}

int worker_report_read(const char *text, size_t length, WorkerReport *ret) {
        json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);

        if (!object)
                return -EPROTO;
        int r = json_is_object(object) ? read_report(object, ret) : -EPROTO;
        json_decref(object);
        return r;
}
