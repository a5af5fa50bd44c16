/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/text.h"

/* What a worker says of itself in GET /health. */

typedef enum ReportStatus {
        REPORT_HEALTHY,
        REPORT_DEGRADED,
        REPORT_DRAINING,
        REPORT_UNHEALTHY,
} ReportStatus;

typedef struct WorkerReport {
        char worker_id[ID_MAX + 1];
        char token[ID_MAX + 1]; /* or "": a worker of a former version */
        ReportStatus status;
        unsigned pool_size, pool_ready, active_sessions;
        unsigned max_sessions; /* 0: not told */
        unsigned pressure;     /* 0 to 100: the worse of memory and CPU; share of time that something waited for it */
        bool limits_enforced;
} WorkerReport;

/* Reads the body of an answer. Unknown members are ignored: the worker may be of a later version. Returns 0, -EPROTO
 * when it is no such report, or -ENOMEM. */
int worker_report_read(const char *text, size_t length, WorkerReport *ret);

const char *report_status_text(ReportStatus status);
