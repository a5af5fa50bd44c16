/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/request.h"

#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/terminal.h"

/* Both streams in base64 stay below the largest answer that the client takes. */
#define OUTPUT_MAX (16 * MIB)

static void put(json_t *object, const char *name, json_t *value) {
        if (json_object_set_new(object, name, value) < 0)
                out_of_memory();
}

static void put_text(json_t *object, const char *name, const char *text) {
        if (text)
                put(object, name, json_string(text));
}

static void put_number(json_t *object, const char *name, uint64_t number) {
        if (number != OPTION_UNSET)
                put(object, name, json_integer((json_int_t) MIN(number, (uint64_t) INT64_MAX)));
}

static void put_duration(json_t *object, const char *name, usec_t span) {
        if (span == OPTION_UNSET)
                return;
        if (span % USEC_PER_SEC == 0)
                put(object, name, json_integer((json_int_t) (span / USEC_PER_SEC)));
        else
                put(object, name, json_real((double) span / (double) USEC_PER_SEC));
}

json_t *request_create(const Options *o) {
        json_t *body = json_object();

        if (!body)
                out_of_memory();
        put_text(body, "key", o->key_name);
        put_text(body, "image", o->image);
        put_duration(body, "timeout", o->ttl);
        put_number(body, "memory_limit", o->memory);
        put_number(body, "cpu_quota", o->cpu);
        put_number(body, "pids_limit", o->pids);
        put_number(body, "disk_limit", o->disk);
        put_duration(body, "wait", o->wait);
        if (o->env)
                put(body, "env", json_incref(o->env));
        if (o->metadata)
                put(body, "metadata", json_incref(o->metadata));
        return body;
}

/* The command as argv: the words, or the shell with its text and the words as parameters. */
static int put_command(json_t *body, const char *shell, int argc, char **argv) {
        const char *const before[] = { "/bin/sh", "-c", shell, "sh" };
        json_t *array = json_array();

        if (!array)
                out_of_memory();
        put(body, "argv", array);
        for (size_t i = 0; shell && i < ELEMENTSOF(before); i++)
                if (json_array_append_new(array, json_string(before[i])) < 0)
                        out_of_memory();
        for (int i = 0; i < argc; i++) {
                if (!utf8_is_valid(argv[i], strlen(argv[i]))) {
                        print_error(
                                "Argument %d of the command is not valid UTF-8; send it encoded, for example by base64",
                                i);
                        return -EINVAL;
                }
                if (json_array_append_new(array, json_string(argv[i])) < 0)
                        out_of_memory();
        }
        return 0;
}

static void put_input(json_t *body, const char *input, size_t length) {
        char *base64;

        if (utf8_is_valid(input, length)) {
                put(body, "stdin", json_stringn(input, length));
                return;
        }
        base64 = base64_encode(input, length);
        if (!base64)
                out_of_memory();
        put_text(body, "stdin", base64);
        put_text(body, "stdin_encoding", "base64");
        free(base64);
}

int request_exec(const Options *o, int argc, char **argv, const char *input, size_t input_length, json_t **ret) {
        json_t *body;
        int r;

        if (argc == 0 && !o->shell) {
                print_error("No command: give its words after --, or a text with --shell");
                return -EINVAL;
        }
        if (o->max_output != OPTION_UNSET && o->max_output > OUTPUT_MAX) {
                print_error(
                        "--max-output: At most %um, so that the answer can be taken in", (unsigned) (OUTPUT_MAX / MIB));
                return -EINVAL;
        }
        body = json_object();
        if (!body)
                out_of_memory();

        if (o->shell && argc == 0) {
                put_text(body, "command", o->shell);
        } else {
                r = put_command(body, o->shell, argc, argv);
                if (r < 0)
                        goto fail;
        }
        put_text(body, "cwd", o->cwd);
        put_duration(body, "timeout", o->command_timeout);
        put_number(body, "max_output", o->max_output);
        if (!o->json && !o->detach) /* for programs text, for the streams the bytes as they are */
                put_text(body, "encoding", "base64");
        if (input)
                put_input(body, input, input_length);
        *ret = body;
        return 0;

fail:
        json_decref(body);
        return r;
}

int read_all(int fd, size_t limit, char **ret, size_t *ret_length) {
        _cleanup_free_ char *buf = NULL;
        size_t length = 0, room = 0;

        for (;;) {
                if (length == room) {
                        if (room > limit)
                                return -EFBIG;
                        room = MIN(MAX(room * 2, (size_t) (16 * KIB)), limit + 1);
                        buf = xrealloc(buf, room);
                }
                ssize_t n = read(fd, buf + length, room - length);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (n == 0)
                        break;
                length += (size_t) n;
        }
        if (length > limit)
                return -EFBIG;
        *ret = take_ptr(buf);
        *ret_length = length;
        return 0;
}
