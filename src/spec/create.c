/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spec/create.h"

#include <stdio.h>
#include <string.h>

#include "base/fd.h"

void create_spec_clear(CreateSpec *c) {
        free(c->key);
        free(c->image);
        free(c->base);
        if (c->files > 0)
                (void) fd_close(c->files);
        free(c->cwd);
        json_decref(c->env);
        json_decref(c->metadata);
        *c = (CreateSpec){ 0 };
}

void patch_spec_clear(PatchSpec *p) {
        json_decref(p->metadata);
        *p = (PatchSpec){ 0 };
}

static int refuse(Error *error, const char *name, const char *limit, const char *what) {
        return error_set_field(error, ERROR_INVALID_VALUE, name, limit, "\"%s\": %s.", name, what);
}

static bool env_name_is_valid(const char *name) {
        size_t n = strlen(name);

        return n > 0 && n <= ENV_NAME_MAX && !(name[0] >= '0' && name[0] <= '9') &&
               strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

static bool metadata_name_is_valid(const char *name) {
        size_t n = strlen(name);

        return n > 0 && n <= METADATA_NAME_MAX &&
               strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-") == n;
}

static void keep(json_t **to, const json_t *value) {
        json_decref(*to);
        *to = json_incref((json_t *) value);
}

int env_parse(const char *name, const json_t *value, void *ret, Error *error) {
        const char *member;
        json_t *text;
        size_t bytes = 0;

        if (!json_is_object(value))
                return error_set_field(
                        error, ERROR_MALFORMED, name, NULL, "\"%s\" has to be an object of strings.", name);
        if (json_object_size(value) > ENV_COUNT_MAX)
                return refuse(error, name, "512 variables", "more than 512 variables");
        json_object_foreach((json_t *) value, member, text) {
                char field[64];
                (void) snprintf(field, sizeof field, "%s.%.50s", name, member);
                if (!json_is_string(text))
                        return error_set_field(
                                error, ERROR_MALFORMED, field, NULL, "\"%s\" has to be a string.", field);
                if (!env_name_is_valid(member))
                        return refuse(error, field, "256 characters",
                                "a variable's name consists of letters, digits and underscores and starts with no "
                                "digit");
                if (json_string_length(text) > ENV_VALUE_MAX)
                        return refuse(error, field, "32 KiB", "the value is longer than 32 KiB");
                bytes += strlen(member) + json_string_length(text) + 2;
        }
        if (bytes > ENV_BYTES_MAX)
                return refuse(error, name, "64 KiB", "more than 64 KiB in all");
        keep(ret, value);
        return 0;
}

int metadata_parse(const char *name, const json_t *value, void *ret, Error *error) {
        const char *member;
        json_t *text;

        if (!json_is_object(value))
                return error_set_field(
                        error, ERROR_MALFORMED, name, NULL, "\"%s\" has to be an object of strings.", name);
        if (json_object_size(value) > METADATA_COUNT_MAX)
                return refuse(error, name, "64 entries", "more than 64 entries");
        json_object_foreach((json_t *) value, member, text) {
                char field[64];
                (void) snprintf(field, sizeof field, "%s.%.50s", name, member);
                if (!json_is_string(text))
                        return error_set_field(
                                error, ERROR_MALFORMED, field, NULL, "\"%s\" has to be a string.", field);
                if (!metadata_name_is_valid(member))
                        return refuse(error, field, "64 characters",
                                "a name consists of letters, digits, dots, slashes, dashes and underscores");
                if (json_string_length(text) > METADATA_VALUE_MAX)
                        return refuse(error, field, "1 KiB", "the value is longer than 1 KiB");
        }
        keep(ret, value);
        return 0;
}

static int image_parse(const char *name, const json_t *value, void *ret, Error *error) {
        if (json_is_string(value) && (json_string_length(value) == 0 || json_string_length(value) > IMAGE_REF_MAX))
                return refuse(error, name, "255 characters", "not the name of an image");
        return json_parse_text(name, value, ret, error);
}

/* "none" is what every sandbox has; anything else cannot be had from this worker. */
static int network_parse(const char *name, const json_t *value, void *ret, Error *error) {
        (void) ret;
        if (json_is_string(value) && strcmp(json_string_value(value), "none") == 0)
                return 0;
        return refuse(error, name, "none", "sandboxes of this worker have no network but their own loopback");
}

int create_check_timeout(usec_t timeout, usec_t max, Error *error) {
        char limit[64];

        if (timeout >= USEC_PER_SEC && timeout <= max)
                return 0;
        (void) snprintf(limit, sizeof limit, "1 to %llu seconds", (unsigned long long) (max / USEC_PER_SEC));
        return error_set_field(error, ERROR_INVALID_VALUE, "timeout", limit, "\"timeout\" is out of range: %s.", limit);
}

int create_parse_timeout(const char *name, const json_t *value, void *ret, Error *error) {
        usec_t timeout;

        int r = json_parse_duration(name, value, &timeout, error);
        if (r == 0)
                *(usec_t *) ret = timeout ? timeout : 1; /* 0 stays out of range, and is not "not given" */
        return r;
}

static const JsonField create_fields[] = {
        { "key", json_parse_id, offsetof(CreateSpec, key) },
        { "image", image_parse, offsetof(CreateSpec, image) },
        { "timeout", create_parse_timeout, offsetof(CreateSpec, timeout) },
        { "env", env_parse, offsetof(CreateSpec, env) },
        { "metadata", metadata_parse, offsetof(CreateSpec, metadata) },
        { "memory_limit", json_parse_limit_memory, offsetof(CreateSpec, limits) },
        { "cpu_quota", json_parse_limit_cpu, offsetof(CreateSpec, limits) },
        { "pids_limit", json_parse_limit_pids, offsetof(CreateSpec, limits) },
        { "disk_limit", json_parse_limit_disk, offsetof(CreateSpec, limits) },
        { "network", network_parse, 0 },
        { "wait", json_parse_duration, offsetof(CreateSpec, wait) },
        { 0 },
};

int create_spec_parse(CreateSpec *c, const json_t *object, usec_t timeout_max, Error *error) {
        int r = json_apply(object, create_fields, c, error);

        if (r < 0)
                return r;
        if (c->wait > WAIT_MAX)
                return refuse(error, "wait", "300 seconds", "more than 300 seconds");
        return c->timeout ? create_check_timeout(c->timeout, timeout_max, error) : 0;
}

int create_spec_read(CreateSpec *c, const char *text, size_t length, usec_t timeout_max, Error *error) {
        _cleanup_json_ json_t *object = NULL;

        /* an object without members is what most clients send that want a session as it comes */
        if (length == 0 || (length == 2 && memcmp(text, "{}", 2) == 0))
                return 0;
        int r = json_read_object(text, length, &object, error);
        if (r < 0)
                return r;
        return create_spec_parse(c, object, timeout_max, error);
}

static const JsonField patch_fields[] = {
        { "timeout", create_parse_timeout, offsetof(PatchSpec, timeout) },
        { "metadata", metadata_parse, offsetof(PatchSpec, metadata) },
        { "network", network_parse, 0 },
        { 0 },
};

int patch_spec_parse(PatchSpec *p, const json_t *object, usec_t timeout_max, Error *error) {
        int r = json_apply(object, patch_fields, p, error);

        if (r < 0)
                return r;
        return p->timeout ? create_check_timeout(p->timeout, timeout_max, error) : 0;
}

int patch_spec_read(PatchSpec *p, const char *text, size_t length, usec_t timeout_max, Error *error) {
        _cleanup_json_ json_t *object = NULL;

        int r = json_read_object(text, length, &object, error);
        return r < 0 ? r : patch_spec_parse(p, object, timeout_max, error);
}
