/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/finish.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/path.h"
#include "base/fd.h"
#include "base/text.h"
#include "image/report.h"
#include "spec/create.h"
#include "spec/exec.h"

#define LIST_MAX (1 * MIB) /* of /etc/passwd and /etc/group */

/* --- the user's name --- */

/* The field @number of a line of /etc/passwd. */
static const char *field_of(const char *line, unsigned number, size_t *ret_length) {
        while (number-- > 0) {
                size_t n = strcspn(line, ":\n");
                if (line[n] != ':')
                        return NULL;
                line += n + 1;
        }
        *ret_length = strcspn(line, ":\n");
        return line;
}

static bool field_is(const char *line, unsigned number, const char *text) {
        size_t n;
        const char *field = field_of(line, number, &n);

        return field && n == strlen(text) && memcmp(field, text, n) == 0;
}

/* Writes @text without the lines of the sandbox's user, by id or by name, and with its own instead. */
static char *with_user(const char *text, bool group, const char *shell) {
        char *result = NULL;
        size_t size;
        FILE *f = open_memstream(&result, &size);

        if (!f)
                return NULL;
        for (const char *line = text; *line;) {
                size_t n = strcspn(line, "\n");
                if (n > 0 && !field_is(line, 0, SANDBOX_USER) && !field_is(line, 2, "1000"))
                        (void) fprintf(f, "%.*s\n", (int) n, line);
                line += n + (line[n] == '\n');
        }
        if (group)
                (void) fprintf(f, SANDBOX_USER ":x:%u:\n", SANDBOX_UID);
        else
                (void) fprintf(f, SANDBOX_USER ":x:%u:%u::" SANDBOX_HOME ":%s\n", SANDBOX_UID, SANDBOX_UID, shell);
        if (fclose(f) != 0) {
                free(result);
                return NULL;
        }
        return result;
}

static bool exists(const TreeWriter *w, const char *path) {
        const char *name;
        struct stat st;
        _cleanup_fd_ int fd = tree_open_parent(w, path, &name);

        return fd >= 0 && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* An image where /etc is no folder, or the list no file, stays as it is. */
static int set_user(TreeWriter *w, const char *path, bool group) {
        _cleanup_free_ char *old = malloc(LIST_MAX), *text = NULL;
        const char *name;
        struct stat st;

        if (!old)
                return report_memory();
        old[0] = '\0';
        {
                _cleanup_fd_ int folder = tree_open_parent(w, path, &name);
                if (folder == -ENOTDIR)
                        return 0;
                if (folder >= 0 && fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                        if (!S_ISREG(st.st_mode))
                                return 0;
                        ssize_t n = file_read(folder, name, old, LIST_MAX);
                        if (n < 0)
                                return report((int) n, "/%s: %s", path, strerror((int) -n));
                        if (unlinkat(folder, name, 0) < 0)
                                return report_write(errno, path);
                }
        }
        text = with_user(old, group, exists(w, "bin/bash") || exists(w, "usr/bin/bash") ? "/bin/bash" : "/bin/sh");
        if (!text)
                return report_memory();
        int r = tree_file(w, path, text);
        return r < 0 ? report_write(r, path) : 0;
}

/* --- where commands start --- */

/* The folder as it is below the root, or "" for the home folder. Reports. */
static int take_folder(const Plan *plan, char ret[static FILE_PATH_MAX]) {
        const char *folder = plan_config_text(plan, "WorkingDir");

        ret[0] = '\0';
        if (!folder || !*folder)
                return 0;
        if (folder[0] != '/' || entry_path(folder, ret) < 0)
                return report(EBADMSG, "the image's commands start in \"%.200s\", which is no absolute path: it is refused",
                        folder);
        return 0;
}

/* These are each sandbox's own, and empty; its home is filled. */
static bool is_own(const char *path) {
        static const char *const own[] = { "/tmp", "/dev", "/proc" };

        for (size_t i = 0; i < ELEMENTSOF(own); i++) {
                size_t n = strlen(own[i]) - 1;
                if (strncmp(path, own[i] + 1, n) == 0 && (path[n] == '\0' || path[n] == '/'))
                        return true;
        }
        return false;
}

int finish_tree(TreeWriter *w, const Plan *plan) {
        char folder[FILE_PATH_MAX];

        int r = set_user(w, "etc/passwd", false);
        if (r == 0)
                r = set_user(w, "etc/group", true);
        if (r == 0)
                r = take_folder(plan, folder);
        if (r < 0 || !folder[0] || is_own(folder))
                return r;
        r = tree_folder(w, folder, 0755);
        /* where a link leads there, commands find out */
        return r < 0 && r != -ENOTDIR && r != -ELOOP ? report_write(r, folder) : 0;
}

/* --- what it says --- */

static int take_variables(const Plan *plan, json_t *env) {
        const json_t *list = json_object_get(json_object_get(plan->config, "config"), "Env"), *entry;
        _cleanup_error_ Error error = { 0 };
        json_t *checked = NULL;
        size_t i;

        json_array_foreach((json_t *) list, i, entry) {
                const char *text = json_string_value(entry), *equals = text ? strchr(text, '=') : NULL;
                _cleanup_json_ json_t *one = json_object();
                _cleanup_free_ char *name = equals ? strndup(text, (size_t) (equals - text)) : NULL;

                if (!name || !one)
                        continue;
                if (json_object_set_new(one, name, json_string(equals + 1)) < 0 || env_parse("Env", one, &checked, &error) < 0) {
                        error_clear(&error); /* no shell could use such a name either */
                        continue;
                }
                if (json_object_update(env, one) < 0)
                        return report_memory();
        }
        json_decref(checked);
        checked = NULL;
        int r = env_parse("Env", env, &checked, &error);
        json_decref(checked);
        return r < 0 ? report(r, "the image's environment cannot be used: %s", error.detail ? error.detail : "too much") : 0;
}

/* At most so much of what others wrote. */
static json_t *short_text(const char *text) {
        size_t length;
        _cleanup_free_ char *clean = text ? utf8_replace(text, strnlen(text, 64), &length) : NULL;

        return clean ? json_string(clean) : NULL;
}

int finish_config(const Plan *plan, const Apply *a, char **ret) {
        _cleanup_(image_config_unrefp) ImageConfig *check = NULL;
        _cleanup_json_ json_t *env = json_object(), *j = NULL;
        _cleanup_error_ Error error = { 0 };
        _cleanup_free_ char *text = NULL;
        char folder[FILE_PATH_MAX], now[TIMESTAMP_MAX], digest[SHA256_TEXT_MAX + 8];

        if (!env)
                return report_memory();
        int r = take_variables(plan, env);
        if (r == 0)
                r = take_folder(plan, folder);
        if (r < 0)
                return r;
        (void) snprintf(digest, sizeof digest, "sha256:%s", plan->digest);
        j = json_pack("{sO so* ss* ss so* ss sI sI}", "env", env, "cwd",
                folder[0] && !(is_own(folder) && strcmp(folder, "tmp") != 0) ? json_sprintf("/%s", folder) : NULL,
                "digest", plan->digest[0] ? digest : NULL, "architecture", plan_architecture(), "created",
                short_text(json_string_value(json_object_get(plan->config, "created"))), "imported",
                format_timestamp(clock_realtime(), now), "size", (json_int_t) a->bytes, "n_files",
                (json_int_t) a->writer->n_files);
        text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
        if (!text)
                return report_memory();
        if (strlen(text) > IMAGE_CONFIG_MAX)
                return report(EFBIG, "what the image says of itself is too long");
        r = image_config_read(text, strlen(text), &check, &error);
        if (r < 0)
                return report(r, "the image's configuration cannot be used: %s", error.detail ? error.detail : "refused");
        *ret = take_ptr(text);
        return 0;
}
