/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <syslog.h>

#include "base/macro.h"
#include "log/message.h"

/* Library code does not log: the first caller in daemon, http or bus does, once. Never log payload data. */

typedef struct LogField {
        const char *name;  /* upper case, a journal field */
        const char *value; /* may be NULL: the field is left out; control characters are escaped */
} LogField;

/* A list of fields, ended for you: LOG_FIELDS({ "SESSION_ID", id }, { "REASON", "timeout" }) */
#define LOG_FIELDS(...) ((const LogField[]){ __VA_ARGS__, { NULL, NULL } })

typedef enum LogTarget {
        LOG_TARGET_AUTO, /* the journal when stderr is connected to it (JOURNAL_STREAM), else stderr */
        LOG_TARGET_JOURNAL,
        LOG_TARGET_STDERR,
} LogTarget;

/* @level: least important priority shown. @worker_id: added to each entry as WORKER_ID (copied), may be NULL. */
void log_setup(LogTarget target, int level, const char *worker_id);

/* While a service starts, plain errors, after which it may be gone at once, take stderr to the journal: a stream
 * belongs to the unit, while of a datagram the journal asks whose it is when it reads it, and may find nobody. */
void log_set_starting(bool starting);

/* @message: row of the message table or NULL; @fields: LOG_FIELDS(...) or NULL. errno is kept; %m works. */
void log_event(int priority, const LogMessage *message, const LogField *fields, const char *format, ...) _printf_(4, 5);

/* Logs with ERRNO= and %m set from @error (positive or negative); returns -abs(error). */
int log_errno(int priority, int error, const LogMessage *message, const LogField *fields, const char *format, ...)
        _printf_(5, 6);

#define log_debug(...) log_event(LOG_DEBUG, NULL, NULL, __VA_ARGS__)
#define log_info(...) log_event(LOG_INFO, NULL, NULL, __VA_ARGS__)
#define log_notice(...) log_event(LOG_NOTICE, NULL, NULL, __VA_ARGS__)
#define log_warning(...) log_event(LOG_WARNING, NULL, NULL, __VA_ARGS__)
#define log_error(...) log_event(LOG_ERR, NULL, NULL, __VA_ARGS__)
#define log_warning_errno(error, ...) log_errno(LOG_WARNING, error, NULL, NULL, __VA_ARGS__)
#define log_error_errno(error, ...) log_errno(LOG_ERR, error, NULL, NULL, __VA_ARGS__)

/* What tests read: called instead of the target with the finished text. NULL restores the target. */
typedef void LogSink(int priority, const LogMessage *message, const LogField *fields, const char *text);
void log_set_sink(LogSink *sink);
