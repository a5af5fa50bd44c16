/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/health.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/problem.h"
#include "ctl/reader.h"
#include "ctl/table.h"

int health_view(const json_t *health, HealthView *ret) {
        Reader r = reader_open(health);
        HealthView v = {
                .status = reader_text(&r, "status", REQUIRED),
                .worker_id = reader_text(&r, "worker_id", OPTIONAL),
                .version = reader_text(&r, "version", OPTIONAL),
                .limits = reader_text(&r, "limits", OPTIONAL),
                .store = reader_text(&r, "store", OPTIONAL),
                .workers = reader_array(&r, "workers", OPTIONAL),
        };
        int e;

        (void) reader_unsigned(&r, "pool_size", OPTIONAL, &v.pool_size); /* 0 when missing */
        (void) reader_unsigned(&r, "pool_ready", OPTIONAL, &v.pool_ready);
        (void) reader_unsigned(&r, "active_sessions", OPTIONAL, &v.active_sessions);
        e = reader_finish(&r, "health");
        if (e < 0)
                return e;
        *ret = v;
        return 0;
}

Colour health_colour(const char *status) {
        if (strcmp(status, "healthy") == 0)
                return COLOUR_GOOD;
        return strcmp(status, "unhealthy") == 0 ? COLOUR_BAD : COLOUR_WARN;
}

bool health_is(const Answer *a) {
        return (a->status == 200 || a->status == 503) && json_is_string(json_object_get(a->json, "status"));
}

static int print_workers(const json_t *workers) {
        static const char *const heads[] = { "WORKER", "STATUS", "SESSIONS", "POOL", "URL" };
        _cleanup_(table_freep) Table *t = table_new(heads, ELEMENTSOF(heads));
        size_t i;
        const json_t *row;

        json_array_foreach(workers, i, row) {
                Reader r = reader_open(row);
                const char *url = reader_text(&r, "url", OPTIONAL);
                HealthView v;

                if (reader_finish(&r, "health") < 0 || health_view(row, &v) < 0)
                        return -EPROTO;
                table_add(t, COLOUR_NONE, v.worker_id);
                table_add(t, health_colour(v.status), v.status);
                table_addf(t, COLOUR_NONE, "%" PRIu64, v.active_sessions);
                table_addf(t, COLOUR_NONE, "%" PRIu64 "/%" PRIu64, v.pool_ready, v.pool_size);
                table_add(t, COLOUR_NONE, url);
        }
        putchar('\n');
        table_print(t, stdout);
        return 0;
}

static int print_health(const HealthView *v) {
        _cleanup_free_ char *who = terminal_escape_string(v->worker_id ?: "coordinator"),
                            *status = terminal_escape_string(v->status),
                            *version = terminal_escape_string(v->version ?: "unknown"),
                            *limits = terminal_escape_string(v->limits ?: ""),
                            *store = terminal_escape_string(v->store ?: "");
        Colour colour = health_colour(v->status);

        printf("%s: %s%s%s\n", who, terminal_colour(stdout, colour), status, terminal_colour_end(stdout, colour));
        printf("  Sessions: %" PRIu64 "\n", v->active_sessions);
        printf("      Pool: %" PRIu64 " of %" PRIu64 " ready\n", v->pool_ready, v->pool_size);
        if (v->limits)
                printf("    Limits: %s\n", limits);
        if (v->store)
                printf("     Store: %s\n", store);
        printf("   Version: %s\n", version);
        return v->workers ? print_workers(v->workers) : 0;
}

int command_health(Ctl *ctl, int argc, char **argv) {
        _cleanup_answer_ Answer a = { 0 };
        HealthView v;

        (void) argc, (void) argv; /* takes none */
        if (ctl_try(ctl, &(Call){ .method = "GET", .path = "/health" }, &a) < 0)
                return STATUS_FAILED;
        if (!health_is(&a) && a.status >= 400) {
                _cleanup_free_ char *text = problem_text(&a);
                print_error("%s", text);
                return STATUS_FAILED;
        }
        if (health_view(a.json, &v) < 0)
                return STATUS_FAILED;
        if (ctl->options.json)
                print_json(a.json);
        else if (print_health(&v) < 0)
                return STATUS_FAILED;
        return a.status == 200 ? 0 : STATUS_FAILED;
}

int command_show_version(Ctl *ctl, int argc, char **argv) {
        (void) argc, (void) argv; /* takes none */
        if (ctl->options.json)
                printf("{\"version\":\"%s\"}\n", VERSION);
        else
                printf("sandboxctl %s\n", VERSION);
        return 0;
}
