/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define SD_JOURNAL_SUPPRESS_LOCATION /* it would be this file for every entry */
#include "log/log.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "base/text.h"
#include "log/escape.h"

#define TEXT_SIZE (4 * KIB)  /* of a message */
#define VALUE_SIZE (1 * KIB) /* of a field's value */
#define NAME_MAX_LENGTH 64U  /* what journald takes */
#define FIELDS_MAX 16U       /* the caller's; more are left out */
#define OWN_FIELDS_MAX 6U    /* MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, MESSAGE_ID, ERRNO, WORKER_ID */

typedef enum StderrKind {
        STDERR_FILE,     /* a file or a pipe that somebody else reads: lines carry the time */
        STDERR_TERMINAL, /* a person watches */
        STDERR_JOURNAL,  /* systemd reads: lines carry the priority as <N>, the journal knows the time */
} StderrKind;

static struct {
        bool journal, starting;
        int level;
        StderrKind kind;
        char worker_id[ID_MAX + 1];
        LogSink *sink;
        unsigned long lines_lost; /* nobody read stderr */
} self = {
        .level = LOG_INFO,
};

/* A log entry in the making: escaped copies, all of bounded size. */
typedef struct Entry {
        int priority;
        int error; /* 0: none */
        const LogMessage *message;
        const LogField *fields; /* borrowed from the caller, or NULL */
        char text[TEXT_SIZE];
} Entry;

/* systemd names the stream it gave us; stderr may have been redirected since. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        char name[64];
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        (void) snprintf(name, sizeof name, "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
        return strcmp(stream, name) == 0;
}

void log_setup(LogTarget target, int level, const char *worker_id) {
        bool from_journal = stderr_is_journal();

        self.kind = from_journal ? STDERR_JOURNAL : isatty(STDERR_FILENO) ? STDERR_TERMINAL : STDERR_FILE;
        self.journal = target == LOG_TARGET_JOURNAL || (target == LOG_TARGET_AUTO && from_journal);
        self.level = level;
        (void) snprintf(self.worker_id, sizeof self.worker_id, "%s", worker_id ?: "");
}

void log_set_starting(bool starting) {
        self.starting = starting;
}

void log_set_sink(LogSink *sink) {
        self.sink = sink;
}

static bool has_field(const LogField *fields, const char *name) {
        for (; fields && fields->name; fields++)
                if (fields->value && strcmp(fields->name, name) == 0)
                        return true;
        return false;
}

typedef struct JournalEntry {
        struct iovec iov[OWN_FIELDS_MAX + FIELDS_MAX];
        int n;
        size_t used;
        char arena[TEXT_SIZE + (OWN_FIELDS_MAX + FIELDS_MAX) * (NAME_MAX_LENGTH + 1 + VALUE_SIZE)];
} JournalEntry;

/* @size: room for the value, so that the arena is never too small. */
static void journal_add(JournalEntry *j, const char *name, const char *value, size_t size) {
        size_t length = strlen(name);

        assert(length <= NAME_MAX_LENGTH);
        assert((size_t) j->n < ELEMENTSOF(j->iov));
        assert(j->used + length + 1 + size <= sizeof j->arena);

        char *start = j->arena + j->used;
        memcpy(start, name, length);
        start[length] = '=';
        length += 1 + escape_text(value, start + length + 1, size);

        j->iov[j->n++] = (struct iovec){ .iov_base = start, .iov_len = length };
        j->used += length;
}

static int write_journal(const Entry *e) {
        JournalEntry j;
        char number[16];

        j.n = 0;
        j.used = 0;

        journal_add(&j, "MESSAGE", e->text, TEXT_SIZE);
        (void) snprintf(number, sizeof number, "%d", e->priority);
        journal_add(&j, "PRIORITY", number, sizeof number);
        journal_add(&j, "SYSLOG_IDENTIFIER", program_invocation_short_name, VALUE_SIZE);
        if (e->message)
                journal_add(&j, "MESSAGE_ID", e->message->id, VALUE_SIZE);
        if (e->error > 0) {
                (void) snprintf(number, sizeof number, "%d", e->error);
                journal_add(&j, "ERRNO", number, sizeof number);
        }
        if (self.worker_id[0] && !has_field(e->fields, "WORKER_ID"))
                journal_add(&j, "WORKER_ID", self.worker_id, VALUE_SIZE);

        size_t n = 0;
        for (const LogField *f = e->fields; f && f->name && n < FIELDS_MAX; f++)
                if (f->value) {
                        journal_add(&j, f->name, f->value, VALUE_SIZE);
                        n++;
                }

        return sd_journal_sendv(j.iov, j.n);
}

static const char *level_word(int priority) {
        return priority <= LOG_ERR ? "error: " : priority == LOG_WARNING ? "warning: " : "";
}

typedef struct Line {
        size_t used;
        char text[PIPE_BUF]; /* what a pipe takes in one piece */
} Line;

/* Adds what fits; the last byte is kept for the newline. */
_printf_(2, 3) static void line_add(Line *l, const char *format, ...) {
        size_t space = sizeof l->text - 1 - l->used;
        va_list ap;

        va_start(ap, format);
        int n = vsnprintf(l->text + l->used, space, format, ap);
        va_end(ap);
        if (n > 0)
                l->used += MIN((size_t) n, space - 1);
}

/* To filter by: the texts have the values where people need them. */
static bool is_for_filters(const char *name) {
        return strncmp(name, "SANDBOXD_POOL_", strlen("SANDBOXD_POOL_")) == 0 || strcmp(name, "SANDBOXD_IMAGE") == 0 ||
               strcmp(name, "SANDBOXD_USER") == 0;
}

/* "TIME sandboxd[PID]: warning: text (SESSION_ID=... REASON=...)", in one write. A reader who does not read must
 * not stop the service: then the line is lost, and counted. */
static void write_stderr(const Entry *e) {
        struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
        char time[TIMESTAMP_MAX], value[VALUE_SIZE];
        Line l;
        size_t n = 0;

        l.used = 0;
        if (self.kind == STDERR_JOURNAL)
                line_add(&l, "<%d>", e->priority);
        else if (self.kind == STDERR_FILE)
                line_add(&l, "%s %s[%d]: ", format_timestamp(clock_realtime(), time), program_invocation_short_name,
                        (int) getpid());
        else
                line_add(&l, "%s: ", program_invocation_short_name);
        if (self.lines_lost > 0)
                line_add(&l, "[%lu lines lost] ", self.lines_lost);
        line_add(&l, "%s%s", self.kind == STDERR_JOURNAL ? "" : level_word(e->priority), e->text);
        for (const LogField *f = e->fields; f && f->name && n < FIELDS_MAX; f++)
                if (f->value && !is_for_filters(f->name)) {
                        (void) escape_text(f->value, value, sizeof value);
                        line_add(&l, "%s%s=%s", n++ == 0 ? " (" : " ", f->name, value);
                }
        if (n > 0)
                line_add(&l, ")");
        l.text[l.used++] = '\n';

        if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) && write(STDERR_FILENO, l.text, l.used) > 0)
                self.lines_lost = 0;
        else
                self.lines_lost++;
}

static void emit(const Entry *e) {
        if (self.sink) {
                self.sink(e->priority, e->message, e->fields, e->text);
                return;
        }
        bool last_words = self.starting && self.kind == STDERR_JOURNAL && e->priority <= LOG_ERR && !e->message;
        if (self.journal && !last_words && write_journal(e) >= 0)
                return;
        write_stderr(e);
}

/* errno must be what %m shall show. */
_printf_(5, 0) static void log_v(
        int priority, int error, const LogMessage *message, const LogField *fields, const char *format, va_list ap) {
        char raw[TEXT_SIZE + 8]; /* longer than what is shown, so that a cut is seen */
        Entry e;

        if (vsnprintf(raw, sizeof raw, format, ap) < 0)
                return; /* a conversion failed; there is no text to show */

        e.priority = priority;
        e.error = error;
        e.message = message;
        e.fields = fields;
        (void) escape_text(raw, e.text, sizeof e.text);
        emit(&e);
}

void log_event(int priority, const LogMessage *message, const LogField *fields, const char *format, ...) {
        int saved = errno;
        va_list ap;

        assert(format);

        if (priority > self.level)
                return;

        va_start(ap, format);
        log_v(priority, 0, message, fields, format, ap);
        va_end(ap);
        errno = saved;
}

int log_errno(int priority, int error, const LogMessage *message, const LogField *fields, const char *format, ...) {
        int saved = errno;
        va_list ap;

        assert(format);

        error = error < 0 ? -error : error;
        if (priority <= self.level) {
                errno = error;
                va_start(ap, format);
                log_v(priority, error, message, fields, format, ap);
                va_end(ap);
                errno = saved;
        }
        return -error;
}
