/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/interrupt.h"
#include "ctl/reader.h"
#include "ctl/session.h"
#include "ctl/table.h"

/* The sessions that use most of the processor now, again and again. */

#define PERIOD_USEC (2 * USEC_PER_SEC)
#define SESSIONS_MAX 500U /* each is asked for */
#define ROWS_MAX 40U

typedef struct Row {
        char id[ID_MAX + 1];
        char state[16], image[64];
        uint64_t memory, pids, cpu_usec, disk;
        usec_t at;    /* monotonic: when that was */
        double share; /* of one processor since the last time; below 0: not known */
} Row;

typedef struct Rows {
        Row *items; /* owned */
        size_t n;
} Rows;

static const Row *find(const Rows *rows, const char *id) {
        for (size_t i = 0; i < rows->n; i++)
                if (strcmp(rows->items[i].id, id) == 0)
                        return &rows->items[i];
        return NULL;
}

static int read_row(const json_t *session, const Rows *former, Row *ret) {
        SessionView v;
        int r = session_view(session, &v);

        if (r < 0)
                return r;
        *ret = (Row){ .at = clock_monotonic(), .share = -1 };
        (void) snprintf(ret->id, sizeof ret->id, "%s", v.id);
        (void) snprintf(ret->state, sizeof ret->state, "%s", v.state);
        (void) snprintf(ret->image, sizeof ret->image, "%s", v.image ? v.image : "");
        Reader usage = reader_open(v.usage);
        if (!v.usage)
                return 0;
        (void) reader_unsigned(&usage, "memory", OPTIONAL, &ret->memory);
        (void) reader_unsigned(&usage, "pids", OPTIONAL, &ret->pids);
        (void) reader_unsigned(&usage, "cpu_usec", OPTIONAL, &ret->cpu_usec);
        (void) reader_unsigned(&usage, "disk", OPTIONAL, &ret->disk);
        r = reader_finish(&usage, "session");
        const Row *last = find(former, ret->id);
        if (json_object_get(v.usage, "cpu_usec") && last && ret->cpu_usec >= last->cpu_usec && ret->at > last->at)
                ret->share = (double) (ret->cpu_usec - last->cpu_usec) / (double) (ret->at - last->at);
        return r;
}

/* Returns 0 or -errno after an error was printed. Sessions that end meanwhile are left out. */
static int fetch(Ctl *ctl, const Rows *former, Rows *ret) {
        _cleanup_json_ json_t *page = NULL;
        json_t *session;
        size_t i;

        int r = ctl_call(ctl, &(Call){ .method = "GET", .path = "/v1/sessions?limit=500" }, &page);
        if (r < 0)
                return r;
        Reader reader = reader_open(page);
        const json_t *list = reader_array(&reader, "sessions", REQUIRED);
        r = reader_finish(&reader, "list");
        if (r < 0)
                return r;
        *ret = (Rows){ .items = xrealloc(NULL, (SESSIONS_MAX + 1) * sizeof *ret->items) };
        json_array_foreach((json_t *) list, i, session) {
                _cleanup_answer_ Answer a = { 0 };
                SessionView v;
                if (ret->n == SESSIONS_MAX)
                        break;
                r = session_view(session, &v);
                _cleanup_free_ char *path = r < 0 ? NULL : xasprintf("/v1/sessions/%s", v.id);
                if (r == 0)
                        r = ctl_try(ctl, &(Call){ .method = "GET", .path = path }, &a);
                if (r == 0 && a.status == 200)
                        r = read_row(a.json, former, &ret->items[ret->n++]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int by_use(const void *a, const void *b) {
        const Row *x = a, *y = b;

        if (x->share != y->share)
                return x->share > y->share ? -1 : 1;
        return x->memory != y->memory ? (x->memory > y->memory ? -1 : 1) : strcmp(x->id, y->id);
}

static void show(const Rows *rows) {
        static const char *const heads[] = { "ID", "STATE", "IMAGE", "CPU", "CPU TIME", "MEMORY", "DISK", "TASKS" };
        _cleanup_(table_freep) Table *t = table_new(heads, ELEMENTSOF(heads));
        char memory[SPAN_MAX], disk[SPAN_MAX];

        for (size_t i = 0; i < MIN(rows->n, (size_t) ROWS_MAX); i++) {
                const Row *r = &rows->items[i];
                table_add(t, COLOUR_NONE, r->id);
                table_add(t, strcmp(r->state, "running") == 0 ? COLOUR_GOOD : COLOUR_WARN, r->state);
                table_add(t, COLOUR_NONE, r->image);
                if (r->share < 0)
                        table_add(t, COLOUR_NONE, NULL);
                else
                        table_addf(t, COLOUR_NONE, "%.1f%%", 100 * r->share);
                table_addf(t, COLOUR_NONE, "%.1fs", (double) r->cpu_usec / (double) USEC_PER_SEC);
                table_add(t, COLOUR_NONE, format_size(r->memory, memory));
                table_add(t, COLOUR_NONE, format_size(r->disk, disk));
                table_addf(t, COLOUR_NONE, "%llu", (unsigned long long) r->pids);
        }
        table_print(t, stdout);
        if (rows->n > ROWS_MAX)
                printf("and %zu more\n", rows->n - ROWS_MAX);
        (void) fflush(stdout);
}

static void print_document(const Rows *rows) {
        _cleanup_json_ json_t *list = json_array(), *document = NULL;

        for (size_t i = 0; list && i < rows->n; i++) {
                const Row *r = &rows->items[i];
                json_t *row = json_pack("{ss ss ss sI sI sI sI}", "session_id", r->id, "state", r->state, "image",
                        r->image, "memory", (json_int_t) r->memory, "cpu_usec", (json_int_t) r->cpu_usec, "pids",
                        (json_int_t) r->pids, "disk", (json_int_t) r->disk);
                if (row && r->share >= 0)
                        (void) json_object_set_new(row, "cpu", json_real(r->share));
                (void) json_array_append_new(list, row);
        }
        document = json_pack("{sO}", "sessions", list);
        if (!document)
                out_of_memory();
        print_json(document);
}

static bool wait_a_while(void) {
        struct pollfd p = { .fd = interrupt_fd(), .events = POLLIN };

        return poll(&p, 1, (int) (PERIOD_USEC / USEC_PER_MSEC)) >= 0 && interrupt_count() == 0;
}

int command_top(Ctl *ctl, int argc, char **argv) {
        bool again = isatty(STDOUT_FILENO) && !ctl->options.json;
        Rows former = { 0 };

        (void) argc, (void) argv; /* takes none */
        if (interrupt_catch() < 0)
                return STATUS_FAILED;
        for (unsigned turn = 0;; turn++) {
                Rows rows = { 0 };
                int r = fetch(ctl, &former, &rows);
                free(former.items);
                former = rows;
                if (r < 0) {
                        free(former.items);
                        interrupt_die();
                        return STATUS_FAILED;
                }
                qsort(rows.items, rows.n, sizeof *rows.items, by_use);
                if (again)
                        (void) fputs("\033[H\033[J", stdout);
                if (again || turn > 0) { /* shares are known the second time */
                        if (ctl->options.json)
                                print_document(&rows);
                        else
                                show(&rows);
                }
                if ((!again && turn > 0) || !wait_a_while())
                        break;
        }
        free(former.items);
        interrupt_die();
        return 0;
}
