/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/macro.h"
#include "base/text.h"

/* Every refusal a client can act on is a row of this table; what has no row is an internal error: neutral text,
 * status 500. Columns: kind, D-Bus error name, errno, HTTP status, title. */
/* clang-format off */
#define ERROR_TABLE(E)                                                                               \
        E(MALFORMED, "InvalidArgument", EBADMSG, 400, "Malformed request")                           \
        E(UNAUTHORIZED, "AccessDenied", EACCES, 401, "No or unknown key")                            \
        E(FORBIDDEN, "AccessDenied", EPERM, 403, "Not allowed")                                      \
        E(NOT_FOUND, "NoSuchSession", ENOENT, 404, "Not found")                                      \
        E(METHOD_NOT_ALLOWED, "InvalidArgument", EOPNOTSUPP, 405, "Method not allowed")              \
        E(REQUEST_TIMEOUT, "InvalidArgument", ETIME, 408, "Request too slow")                        \
        E(WRONG_STATE, "WrongState", EBUSY, 409, "Wrong state")                                      \
        E(SESSION_ENDED, "NoSuchSession", EOWNERDEAD, 410, "Session ended")                          \
        E(CONDITION_FAILED, "WrongState", ESTALE, 412, "Condition not met")                          \
        E(STALE, "WrongState", EREMCHG, 421, "Not this worker any more")                             \
        E(TOO_LARGE, "InvalidArgument", EFBIG, 413, "Too large")                                     \
        E(RANGE, "InvalidArgument", ESPIPE, 416, "Range not satisfiable")                            \
        E(INVALID_VALUE, "InvalidArgument", EINVAL, 422, "Value not accepted")                       \
        E(QUOTA, "QuotaExceeded", EDQUOT, 429, "Quota or rate exceeded")                             \
        E(HEADERS_TOO_LARGE, "InvalidArgument", ENAMETOOLONG, 431, "Request head too large")         \
        E(INTERNAL, "Failed", EIO, 500, "Internal error")                                            \
        E(WORKER_LOST, "Failed", ENOLINK, 502, "Worker lost")                                        \
        E(NO_SERVER, "Failed", ECONNREFUSED, 502, "No server on this port")                          \
        E(BAD_ANSWER, "Failed", EPROTO, 502, "Bad answer from the sandbox")                          \
        E(NO_CAPACITY, "NoCapacity", EAGAIN, 503, "No capacity")                                     \
        E(DRAINING, "Draining", ESHUTDOWN, 503, "Draining")                                          \
        E(NO_ANSWER, "Failed", ETIMEDOUT, 504, "No answer from the sandbox")                         \
        E(DISK_LIMIT, "QuotaExceeded", ENOSPC, 507, "Disk limit reached")

typedef enum ErrorKind {
        ERROR_NONE,
#define ERROR_ENUM(kind, dbus, error, status, title) ERROR_##kind,
        ERROR_TABLE(ERROR_ENUM)
#undef ERROR_ENUM
        ERROR_KIND_MAX_,
} ErrorKind;
/* clang-format on */

/* What is told to the client. Zero-initialised means no error. Owned by the caller, emptied by error_clear(). */
typedef struct Error {
        ErrorKind kind;
        char *detail;                /* one English sentence for people */
        char field[64];              /* the member, parameter or header that was refused, or "" */
        char limit[64];              /* the limit that was hit, or "" */
        char session_id[ID_MAX + 1]; /* or "" */
        char reason[32];             /* why a session ended, or "" */
        unsigned retry_after;        /* seconds, 0 for none */
} Error;

void error_clear(Error *e);
#define _cleanup_error_ _cleanup_(error_clear)

/* Sets @e (the first error stays when one is set already; @e may be NULL) and returns the row's -errno. */
int error_set(Error *e, ErrorKind kind, const char *format, ...) _printf_(3, 4);

/* The same, naming the field and, if not NULL, its limit. */
int error_set_field(Error *e, ErrorKind kind, const char *field, const char *limit, const char *format, ...)
        _printf_(5, 6);

/* Turns -errno of a function that set no error into one: the first row with that errno, else ERROR_INTERNAL. */
int error_set_errno(Error *e, int error);

const char *error_dbus_name(ErrorKind kind); /* "org.sandboxd.Error.NoSuchSession" */
int error_errno(ErrorKind kind);             /* positive */
unsigned error_http_status(ErrorKind kind);
const char *error_title(ErrorKind kind);
