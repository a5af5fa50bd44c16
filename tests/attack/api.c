/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api.h"

#include <stdio.h>
#include <string.h>

#define SESSION_SEC 600
#define PARENT_SEC 7200

int server_connect(Server *s) {
        EndpointList endpoints = { 0 };

        endpoint_list_add(&endpoints, s->url ? NULL : s->socket, s->url);
        return client_new(&endpoints, s->key, &s->client);
}

static const char *text_of(const json_t *object, const char *name) {
        const char *text = json_string_value(json_object_get(object, name));

        return text ? text : "";
}

int server_health(Server *s, Health *ret) {
        Call call = { .method = "GET", .path = "/health", .timeout = 10 * USEC_PER_SEC };
        _cleanup_answer_ Answer answer = { 0 };
        usec_t start = clock_monotonic();

        int r = client_call(s->client, &call, &answer);
        if (r < 0)
                return r;
        *ret = (Health){
                .limits = strcmp(text_of(answer.json, "limits"), "enforced") == 0,
                .pool_size = (uint64_t) json_integer_value(json_object_get(answer.json, "pool_size")),
                .active = (uint64_t) json_integer_value(json_object_get(answer.json, "active_sessions")),
                .took = clock_monotonic() - start,
        };
        (void) snprintf(ret->status, sizeof ret->status, "%s", text_of(answer.json, "status"));
        return 0;
}

/* @body: taken. Returns the id of the one session that the answer tells of. */
static int ask_session(Server *s, const char *path, json_t *body, char ret_id[static SESSION_ID_MAX + 1]) {
        Call call = { .method = "POST", .path = path, .body = body, .timeout = 30 * USEC_PER_SEC };
        _cleanup_answer_ Answer answer = { 0 };

        ret_id[0] = '\0';
        int r = body ? client_call(s->client, &call, &answer) : -ENOMEM;
        json_decref(body);
        if (r < 0)
                return r;
        if (answer.status != 201)
                return -EPROTO;
        const json_t *list = json_object_get(answer.json, "sessions");
        (void) snprintf(
                ret_id, SESSION_ID_MAX + 1, "%s", text_of(list ? json_array_get(list, 0) : answer.json, "session_id"));
        return ret_id[0] ? 0 : -EPROTO;
}

static int create(Server *s, bool limits, int timeout, char ret_id[static SESSION_ID_MAX + 1]) {
        json_t *body = limits ? json_pack("{s:s, s:i, s:i, s:s, s:i}", "memory_limit", "256m", "cpu_quota", 50000,
                                        "pids_limit", 128, "disk_limit", "192m", "timeout", timeout)
                              : json_pack("{s:i}", "timeout", timeout);

        if (body && s->image)
                (void) json_object_set_new(body, "image", json_string(s->image));
        return ask_session(s, "/v1/sessions", body, ret_id);
}

int session_new(Server *s, bool limits, char ret_id[static SESSION_ID_MAX + 1]) {
        char path[SESSION_ID_MAX + 32];

        if (!s->forks)
                return create(s, limits, SESSION_SEC, ret_id);
        (void) snprintf(path, sizeof path, "/v1/sessions/%s/fork", s->parents[limits]);
        return ask_session(s, path, json_pack("{s:i}", "timeout", SESSION_SEC), ret_id);
}

int session_end(Server *s, const char *id) {
        char path[SESSION_ID_MAX + 32];
        Call call = { .method = "DELETE", .path = path, .timeout = 30 * USEC_PER_SEC };
        _cleanup_answer_ Answer answer = { 0 };

        if (!id[0])
                return -ENOENT;
        (void) snprintf(path, sizeof path, "/v1/sessions/%s", id);
        int r = client_call(s->client, &call, &answer);
        if (r < 0)
                return r;
        return answer.status == 204 ? 0 : answer.status == 404 || answer.status == 410 ? -ENOENT : -EPROTO;
}

int server_make_parents(Server *s) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(s->parents); i++)
                r = create(s, i == 1, PARENT_SEC, s->parents[i]);
        return r;
}

void server_end_parents(Server *s) {
        for (size_t i = 0; i < ELEMENTSOF(s->parents); i++)
                (void) session_end(s, s->parents[i]);
}

/* "held: no capability" at the end of the output becomes verdict and detail. */
static void take_verdict(const char *output, Result *ret) {
        const char *end = output + strlen(output);

        while (end > output && end[-1] == '\n')
                end--;
        const char *line = end;
        while (line > output && line[-1] != '\n')
                line--;
        const char *colon = memchr(line, ':', (size_t) (end - line));
        if (!colon || (size_t) (colon - line) >= sizeof ret->verdict)
                return;
        (void) snprintf(ret->verdict, sizeof ret->verdict, "%.*s", (int) (colon - line), line);
        const char *detail = colon + 1 < end ? colon + 2 : end;
        (void) snprintf(ret->detail, sizeof ret->detail, "%.*s", (int) (end - detail), detail);
}

int run_command(Server *s, const Run *run, Result *ret) {
        char path[SESSION_ID_MAX + 32];
        json_t *argv = json_array(), *body = json_pack("{s:o, s:i}", "argv", argv, "timeout", (int) run->timeout);
        Call call = { .method = "POST", .path = path, .body = body, .timeout = (run->timeout + 30) * USEC_PER_SEC };
        _cleanup_answer_ Answer answer = { 0 };
        usec_t start = clock_monotonic();

        if (!body)
                return -ENOMEM;
        for (size_t i = 0; run->argv[i]; i++)
                (void) json_array_append_new(argv, json_string(run->argv[i]));
        if (run->cwd)
                (void) json_object_set_new(body, "cwd", json_string(run->cwd));
        if (run->input) {
                (void) json_object_set_new(body, "stdin", json_string(run->input));
                (void) json_object_set_new(body, "stdin_encoding", json_string("base64"));
        }
        if (run->max_output)
                (void) json_object_set_new(body, "max_output", json_integer((json_int_t) run->max_output));

        (void) snprintf(path, sizeof path, "/v1/sessions/%s/exec", run->session);
        *ret = (Result){ .exit_code = -1 };
        int r = client_call(s->client, &call, &answer);
        json_decref(body);
        ret->took = clock_monotonic() - start;
        if (r < 0)
                return r;
        ret->status = answer.status;
        if (answer.status != 200) {
                (void) snprintf(ret->detail, sizeof ret->detail, "HTTP status %u: %s", answer.status,
                        text_of(answer.json, "detail"));
                return 0;
        }
        const char *output = text_of(answer.json, "stdout");
        ret->exit_code = (int) json_integer_value(json_object_get(answer.json, "exit_code"));
        ret->truncated = json_is_true(json_object_get(answer.json, "stdout_truncated"));
        ret->length = strlen(output);
        (void) snprintf(ret->reason, sizeof ret->reason, "%s", text_of(answer.json, "reason"));
        take_verdict(output, ret);
        return 0;
}
