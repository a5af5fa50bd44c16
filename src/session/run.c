/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/run.h"

#include <string.h>

#include "session/context.h"

#define RESULTS_MAX 1000U            /* that are kept for one answer */
#define RESULTS_BYTES_MAX (8 * MIB)  /* likewise, and of one result */
#define FOLLOWED_BYTES_MAX (4 * MIB) /* that wait to be taken */
#define RESULTS_BUDGET (64 * MIB)    /* of all runs together */
#define COLLECT_SIZE (64U * 1024U)

static uint64_t kept_now; /* bytes of all results and forms */

const char *run_status_text(RunStatus status) {
        static const char *const texts[] = {
#define RUN_STATUS_TEXT(name, text) [RUN_##name] = text,
                RUN_STATUSES(RUN_STATUS_TEXT)
#undef RUN_STATUS_TEXT
        };
        assert(status < RUN_STATUS_MAX_);
        return texts[status];
}

Run *run_ref(Run *r) {
        r->n_ref++;
        return r;
}

static void forget_forms(Run *r) {
        json_decref(take_ptr(r->forms));
        json_decref(take_ptr(r->cut));
        kept_now -= r->forms_bytes;
        r->forms_bytes = 0;
}

static void result_free(Run *r, RunResult *x) {
        TAILQ_REMOVE(&r->results, x, entry);
        r->results_bytes -= x->bytes;
        kept_now -= x->bytes;
        json_decref(x->object);
        free(x);
}

Run *run_unref(Run *r) {
        RunResult *x;

        if (!r || --r->n_ref > 0)
                return NULL;
        if (r->exec)
                exec_reader_detach(r->exec, &r->reader);
        while ((x = TAILQ_FIRST(&r->results)))
                result_free(r, x);
        forget_forms(r);
        json_decref(r->error);
        capture_clear(&r->capture[0]);
        capture_clear(&r->capture[1]);
        r->timer = sd_event_source_disable_unref(r->timer);
        (void) exec_unref(r->exec);
        (void) context_unref(r->context);
        free(r->code);
        free(r->request_id);
        free_counted(r);
        return NULL;
}

int run_new(Context *c, RunSpec *spec, bool follows, void (*wake)(Run *r, void *userdata), void *userdata, Run **ret) {
        _cleanup_(run_unrefp) Run *r = malloc(sizeof *r);

        if (!r)
                return -ENOMEM;
        *r = (Run){
                .n_ref = 1,
                .context = context_ref(c),
                .wake = wake,
                .userdata = userdata,
                .timeout = spec->timeout,
                .end = UINT64_MAX,
                .follows = follows,
                .capture = { { .max = spec->output_max }, { .max = spec->output_max } },
                .exit_code = -1,
        };
        TAILQ_INIT(&r->results);
        if (spec->request_id) {
                r->request_id = strdup(spec->request_id);
                if (!r->request_id)
                        return -ENOMEM;
        }
        r->code = take_ptr(spec->code);
        *ret = take_ptr(r);
        return 0;
}

static void wake(Run *r) {
        if (r->wake)
                r->wake(r, r->userdata);
}

/* --- output --- */

/* The next piece of output that begins before @limit. */
static bool next_output(const Run *r, uint64_t limit, OutputPiece *ret) {
        return r->exec && output_next(&r->exec->log, r->reader.offset, ret) && ret->offset < limit;
}

/* Moves output to where it is kept for the one answer. */
static void collect(Run *r) {
        static char buf[COLLECT_SIZE]; /* one thread, used up before this returns */
        OutputPiece p;

        while (next_output(r, r->end, &p)) {
                ssize_t n = output_read(&r->exec->log, &p, buf, (size_t) MIN(sizeof buf, r->end - p.offset));
                if (n <= 0)
                        break;
                (void) capture_add(&r->capture[p.stream], buf, (size_t) n); /* no memory: counted as cut off */
                exec_reader_advance(r->exec, &r->reader, p.offset + (uint64_t) n);
        }
}

static void on_output(ExecReader *reader) {
        Run *r = CONTAINER_OF(reader, Run, reader);

        if (r->follows)
                wake(r);
        else
                collect(r);
}

void run_begin(Run *r, uint64_t number, Exec *exec) {
        r->number = number;
        r->started = clock_monotonic();
        r->exec = exec_ref(exec);
        r->reader.wake = on_output;
        if (r->wake)
                exec_reader_attach(exec, &r->reader, output_end(&exec->log));
}

void run_advance(Run *r, uint64_t offset) {
        exec_reader_advance(r->exec, &r->reader, offset);
}

/* --- results --- */

static json_t *text_of(const DriverFrame *f) {
        _cleanup_free_ char *text = NULL;
        size_t length;

        if (utf8_is_valid(f->data, f->length))
                return json_stringn_nocheck(f->data, f->length);
        text = utf8_replace(f->data, f->length, &length);
        return text ? json_stringn_nocheck(text, length) : NULL;
}

static json_t *value_of(const DriverFrame *f) {
        _cleanup_free_ char *text = NULL;

        switch (f->word) {
        case DRIVER_JSON:
                return json_loadb(f->data, f->length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        case DRIVER_PNG:
        case DRIVER_JPEG:
                text = base64_encode(f->data, f->length);
                return text ? json_string_nocheck(text) : NULL;
        default:
                return text_of(f);
        }
}

/* Text that is cut off is of use, half of anything else is not. */
static bool may_be_cut(DriverWord word) {
        return word == DRIVER_TEXT || word == DRIVER_NAME || word == DRIVER_VALUE || word == DRIVER_TRACEBACK;
}

static int note_cut(Run *r, DriverWord word) {
        const char *member = driver_member(word);
        size_t i;
        json_t *name;

        if (!r->cut)
                r->cut = json_array();
        json_array_foreach(r->cut, i, name) if (strcmp(json_string_value(name), member) == 0) return 0;
        return json_array_append_new(r->cut, json_string(member)) < 0 ? -ENOMEM : 0;
}

static int take_form(Run *r, const DriverFrame *f) {
        _cleanup_json_ json_t *value = NULL;

        if (!r->forms)
                r->forms = json_object();
        if (!r->forms)
                return -ENOMEM;
        if (r->forms_bytes + f->length <= RESULTS_BYTES_MAX && kept_now + f->length <= RESULTS_BUDGET &&
                (!f->cut || may_be_cut(f->word)))
                value = value_of(f);
        if (!value || f->cut) {
                int k = note_cut(r, f->word);
                if (k < 0 || !value)
                        return k;
        }
        r->forms_bytes += f->length;
        kept_now += f->length;
        return json_object_set_nocheck(r->forms, driver_member(f->word), value) < 0 ? -ENOMEM : 0;
}

static int take_error(Run *r, const DriverFrame *f) {
        if (!r->error)
                r->error = json_pack("{ss ss ss}", "name", "", "value", "", "traceback", "");
        return !r->error || json_object_set_new_nocheck(r->error, driver_member(f->word), text_of(f)) < 0 ? -ENOMEM : 0;
}

int run_take(Run *r, const DriverFrame *f) {
        if (!r->wake)
                return 0;
        if (f->word == DRIVER_NAME || f->word == DRIVER_VALUE || f->word == DRIVER_TRACEBACK)
                return take_error(r, f);
        return take_form(r, f);
}

static int add_result(Run *r, bool is_main) {
        RunResult *x = malloc(sizeof *x);

        if (!x)
                return -ENOMEM;
        int k = json_object_set_new_nocheck(r->forms, "main", json_boolean(is_main));
        if (r->cut)
                k |= json_object_set_nocheck(r->forms, "cut", r->cut);
        if (k < 0) {
                free(x);
                return -ENOMEM;
        }
        *x = (RunResult){
                .object = take_ptr(r->forms),
                .offset = output_end(&r->exec->log),
                .bytes = r->forms_bytes,
        };
        TAILQ_INSERT_TAIL(&r->results, x, entry);
        r->results_bytes += x->bytes;
        r->forms_bytes = 0; /* they have moved */
        r->n_results++;
        return 0;
}

int run_take_result(Run *r, const DriverFrame *f) {
        bool is_main = strcmp(f->data, "main") == 0;
        int k = 0;

        if (!is_main && strcmp(f->data, "display") != 0)
                return -EBADMSG;
        if (!r->forms || !r->wake)
                ;
        else if (!r->follows && (r->n_results >= RESULTS_MAX || r->results_bytes + r->forms_bytes > RESULTS_BYTES_MAX))
                r->n_dropped++;
        else
                k = add_result(r, is_main);
        forget_forms(r);
        if (k == 0 && r->follows)
                wake(r);
        return k;
}

bool run_is_full(const Run *r) {
        return r->follows && r->wake && (r->results_bytes > FOLLOWED_BYTES_MAX || r->n_results > RESULTS_MAX);
}

RunNews run_next(Run *r, OutputPiece *ret_piece, uint64_t *ret_limit, json_t **ret_result) {
        RunResult *x = TAILQ_FIRST(&r->results);

        if (!r->told_started && r->begun) {
                r->told_started = true;
                return RUN_STARTED;
        }
        *ret_limit = x ? x->offset : r->end;
        if (next_output(r, *ret_limit, ret_piece))
                return RUN_OUTPUT;
        if (x) {
                bool was_full = run_is_full(r);
                *ret_result = json_incref(x->object);
                result_free(r, x);
                r->n_results--;
                if (was_full && !run_is_full(r))
                        context_resume(r->context);
                return RUN_RESULT;
        }
        return r->over ? RUN_OVER : RUN_NOTHING;
}

/* --- its end --- */

void run_finish(Run *r, RunStatus status, int exit_code) {
        if (r->over)
                return;
        r->over = true;
        r->timer = sd_event_source_disable_unref(r->timer);
        r->ended = clock_monotonic();
        r->exit_code = exit_code;
        r->status = r->timed_out                                                    ? RUN_TIMEOUT
                    : status == RUN_ERROR && r->interrupted && exit_code == 128 + 2 ? RUN_INTERRUPTED
                                                                                    : status;
        forget_forms(r);
        free(take_ptr(r->code));
        if (r->exec) {
                output_finish(&r->exec->log, OUTPUT_STDOUT);
                output_finish(&r->exec->log, OUTPUT_STDERR);
                r->end = output_end(&r->exec->log);
                if (!r->follows && r->wake) {
                        collect(r);
                        exec_reader_detach(r->exec, &r->reader);
                }
        }
        wake(r);
}

static json_t *captured_text(const Run *r, const Capture *c) {
        size_t length;
        _cleanup_free_ char *bytes = capture_join(c, &length);

        if (!bytes)
                return NULL;
        return r->exec ? exec_text(r->exec, bytes, length) : json_stringn(bytes, length);
}

static int set(json_t *j, const char *name, json_t *value) {
        return json_object_set_new_nocheck(j, name, value);
}

static int describe_streams(const Run *r, json_t *j) {
        json_t *results = json_array();
        const RunResult *x;
        int k = results ? 0 : -1;

        k |= set(j, "stdout", captured_text(r, &r->capture[0]));
        k |= set(j, "stderr", captured_text(r, &r->capture[1]));
        k |= set(j, "stdout_truncated", json_boolean(capture_is_truncated(&r->capture[0])));
        k |= set(j, "stderr_truncated", json_boolean(capture_is_truncated(&r->capture[1])));
        TAILQ_FOREACH(x, &r->results, entry)
        k |= json_array_append(results, x->object);
        k |= set(j, "results", results);
        k |= set(j, "results_dropped", json_integer((json_int_t) r->n_dropped));
        return k;
}

json_t *run_describe(const Run *r) {
        _cleanup_json_ json_t *j = json_object();
        const Context *c = r->context;
        int k = 0;

        if (!j)
                return NULL;
        k |= set(j, "context_id", json_string_nocheck(c->id));
        k |= set(j, "run", r->number ? json_integer((json_int_t) r->number) : json_null());
        k |= set(j, "status", json_string_nocheck(run_status_text(r->status)));
        k |= set(j, "error", r->error ? json_incref(r->error) : json_null());
        k |= set(j, "exit_code", r->exit_code >= 0 ? json_integer(r->exit_code) : json_null());
        if (!r->follows)
                k |= describe_streams(r, j);
        k |= set(j, "duration_ms", json_real(r->started ? (double) (r->ended - r->started) / 1000.0 : 0.0));
        /* what became of the interpreter, whose state may be lost */
        k |= set(j, "context_state", json_string_nocheck(context_state_text(c->state)));
        if (r->status == RUN_ENDED || r->status == RUN_TIMEOUT)
                k |= set(j, "reason",
                        r->exec && r->exec->is_done ? json_string_nocheck(exec_reason_text(r->exec->reason))
                                                    : json_null());
        return k == 0 ? take_ptr(j) : NULL;
}
