/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "bus/options.h"
#include "coord/bus-internal.h"
#include "coord/find.h"
#include "http/headers.h"

/* Sessions over the bus: each call is a request of our own, on a socket that nobody else can use, to what serves the
 * clients of HTTP. So there is one way to create, find and use a session. Whose they are is said by the bus: those of a
 * user are "uid:NUMBER", as at a worker; root has all. */

#define ANSWER_MAX (32U * 1024U * 1024U)
#define SESSIONS_MAX 100000U
#define CONNECT_USEC (5 * USEC_PER_SEC)
#define SESSION_PREFIX "/org/sandboxd/session"

typedef struct Asked Asked;
/* Sends the answer to @c. Returns 0; 1 when another request was begun; -errno. */
typedef int Answered(Asked *a, const json_t *answer);

struct Asked {
        BusCall *call; /* borrowed */
        CoordBus *bus; /* borrowed */
        Fetch *fetch;
        Answered *answered;
        char *body, *answer; /* owned */
        size_t used, size;
        json_t *rows; /* owned: of ListSessions, so far */
        char id[SESSION_ID_MAX + 1];
};

static const BusAction create_action = { .id = "org.sandboxd.create-session", .without_polkit = true };

static void asked_free(Asked *a) {
        a->fetch = fetch_free(a->fetch);
        json_decref(a->rows);
        free(a->body);
        free(a->answer);
        free(a);
}

static void cancel(BusCall *c) {
        asked_free(c->state);
}

/* --- what comes back --- */

static void set_problem(const json_t *j, unsigned status, Error *error) {
        const char *title = json_string_value(json_object_get(j, "title")),
                   *detail = json_string_value(json_object_get(j, "detail")),
                   *field = json_string_value(json_object_get(j, "field"));

        for (ErrorKind k = ERROR_NONE + 1; k <= ERROR_DISK_LIMIT; k++)
                if (title && strcmp(error_title(k), title) == 0) {
                        (void) error_set_field(error, k, field ? field : "", NULL, "%s", detail ? detail : title);
                        return;
                }
        (void) error_set(error, ERROR_INTERNAL, "The answer was %u.", status);
}

static void fail(Asked *a, Error *error, int result) {
        BusCall *c = a->call;

        asked_free(a);
        bus_options_explain(coord_bus_options(c->message), error);
        bus_call_fail(c, error, result);
}

static void on_done(Fetch *f, int result, void *userdata) {
        Asked *a = userdata;
        unsigned status = result == 0 ? fetch_status(f) : 0;
        _cleanup_json_ json_t *j = a->used > 0 && a->used <= ANSWER_MAX
                                           ? json_loadb(a->answer, a->used, JSON_REJECT_DUPLICATES, NULL)
                                           : NULL;
        Error error = { 0 };

        a->fetch = fetch_free(a->fetch);
        if (result == 0 && a->used > ANSWER_MAX)
                result = error_set(&error, ERROR_TOO_LARGE, "The answer is larger than 32 MiB.");
        if (result < 0) {
                fail(a, &error, result);
                return;
        }
        if (status >= 300) {
                set_problem(j, status, &error);
                fail(a, &error, -EIO);
                return;
        }
        int r = a->answered(a, j);
        if (r < 0)
                fail(a, &error, r);
        else if (r == 0) {
                BusCall *c = a->call;
                asked_free(a);
                bus_call_end(c);
        }
}

static bool on_data(Fetch *f, const char *data, size_t size, void *userdata) {
        Asked *a = userdata;
        size_t wanted = a->used + size;

        (void) f;
        if (wanted > a->size && wanted <= ANSWER_MAX) {
                size_t room = MAX(wanted, 2 * a->size);
                char *p = realloc(a->answer, room);
                if (!p)
                        wanted = ANSWER_MAX + 1;
                else {
                        a->answer = p;
                        a->size = room;
                }
        }
        if (wanted <= ANSWER_MAX)
                memcpy(a->answer + a->used, data, size);
        a->used = MIN(wanted, (size_t) ANSWER_MAX + 1);
        return true;
}

static const FetchOps ops = { .data = on_data, .done = on_done };

/* --- asking --- */

static int request(Asked *a, const char *method, const char *target) {
        char owner[BUS_OWNER_MAX];
        FetchHeader headers[2];
        FetchRequest q = {
                .method = method,
                .target = target,
                .headers = headers,
                .body = a->body                       ? a->body
                        : strcmp(method, "POST") == 0 ? ""
                                                      : NULL,
                .body_size = a->body ? strlen(a->body) : 0,
                .connect_patience = CONNECT_USEC, /* whoever serves it has time limits */
        };

        a->used = 0;
        if (a->body)
                headers[q.n_headers++] = (FetchHeader){ "Content-Type", "application/json" };
        if (a->call->uid != 0)
                headers[q.n_headers++] = (FetchHeader){ HEADER_OWNER, bus_owner(a->call->uid, owner) };
        return fetch_start(a->bus->self, &q, &ops, a, &a->fetch);
}

/* Begins what @c asks for: @body is dropped. Returns 1, or -errno. */
static int ask(BusCall *c, const char *id, const char *method, const char *below, json_t *body, Answered *answered) {
        char target[sizeof "/v1/sessions/" + SESSION_ID_MAX + 32];
        Asked *a = calloc(1, sizeof *a);

        if (a && body)
                a->body = json_dumps(body, JSON_COMPACT);
        if (!a || (body && !a->body)) {
                json_decref(body);
                free(a);
                return -ENOMEM;
        }
        json_decref(body);
        a->call = c;
        a->bus = c->userdata;
        a->answered = answered;
        (void) snprintf(a->id, sizeof a->id, "%s", id ? id : "");
        (void) snprintf(target, sizeof target, "/v1/sessions%s%s%s", id ? "/" : "", id ? id : "", below);
        int r = request(a, method, target);
        if (r < 0) {
                asked_free(a);
                return r;
        }
        c->state = a;
        c->cancel = cancel;
        return 1;
}

static int read_id(BusCall *c, const char **ret, Error *error) {
        int r = sd_bus_message_read(c->message, "s", ret);

        if (r < 0)
                return r;
        return id_is_valid(*ret) ? 0 : error_set(error, ERROR_NOT_FOUND, "There is no session with this id.");
}

/* --- the methods --- */

static int answer_nothing(Asked *a, const json_t *answer) {
        (void) answer;
        (void) sd_bus_reply_method_return(a->call->message, ""); /* nobody to tell when it cannot be sent */
        return 0;
}

static int answer_path(Asked *a, const json_t *answer) {
        const char *id = json_string_value(json_object_get(answer, "session_id"));
        _cleanup_free_ char *path = NULL;

        if (!id || sd_bus_path_encode(SESSION_PREFIX, id, &path) < 0)
                return -EPROTO;
        if (strcmp(sd_bus_message_get_member(a->call->message), "GetSession") == 0)
                (void) sd_bus_reply_method_return(a->call->message, "o", path);
        else
                (void) sd_bus_reply_method_return(a->call->message, "so", id, path);
        return 0;
}

static int create_session(BusCall *c, Error *error, sd_bus_error *ret_error) {
        _cleanup_bus_options_ BusOptions options = { 0 };

        (void) ret_error;
        int r = bus_options_read(c->message, coord_bus_options(c->message), &options, error);
        return r < 0 ? r : ask(c, NULL, "POST", "", json_incref(options.object), answer_path);
}

static int get_session(BusCall *c, Error *error, sd_bus_error *ret_error) {
        const char *id;

        (void) ret_error;
        int r = read_id(c, &id, error);
        return r < 0 ? r : ask(c, id, "GET", "", NULL, answer_path);
}

static int destroy_session(BusCall *c, Error *error, sd_bus_error *ret_error) {
        const char *id;

        (void) ret_error;
        int r = read_id(c, &id, error);
        return r < 0 ? r : ask(c, id, "DELETE", "", NULL, answer_nothing);
}

static int pause_or_resume(BusCall *c, Error *error, sd_bus_error *ret_error) {
        bool pausing = strcmp(sd_bus_message_get_member(c->message), "Pause") == 0;
        const char *id;

        (void) ret_error;
        int r = read_id(c, &id, error);
        return r < 0 ? r : ask(c, id, "POST", pausing ? "/pause" : "/resume", NULL, answer_nothing);
}

static int set_timeout(BusCall *c, Error *error, sd_bus_error *ret_error) {
        const char *id;
        uint64_t usec;

        (void) ret_error;
        int r = read_id(c, &id, error);
        if (r >= 0)
                r = sd_bus_message_read(c->message, "t", &usec);
        if (r < 0)
                return r;
        json_t *body = json_pack("{sf}", "timeout", (double) usec / USEC_PER_SEC);
        return body ? ask(c, id, "PATCH", "", body, answer_nothing) : -ENOMEM;
}

static int append_output(sd_bus_message *reply, const json_t *text) {
        _cleanup_free_ void *bytes = NULL;
        size_t n = 0;

        int r = json_is_string(text) ? base64_decode(json_string_value(text), json_string_length(text), &bytes, &n) : 0;
        return r < 0 ? r : sd_bus_message_append_array(reply, 'y', bytes, n);
}

static int answer_executed(Asked *a, const json_t *answer) {
        const json_t *code = json_object_get(answer, "exit_code");
        const char *reason = json_string_value(json_object_get(answer, "reason"));
        sd_bus_message *reply = NULL;

        int r = reason ? sd_bus_message_new_method_return(a->call->message, &reply) : -EPROTO;
        if (r >= 0)
                r = sd_bus_message_append(
                        reply, "is", json_is_integer(code) ? (int32_t) json_integer_value(code) : -1, reason);
        if (r >= 0)
                r = append_output(reply, json_object_get(answer, "stdout"));
        if (r >= 0)
                r = append_output(reply, json_object_get(answer, "stderr"));
        if (r >= 0)
                (void) sd_bus_send(NULL, reply, NULL); /* nobody to tell when it cannot be sent */
        (void) sd_bus_message_unref(reply);
        return MIN(r, 0);
}

static int execute(BusCall *c, Error *error, sd_bus_error *ret_error) {
        _cleanup_bus_options_ BusOptions options = { 0 };
        const char *id, *command;

        (void) ret_error;
        int r = read_id(c, &id, error);
        if (r >= 0)
                r = sd_bus_message_read(c->message, "s", &command);
        if (r >= 0)
                r = bus_options_read(c->message, coord_bus_options(c->message), &options, error);
        if (r < 0)
                return r;
        if (json_object_set_new(options.object, "command", json_string(command)) < 0 ||
                json_object_set_new(options.object, "encoding", json_string("base64")) < 0)
                return -ENOMEM;
        return ask(c, id, "POST", "/exec", json_incref(options.object), answer_executed);
}

/* --- ListSessions --- */

static int append_row(sd_bus_message *reply, const json_t *s) {
        const char *id = json_string_value(json_object_get(s, "session_id")),
                   *state = json_string_value(json_object_get(s, "state")),
                   *image = json_string_value(json_object_get(s, "image"));
        _cleanup_free_ char *path = NULL;

        if (!id || !id_is_valid(id) || sd_bus_path_encode(SESSION_PREFIX, id, &path) < 0)
                return 0;
        return sd_bus_message_append(reply, "(sosst)", id, path, state ? state : "", image ? image : "",
                read_timestamp(json_string_value(json_object_get(s, "expires_at"))));
}

static int answer_list(Asked *a, const json_t *answer) {
        const char *next = json_string_value(json_object_get(answer, "next"));
        const json_t *row;
        sd_bus_message *reply = NULL;
        char target[256];
        size_t i;

        if (!a->rows)
                a->rows = json_array();
        if (!a->rows || json_array_extend(a->rows, json_object_get(answer, "sessions")) < 0)
                return -EPROTO;
        if (next && strlen(next) < 200 && json_array_size(a->rows) < SESSIONS_MAX) {
                (void) snprintf(target, sizeof target, "/v1/sessions?limit=1000&next=%s", next);
                int k = request(a, "GET", target);
                return k < 0 ? k : 1;
        }
        int r = sd_bus_message_new_method_return(a->call->message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sosst)");
        json_array_foreach(a->rows, i, row) {
                if (r >= 0)
                        r = append_row(reply, row);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                (void) sd_bus_send(NULL, reply, NULL); /* nobody to tell when it cannot be sent */
        (void) sd_bus_message_unref(reply);
        return MIN(r, 0);
}

static int list_sessions(BusCall *c, Error *error, sd_bus_error *ret_error) {
        (void) error;
        (void) ret_error;
        return ask(c, NULL, "GET", "?limit=1000", NULL, answer_list);
}

/* --- all --- */

static const BusOption create_options[] = {
        { "Key", "key" },
        { "Image", "image" },
        { "Timeout", "timeout" },
        { "Env", "env" },
        { "Metadata", "metadata" },
        { "MemoryLimit", "memory_limit" },
        { "CPUQuota", "cpu_quota" },
        { "PidsLimit", "pids_limit" },
        { "DiskLimit", "disk_limit" },
        { "Network", "network" },
        { "Wait", "wait" },
        { 0 },
};

static const BusOption execute_options[] = {
        { "Cwd", "cwd" },
        { "Env", "env" },
        { "Timeout", "timeout" },
        { "Stdin", "stdin" },
        { "MaxOutput", "max_output" },
        { 0 },
};

static const BusOption no_options[] = { { 0 } };

static const struct {
        const char *member;
        BusCallRun *run;
        const BusAction *action;
        const BusOption *options;
} methods[] = {
        { "CreateSession", create_session, &create_action, create_options },
        { "GetSession", get_session, NULL, no_options },
        { "ListSessions", list_sessions, NULL, no_options },
        { "DestroySession", destroy_session, NULL, no_options },
        { "Execute", execute, NULL, execute_options },
        { "Pause", pause_or_resume, NULL, no_options },
        { "Resume", pause_or_resume, NULL, no_options },
        { "SetTimeout", set_timeout, NULL, no_options },
};

static size_t find_method(sd_bus_message *m) {
        const char *member = sd_bus_message_get_member(m);
        size_t i = 0;

        while (i < ELEMENTSOF(methods) && strcmp(methods[i].member, member) != 0)
                i++;
        assert(i < ELEMENTSOF(methods));
        return i;
}

const BusOption *coord_bus_options(sd_bus_message *m) {
        return methods[find_method(m)].options;
}

int coord_bus_session_method(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        CoordBus *b = userdata;
        size_t i = find_method(m);

        return bus_call_begin(b->connection, m, methods[i].action, methods[i].run, b, ret_error);
}
