/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conf/conf.h"

#include <dirent.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#define BLANKS " \t"

/* One file on its way through inih, which leaves much unsaid: it cuts long lines and goes on with the rest of them,
 * drops what follows a section's "]", takes an indented assignment for more of the value above, tells nothing of a
 * section without keys and goes on after an error. The reader below looks at each line first. */
typedef struct Reader {
        const ConfTable *table;
        const char *name;
        const char *next, *end; /* what is left of the text */
        void *base;
        Error *error;
        int result;    /* 0, or -errno of the first refusal: nothing is read any more */
        int line;      /* number of the line that was read last */
        bool indented; /* it goes on with a list's value */
        bool seen[CONF_SETTINGS_MAX];
        const ConfSetting *list; /* the setting whose value may go on */

        void *named; /* the struct of the named section that we are in, or NULL */
        bool seen_named[CONF_SETTINGS_MAX];
        void *opened[CONF_NAMED_MAX]; /* each once in a file */
        size_t n_opened;
} Reader;

static void *member(const ConfSetting *s, void *base) {
        return (char *) base + s->offset;
}

static int set(const ConfSetting *s, const char *value, bool more, void *base, Error *error) {
        return s->parse(s, *value || more ? value : s->fallback, more, member(s, base), error);
}

/* Says where and what, unless the parser did: "WHERE=VALUE: expected ...". */
static int refuse_value(const ConfSetting *s, const char *where, const char *value, int r, Error *more, Error *error) {
        if (r == -ENOMEM) {
                (void) error_set(error, ERROR_INTERNAL, "%s: out of memory.", where);
                return r;
        }
        return error_set_field(error, ERROR_INVALID_VALUE, s->key ?: s->environment, NULL, "%s=%.100s: %s%s.", where,
                s->secret ? "..." : value, more->detail ? "" : "expected ", more->detail ?: s->expected);
}

int conf_set_defaults(const ConfTable *table, void *base, Error *error) {
        assert(table->n <= CONF_SETTINGS_MAX);

        for (const ConfSetting *s = table->settings; s < table->settings + table->n; s++) {
                int r = set(s, s->fallback, false, base, error);
                if (r < 0) {
                        assert(r == -ENOMEM); /* defaults are ours */
                        (void) error_set(error, ERROR_INTERNAL, "Out of memory.");
                        return r;
                }
        }
        return 0;
}

_printf_(2, 3) static void refuse_line(Reader *r, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);
        r->result = error_set(r->error, ERROR_INVALID_VALUE, "%s:%d: %s", r->name, r->line, text ?: "refused.");
}

/* "Pool Session ..." or, of a @section, "Size MinSize ...". */
static char *list_names(const ConfSetting *settings, size_t n, const char *section) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        const char *last = "";

        if (!f)
                return NULL;
        for (const ConfSetting *s = settings; s < settings + n; s++) {
                const char *name = section ? s->key : s->section;

                if (!s->section || (section && strcmp(s->section, section) != 0) || strcmp(name, last) == 0)
                        continue;
                (void) fprintf(f, "%s%s", *last ? " " : "", name);
                last = name;
        }
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

static bool is_section(const ConfTable *table, const char *name) {
        for (const ConfSetting *s = table->settings; s < table->settings + table->n; s++)
                if (s->section && strcmp(s->section, name) == 0)
                        return true;
        return false;
}

static const ConfSetting *find(const ConfSetting *settings, size_t n, const char *section, const char *key) {
        for (const ConfSetting *s = settings; s < settings + n; s++)
                if (s->section && strcmp(s->section, section) == 0 && strcmp(s->key, key) == 0)
                        return s;
        return NULL;
}

/* [Section "NAME"]: inih gets to see the section alone, whose names it would cut. Returns whether it is one. */
static bool open_named(Reader *r, char *line) {
        const ConfNamed *named = r->table->named;
        size_t n = named ? strlen(named->section) : 0;
        _cleanup_error_ Error more = { 0 };

        if (!named || strncmp(line + 1, named->section, n) != 0 || !strchr(BLANKS "\"", line[1 + n]) || !line[1 + n])
                return false;
        char *name = line + 1 + n + strspn(line + 1 + n, BLANKS), *end = strchr(name + 1, '"');
        if (*name != '"' || !end || end[1] != ']') {
                refuse_line(r, "expected [%s \"NAME\"].", named->section);
                return true;
        }
        *end = '\0';
        r->named = named->open(r->base, name + 1, &more);
        if (!r->named) {
                refuse_line(r, "[%s \"%.100s\"]: %s", named->section, name + 1, more.detail ?: "out of memory.");
                return true;
        }
        for (size_t i = 0; i < r->n_opened; i++)
                if (r->opened[i] == r->named) {
                        refuse_line(r, "[%s \"%.100s\"] is in this file twice.", named->section, name + 1);
                        return true;
                }
        if (r->n_opened == CONF_NAMED_MAX) {
                refuse_line(r, "more than %u sections [%s \"NAME\"].", CONF_NAMED_MAX, named->section);
                return true;
        }
        r->opened[r->n_opened++] = r->named;
        memset(r->seen_named, 0, sizeof r->seen_named);
        memmove(line + 1 + n, end + 1, strlen(end + 1) + 1);
        return true;
}

static void check_section(Reader *r, char *line) {
        r->list = NULL;
        r->named = NULL;
        if (open_named(r, line) && r->result < 0)
                return;

        char *close = strchr(line, ']');
        if (!close) {
                refuse_line(r, "\"%s\" lacks its \"]\".", line);
                return;
        }

        const char *rest = close + 1 + strspn(close + 1, BLANKS);
        if (*rest && *rest != ';') {
                refuse_line(r, "\"%s\" after a section; write it on a line of its own.", rest);
                return;
        }

        char saved = *close;
        *close = '\0';
        if (!is_section(r->table, line + 1)) {
                _cleanup_free_ char *known = list_names(r->table->settings, r->table->n, NULL);
                refuse_line(r, "there is no section [%s]; expected one of: %s.", line + 1, known ?: "");
        }
        *close = saved;
}

/* An indented line: more of a list, else refused. inih does not look for a comment at its end. */
static void check_indented(Reader *r, char *line) {
        if (!r->list) {
                refuse_line(r, "the line is indented; only the values of a list go on in indented lines.");
                return;
        }
        r->indented = true;
        for (char *p = line; (p = strchr(p, ';')); p++)
                if (strchr(BLANKS, p[-1])) {
                        *p = '\0';
                        return;
                }
}

/* Looks at a line before inih does; empties what it need not see. */
static void check_line(Reader *r, char *line, size_t length) {
        const char *start = line + strspn(line, BLANKS);

        r->indented = false;
        if (strlen(line) != length || !utf8_is_valid(line, length)) {
                refuse_line(r, "the line is not UTF-8 text.");
                return;
        }
        for (const char *p = line; *p; p++)
                if ((*p > 0 && *p < ' ' && *p != '\t') || *p == 0x7F) {
                        refuse_line(r, "the line has a control character.");
                        return;
                }

        if (!*start)
                line[0] = '\0';
        else if (start > line)
                check_indented(r, line);
        else if (*line == '[')
                check_section(r, line);
}

/* inih's fgets(): one line, whole, with its newline; NULL at the end or after a refusal. */
static char *read_line(char *buf, int size, void *userdata) {
        Reader *r = userdata;

        if (r->result < 0 || r->next == r->end)
                return NULL;
        r->line++;

        const char *start = r->next;
        const char *newline = memchr(start, '\n', (size_t) (r->end - start));
        size_t length = (size_t) ((newline ?: r->end) - start);
        r->next = newline ? newline + 1 : r->end;
        if (length > 0 && start[length - 1] == '\r')
                length--;

        size_t blanks = 0;
        while (blanks < length && strchr(BLANKS, start[blanks]) && start[blanks])
                blanks++;
        if (blanks < length && strchr("#;", start[blanks]) && start[blanks])
                length = 0; /* a comment, of whatever length */

        if (length > CONF_LINE_MAX || length + 2 > (size_t) size) {
                refuse_line(r, "the line is longer than %u bytes.", CONF_LINE_MAX);
                return NULL;
        }
        memcpy(buf, start, length);
        buf[length] = '\0';
        check_line(r, buf, length);
        if (r->result < 0)
                return NULL;
        length = strlen(buf);
        buf[length] = '\n';
        buf[length + 1] = '\0';
        return buf;
}

/* inih's handler: 0 is a failure. */
static int take_setting(void *userdata, const char *section, const char *key, const char *value) {
        Reader *r = userdata;
        _cleanup_error_ Error more = { 0 };
        _cleanup_free_ char *where = NULL;

        if (r->result < 0)
                return 0;
        if (!*section) {
                refuse_line(r, "%s= stands before the first [Section].", key);
                return 0;
        }

        const ConfSetting *settings = r->named ? r->table->named->settings : r->table->settings;
        size_t n = r->named ? r->table->named->n : r->table->n;
        const ConfSetting *s = find(settings, n, section, key);
        if (!s) {
                _cleanup_free_ char *known = list_names(settings, n, section);
                refuse_line(r, "[%s] has no setting %s=; expected one of: %s.", section, key, known ?: "");
                return 0;
        }

        bool *seen = (r->named ? r->seen_named : r->seen) + (s - settings);
        if (*seen && !(r->indented && r->list == s)) {
                refuse_line(r, "[%s] %s= is set twice in this file.", section, key);
                return 0;
        }
        *seen = true;
        r->list = s->list ? s : NULL;

        int k = set(s, value, r->indented, r->named ?: r->base, &more);
        if (k >= 0)
                return 1;
        if (asprintf(&where, "%s:%d: [%s] %s", r->name, r->line, section, key) < 0)
                where = NULL;
        r->result = refuse_value(s, where ?: key, value, k, &more, r->error);
        return 0;
}

int conf_parse_text(
        const ConfTable *table, const char *name, const char *text, size_t length, void *base, Error *error) {
        static const char mark[] = "\xEF\xBB\xBF"; /* what some editors put before UTF-8 text */
        Reader r = {
                .table = table,
                .name = name,
                .next = text,
                .end = text + length,
                .base = base,
                .error = error,
        };

        assert(table->n <= CONF_SETTINGS_MAX);

        if (length >= strlen(mark) && memcmp(text, mark, strlen(mark)) == 0)
                r.next += strlen(mark);

        int line = ini_parse_stream(read_line, &r, take_setting, &r);
        if (line < 0)
                return -ENOMEM;
        if (line > 0 && (r.result == 0 || line < r.line)) {
                if (error)
                        error_clear(error); /* inih went on after its own error, which comes first */
                r.line = line;
                refuse_line(&r, "expected [Section], KEY=VALUE or a comment.");
        }
        return r.result;
}

int conf_read_file(const char *path, char **ret, size_t *ret_length, Error *error) {
        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a FIFO must not hold us */
        _cleanup_free_ char *text = NULL;
        size_t used = 0;
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0) {
                int r = -errno;
                if (r != -ENOENT)
                        (void) error_set(error, ERROR_INVALID_VALUE, "%s: cannot be read: %s.", path, strerror(-r));
                return r;
        }
        if (!S_ISREG(st.st_mode))
                return error_set(error, ERROR_INVALID_VALUE, "%s: is not a regular file.", path);

        text = malloc(CONF_FILE_MAX + 1);
        if (!text) {
                (void) error_set(error, ERROR_INTERNAL, "%s: out of memory.", path);
                return -ENOMEM;
        }
        for (;;) {
                ssize_t n = read(fd, text + used, CONF_FILE_MAX + 1 - used);
                if (n < 0) {
                        int r = -errno;
                        (void) error_set(error, ERROR_INVALID_VALUE, "%s: cannot be read: %s.", path, strerror(-r));
                        return r;
                }
                if (n == 0)
                        break;
                used += (size_t) n;
                if (used > CONF_FILE_MAX)
                        return error_set(error, ERROR_INVALID_VALUE, "%s: is longer than 1 MiB.", path);
        }

        text[used] = '\0';
        *ret = take_ptr(text);
        *ret_length = used;
        return 0;
}

/* @listed: the folder has such a name, so that nothing behind it is a link to nowhere. */
static int load_file(const ConfTable *table, const char *path, bool listed, void *base, Error *error) {
        _cleanup_free_ char *text = NULL;
        size_t length = 0;

        int r = conf_read_file(path, &text, &length, error);
        if (r == -ENOENT) {
                if (listed)
                        (void) error_set(error, ERROR_INVALID_VALUE, "%s: is a link to nowhere.", path);
                return listed ? r : 0;
        }
        if (r < 0)
                return r;
        return conf_parse_text(table, path, text, length, base, error);
}

int conf_load_file(const ConfTable *table, const char *path, void *base, Error *error) {
        return load_file(table, path, false, base, error);
}

static int is_conf(const struct dirent *d) {
        size_t length = strlen(d->d_name);

        return d->d_name[0] != '.' && length > strlen(".conf") &&
               strcmp(d->d_name + length - strlen(".conf"), ".conf") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort(), which asks the locale */
}

int conf_load_folder(const ConfTable *table, const char *path, void *base, Error *error) {
        struct dirent **names = NULL;
        int r = 0;

        int n = scandir(path, &names, is_conf, by_name);
        if (n < 0) {
                r = -errno;
                if (r == -ENOENT)
                        return 0;
                (void) error_set(error, ERROR_INVALID_VALUE, "%s: cannot be read: %s.", path, strerror(-r));
                return r;
        }

        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *file = NULL;

                if (r == 0) {
                        if (asprintf(&file, "%s/%s", path, names[i]->d_name) < 0) {
                                file = NULL;
                                r = -ENOMEM;
                                (void) error_set(error, ERROR_INTERNAL, "%s: out of memory.", path);
                        } else
                                r = load_file(table, file, true, base, error);
                }
                free(names[i]);
        }
        free(names);
        return r;
}

int conf_load_environment(const ConfTable *table, void *base, Error *error) {
        for (const ConfSetting *s = table->settings; s < table->settings + table->n; s++) {
                const char *value = s->environment ? getenv(s->environment) : NULL;
                _cleanup_error_ Error more = { 0 };
                _cleanup_free_ char *where = NULL;

                if (!value || !*value)
                        continue;
                int r = set(s, value, false, base, &more);
                if (r >= 0)
                        continue;
                if (asprintf(&where, "environment: %s", s->environment) < 0)
                        where = NULL;
                return refuse_value(s, where ?: s->environment, value, r, &more, error);
        }
        return 0;
}
