/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "error/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DBUS_PREFIX "org.sandboxd.Error."

typedef struct ErrorRow {
        const char *dbus_name;
        int error;
        unsigned http_status;
        const char *title;
} ErrorRow;

static const ErrorRow rows[ERROR_KIND_MAX_] = {
#define ERROR_ROW(kind, dbus, error, status, title) [ERROR_##kind] = { DBUS_PREFIX dbus, error, status, title },
        ERROR_TABLE(ERROR_ROW)
#undef ERROR_ROW
};

void error_clear(Error *e) {
        free(e->detail);
        *e = (Error){ 0 };
}

_printf_(5, 0) static int error_setv(
        Error *e, ErrorKind kind, const char *field, const char *limit, const char *format, va_list ap) {
        assert(kind > ERROR_NONE && kind < ERROR_KIND_MAX_);

        if (e && e->kind == ERROR_NONE) {
                e->kind = kind;
                if (vasprintf(&e->detail, format, ap) < 0)
                        e->detail = NULL; /* out of memory: the title has to do */
                if (field)
                        (void) snprintf(e->field, sizeof e->field, "%s", field);
                if (limit)
                        (void) snprintf(e->limit, sizeof e->limit, "%s", limit);
        }
        return -rows[kind].error;
}

int error_set(Error *e, ErrorKind kind, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        int r = error_setv(e, kind, NULL, NULL, format, ap);
        va_end(ap);
        return r;
}

int error_set_field(Error *e, ErrorKind kind, const char *field, const char *limit, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        int r = error_setv(e, kind, field, limit, format, ap);
        va_end(ap);
        return r;
}

int error_set_errno(Error *e, int error) {
        error = error < 0 ? -error : error;

        for (ErrorKind kind = ERROR_NONE + 1; kind < ERROR_KIND_MAX_; kind++)
                if (rows[kind].error == error && kind != ERROR_INTERNAL)
                        return error_set(e, kind, "%s.", rows[kind].title);
        return error_set(e, ERROR_INTERNAL, "The server could not do this.");
}

const char *error_dbus_name(ErrorKind kind) {
        assert(kind > ERROR_NONE && kind < ERROR_KIND_MAX_);
        return rows[kind].dbus_name;
}

int error_errno(ErrorKind kind) {
        assert(kind > ERROR_NONE && kind < ERROR_KIND_MAX_);
        return rows[kind].error;
}

unsigned error_http_status(ErrorKind kind) {
        assert(kind > ERROR_NONE && kind < ERROR_KIND_MAX_);
        return rows[kind].http_status;
}

const char *error_title(ErrorKind kind) {
        assert(kind > ERROR_NONE && kind < ERROR_KIND_MAX_);
        return rows[kind].title;
}
