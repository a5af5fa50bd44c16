/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "error/error.h"

/* One request and its answer. A handler answers at once, or keeps the request and answers later. */

typedef struct HttpRequest HttpRequest;

#define HTTP_REQUEST_ID_MAX 128U

const char *http_request_method(const HttpRequest *r);
/* The @index-th "{}" of the route's pattern. */
const char *http_request_parameter(const HttpRequest *r, unsigned index);
/* Of the query string, or NULL. Decoded. */
const char *http_request_argument(const HttpRequest *r, const char *name);
/* The same with its length: it may contain NUL. */
const char *http_request_argument_bytes(const HttpRequest *r, const char *name, size_t *ret_length);
const char *http_request_header(const HttpRequest *r, const char *name);
/* Path and query as they came, where the server keeps them. */
const char *http_request_target(const HttpRequest *r);
/* Where it came from. */
const struct sockaddr *http_request_peer(const HttpRequest *r);
/* Its address alone, without port, or "" when it has none. */
#define HTTP_ADDRESS_MAX 46U
const char *http_request_address(const HttpRequest *r, char buf[static HTTP_ADDRESS_MAX]);
/* The same for people: "unix:uid=1000,pid=42", "127.0.0.1:4242", "" when it cannot be told. */
const char *http_request_caller(const HttpRequest *r);
/* The whole body. */
const char *http_request_body(const HttpRequest *r, size_t *ret_length);
/* Name of the key that it came with, or NULL. */
const char *http_request_owner(const HttpRequest *r);
/* What the client gave as X-Request-Id, or one that was made. */
const char *http_request_id(const HttpRequest *r);

/* The loop that it is served on. */
sd_event *http_request_event(const HttpRequest *r);

/* Calls @each for all arguments of the query string; stops when it returns non-zero, and returns that. */
int http_request_each_argument(
        const HttpRequest *r, int (*each)(const char *name, const char *value, void *userdata), void *userdata);

/* The same for the headers, as they came. */
int http_request_each_header(
        const HttpRequest *r, int (*each)(const char *name, const char *value, void *userdata), void *userdata);

/* Where everyone on this machine may ask, web pages in somebody's browser may not: neither across origins nor by a name
 * of their own that leads here. Returns 0 or -EPERM with @error set. */
int http_request_check_anonymous(const HttpRequest *r, Error *error);

/* @release is called with @data when the answer has left, or cannot leave any more. Once for each request. */
void http_request_keep(HttpRequest *r, void (*release)(void *data), void *data);

/* Adds a header to the answer that will be given. @value is copied. Control characters make it be left out. */
void http_request_set_header(HttpRequest *r, const char *name, const char *value);

/* Answers with a JSON document (taken; NULL: out of memory, 500). */
void http_answer_json(HttpRequest *r, unsigned status, json_t *document);
/* With one that is written already (taken, from malloc(); NULL: out of memory, 500). */
void http_answer_json_text(HttpRequest *r, unsigned status, char *text);
/* With text of another type (taken, from malloc()). */
void http_answer_text(HttpRequest *r, unsigned status, const char *content_type, char *text);
/* With bytes (taken, from malloc()); @content_type: NULL when it is among the headers that were set. */
void http_answer_bytes(HttpRequest *r, unsigned status, const char *content_type, char *bytes, size_t length);
void http_answer_empty(HttpRequest *r, unsigned status);
/* With @length bytes that lie behind the first @offset of @memory (taken, from malloc()). */
void http_answer_memory(
        HttpRequest *r, unsigned status, const char *content_type, void *memory, size_t offset, size_t length);
/* With problem+json, as @error says; @result: what the function returned that set it. */
void http_answer_error(HttpRequest *r, Error *error, int result);

/* The answer comes later. @cancelled is called, at most once, when the client has gone or the server ends before it
 * was given: then no answer may be given any more and @userdata is not used again. */
void http_request_defer(HttpRequest *r, void (*cancelled)(HttpRequest *r, void *userdata), void *userdata);

/* --- streams --- */

/* What http_stream_begin() gets bytes from: writes at most @size of them to @buf. Returns how many; 0 when there are
 * none now (http_stream_wake() has to follow once there are); HTTP_STREAM_END or HTTP_STREAM_BROKEN, which closes the
 * connection without a proper end so that the client notices. */
typedef ssize_t HttpStreamRead(HttpRequest *r, char *buf, size_t size, void *userdata);
#define HTTP_STREAM_END (-1)
#define HTTP_STREAM_BROKEN (-2)

/* Answers with a body that comes as the client takes it. @length: bytes, or HTTP_LENGTH_UNKNOWN. @cancelled: as with
 * http_request_defer(), called when the client has gone before the end; @userdata is not used after it, nor after
 * @read has returned one of the two ends. */
#define HTTP_LENGTH_UNKNOWN UINT64_MAX
void http_stream_begin(HttpRequest *r, unsigned status, const char *content_type, uint64_t length, HttpStreamRead *read,
        void (*cancelled)(HttpRequest *r, void *userdata), void *userdata);
void http_stream_wake(HttpRequest *r);
/* To be called before it begins: how many bytes @read is asked for at once. */
void http_stream_block(HttpRequest *r, size_t size);

/* Receives the body of a request on a route with HTTP_ROUTE_STREAM, whose handler is called as soon as the head is
 * known and has to set this. Returns how many of the bytes it took: fewer than all of them hold the client up until
 * http_body_wake(). Called with @size 0 at the end of the body. After an answer was given the rest is dropped. */
typedef size_t HttpBodyWrite(HttpRequest *r, const char *data, size_t size, void *userdata);
void http_body_receive(HttpRequest *r, HttpBodyWrite *write, void *userdata);
void http_body_wake(HttpRequest *r);

/* --- another protocol on the same connection --- */

/* Hands the socket over. @extra: bytes that came behind the head, borrowed. @end has to be called with @handle once,
 * when the socket is not used any more; it is closed then. The request is gone when this is called. */
typedef void HttpUpgraded(int sock, const char *extra, size_t extra_length, void *handle, void *userdata);
void http_upgrade(HttpRequest *r, const char *protocol, HttpUpgraded *upgraded, void *userdata);
void http_upgrade_end(void *handle);
