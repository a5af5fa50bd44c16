/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/fleet.h"

#include <stdio.h>
#include <string.h>

#include "spec/json.h"

#define GIVEN_MAX 100000U

int http_fleet_check(const HttpApi *api, const HttpRequest *r, Error *error) {
        const char *token = http_request_header(r, HEADER_TOKEN);

        if (!token || strcmp(token, api->fencing_token) == 0)
                return 0;
        return error_set_field(
                error, ERROR_STALE, HEADER_TOKEN, NULL, "Worker %s has another fencing token by now.", api->worker_id);
}

int http_fleet_session_id(const HttpRequest *r, char id[static UUID_TEXT_MAX], Error *error) {
        const char *given = http_request_header(r, HEADER_SESSION);

        id[0] = '\0';
        if (!given)
                return 0;
        if (strlen(given) != UUID_TEXT_MAX - 1 || strspn(given, "0123456789abcdef-") != UUID_TEXT_MAX - 1)
                return error_set_field(
                        error, ERROR_MALFORMED, HEADER_SESSION, NULL, "This is not the id of a session.");
        memcpy(id, given, UUID_TEXT_MAX);
        return 0;
}

void http_fleet_add_load(HttpRequest *r, const HttpApi *api) {
        char load[64];

        if (!http_request_header(r, HEADER_SESSION))
                return; /* no coordinator */
        (void) snprintf(load, sizeof load, "%u %u %u %u", pool_sum_ready(api->pool), pool_sum_target(api->pool),
                session_count(api->sessions), session_max(api->sessions));
        http_request_set_header(r, HEADER_LOAD, load);
}

/* Ends the sessions that were given away while this worker could not be reached. From now on it has another token:
 * whoever still knows the former one has to ask anew what is here. */
static int fence(HttpApi *api, const json_t *body, size_t *ret_n, Error *error) {
        json_t *list = json_object_get(body, "sessions"), *id;
        size_t i;

        if (!json_is_array(list) || json_array_size(list) > GIVEN_MAX)
                return error_set_field(
                        error, ERROR_MALFORMED, "sessions", NULL, "\"sessions\" has to be an array of ids.");
        json_array_foreach(list, i,
                id) if (!json_is_string(id) || !id_is_valid(json_string_value(id))) return error_set_field(error,
                ERROR_MALFORMED, "sessions", NULL, "\"sessions\" has to be an array of ids.");
        json_array_foreach(list, i, id) session_revoke(api->sessions, json_string_value(id), SESSION_LOST);
        uuid_make(api->fencing_token);
        *ret_n = json_array_size(list);
        return 0;
}

void http_worker_fence(HttpRequest *r, void *userdata) {
        HttpApi *api = userdata;
        _cleanup_json_ json_t *body = NULL;
        Error error = { 0 };
        size_t length, n = 0;
        const char *text = http_request_body(r, &length);

        int k = 0;
        if (http_request_owner(r))
                k = error_set(&error, ERROR_FORBIDDEN, "Only a coordinator may do this.");
        else if (strcmp(http_request_parameter(r, 0), api->worker_id) != 0)
                k = error_set_field(&error, ERROR_NOT_FOUND, "worker_id", NULL, "This is worker %s.", api->worker_id);
        if (k >= 0)
                k = json_read_object(text, length, &body, &error);
        if (k >= 0)
                k = fence(api, body, &n, &error);
        if (k < 0)
                http_answer_error(r, &error, k);
        else
                http_answer_json(r, 200,
                        json_pack("{ss ss sI}", "worker_id", api->worker_id, "fencing_token", api->fencing_token,
                                "sessions", (json_int_t) n));
}
