/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "http/request-internal.h"

#define EARLY_PATIENCE_USEC (5 * USEC_PER_SEC)
#define STREAM_BLOCK (32U * 1024U)

HttpRequest *http_request_new(
        HttpServer *s, struct MHD_Connection *connection, HttpConnection *client, const char *method) {
        HttpRequest *r = calloc(1, sizeof *r);

        if (!r)
                return NULL;
        r->server = s;
        r->connection = connection;
        r->client = client;
        r->method = strdup(method);
        if (!r->method)
                return http_request_free(r);
        client->busy = true;
        client->request = r;
        s->n_busy++;
        /* busy ones go to the end of the list, where nobody looks for one to close */
        TAILQ_REMOVE(&s->connections, client, entry);
        TAILQ_INSERT_TAIL(&s->connections, client, entry);
        return r;
}

HttpRequest *http_request_free(HttpRequest *r) {
        if (!r)
                return NULL;
        http_request_cancel(r);
        if (r->release)
                r->release(r->release_data);
        if (r->client && r->client->busy) {
                r->client->busy = r->client->reading = false;
                r->client->request = NULL;
                r->client->since = clock_monotonic();
                r->client->deadline = 0;
                r->server->n_busy--;
        }
        if (r->response)
                MHD_destroy_response(r->response);
        for (unsigned i = 0; i < r->n_headers; i++) {
                free(r->headers[i].name);
                free(r->headers[i].value);
        }
        for (unsigned i = 0; i < HTTP_PARAMETERS_MAX; i++)
                free(r->parameters[i]);
        free(r->headers);
        free(r->method);
        free(r->owner);
        free(r->body);
        free(r);
        return NULL;
}

void http_request_make_id(HttpRequest *r, const char *given) {
        size_t n = given ? strlen(given) : 0;

        if (n > 0 && n <= HTTP_REQUEST_ID_MAX &&
                strspn(given, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/+=-") == n)
                memcpy(r->id, given, n + 1);
        else
                (void) snprintf(r->id, sizeof r->id, "%016llx-%llx", (unsigned long long) r->server->id_prefix,
                        (unsigned long long) ++r->server->last_id);
}

void http_request_keep(HttpRequest *r, void (*release)(void *data), void *data) {
        assert(!r->release);
        r->release = release;
        r->release_data = data;
}

const char *http_request_method(const HttpRequest *r) {
        return r->method;
}

const char *http_request_parameter(const HttpRequest *r, unsigned index) {
        assert(index < HTTP_PARAMETERS_MAX && r->parameters[index]);
        return r->parameters[index];
}

const char *http_request_argument(const HttpRequest *r, const char *name) {
        return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_request_argument_bytes(const HttpRequest *r, const char *name, size_t *ret_length) {
        const char *value = NULL;

        *ret_length = 0;
        (void) MHD_lookup_connection_value_n(
                r->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value, ret_length);
        return value;
}

const char *http_request_header(const HttpRequest *r, const char *name) {
        return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

const char *http_request_body(const HttpRequest *r, size_t *ret_length) {
        *ret_length = r->body_used;
        return r->body ? r->body : "";
}

const char *http_request_owner(const HttpRequest *r) {
        return r->owner;
}

sd_event *http_request_event(const HttpRequest *r) {
        return r->server->event;
}

const char *http_request_id(const HttpRequest *r) {
        return r->id;
}

const char *http_request_target(const HttpRequest *r) {
        return r->client->target ? r->client->target : "";
}

const struct sockaddr *http_request_peer(const HttpRequest *r) {
        return MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
}

const char *http_request_address(const HttpRequest *r, char buf[static HTTP_ADDRESS_MAX]) {
        union {
                const struct sockaddr *sa;
                const struct sockaddr_in *in;
                const struct sockaddr_in6 *in6;
        } a = { .sa = http_request_peer(r) };
        const char *text = NULL;

        if (a.sa && a.sa->sa_family == AF_INET)
                text = inet_ntop(AF_INET, &a.in->sin_addr, buf, HTTP_ADDRESS_MAX);
        else if (a.sa && a.sa->sa_family == AF_INET6) {
                if (IN6_IS_ADDR_V4MAPPED(&a.in6->sin6_addr))
                        text = inet_ntop(AF_INET, a.in6->sin6_addr.s6_addr + 12, buf, HTTP_ADDRESS_MAX);
                else
                        text = inet_ntop(AF_INET6, &a.in6->sin6_addr, buf, HTTP_ADDRESS_MAX);
        }
        return text ? text : "";
}

typedef struct EachArgument {
        int (*each)(const char *name, const char *value, void *userdata);
        void *userdata;
        int result;
} EachArgument;

static enum MHD_Result each_argument(void *cls, enum MHD_ValueKind kind, const char *name, const char *value) {
        EachArgument *e = cls;

        (void) kind;
        e->result = e->each(name, value ? value : "", e->userdata);
        return e->result == 0 ? MHD_YES : MHD_NO;
}

int http_request_each_argument(
        const HttpRequest *r, int (*each)(const char *name, const char *value, void *userdata), void *userdata) {
        EachArgument e = { .each = each, .userdata = userdata };

        (void) MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, each_argument, &e);
        return e.result;
}

int http_request_each_header(
        const HttpRequest *r, int (*each)(const char *name, const char *value, void *userdata), void *userdata) {
        EachArgument e = { .each = each, .userdata = userdata };

        (void) MHD_get_connection_values(r->connection, MHD_HEADER_KIND, each_argument, &e);
        return e.result;
}

int http_request_add_body(HttpRequest *r, const char *data, size_t size) {
        size_t wanted = r->body_used + size + 1;

        if (r->body_used + size > r->body_max)
                return -EFBIG;
        if (wanted > r->body_size) {
                size_t new_size = MAX(wanted, 2 * r->body_size);
                char *p = realloc(r->body, new_size);
                if (!p)
                        return -ENOMEM;
                r->body = p;
                r->body_size = new_size;
        }
        memcpy(r->body + r->body_used, data, size);
        r->body_used += size;
        r->body[r->body_used] = '\0';
        return 0;
}

void http_request_set_header(HttpRequest *r, const char *name, const char *value) {
        for (const char *p = value; *p; p++)
                if (((unsigned char) *p < ' ' && *p != '\t') || *p == 0x7f)
                        return;
        if (r->n_headers == HTTP_HEADERS_MAX)
                return;
        if (r->n_headers % 8 == 0) {
                void *p = reallocarray(r->headers, r->n_headers + 8, sizeof *r->headers);
                if (!p) {
                        r->incomplete = true;
                        return;
                }
                r->headers = p;
        }
        r->headers[r->n_headers].name = strdup(name);
        r->headers[r->n_headers].value = strdup(value);
        r->incomplete |= !r->headers[r->n_headers].name || !r->headers[r->n_headers].value;
        r->n_headers++;
}

static void add_header(HttpRequest *r, struct MHD_Response *response, const char *name, const char *value) {
        r->incomplete |= MHD_add_response_header(response, name, value) != MHD_YES;
}

enum MHD_Result http_request_queue(HttpRequest *r) {
        struct MHD_Response *response = take_ptr(r->response);
        enum MHD_Result result = MHD_NO;

        if (!response)
                return MHD_NO;
        add_header(r, response, "X-Request-Id", r->id);
        for (unsigned i = 0; i < r->n_headers && !r->incomplete; i++)
                add_header(r, response, r->headers[i].name, r->headers[i].value);
        if (!MHD_get_response_header(response, "Cache-Control"))
                add_header(r, response, "Cache-Control", "no-store");
        /* what lacks a header for want of memory could be taken for another answer: the connection ends instead */
        if (!r->incomplete)
                result = MHD_queue_response(r->connection, r->status, response);
        MHD_destroy_response(response);
        r->server->counters.answers[MIN(r->status / 100, 5U)]++;
        return result;
}

/* The answer is known: the library takes it at once, or is woken up to take it. */
static void answer(HttpRequest *r, unsigned status, struct MHD_Response *response) {
        assert(!r->answered);

        r->answered = true;
        if (!r->stream_read && !r->upgraded)
                r->cancelled = NULL;
        r->status = status;
        r->response = response;
        http_request_resume(r);
}

/* While it reads a body, the library takes no answer. Nothing was sent for this request yet, so that it can be written
 * beside it; then the client hears that this is all, and what it still sends is dropped for a moment. */
static void answer_early(HttpRequest *r, unsigned status, const char *content_type, const char *text, size_t length) {
        char *head = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&head, &size);

        if (f) {
                (void) fprintf(f, "HTTP/1.1 %u %s\r\nConnection: close\r\nX-Request-Id: %s\r\nContent-Length: %zu\r\n",
                        status, MHD_get_reason_phrase_for(status), r->id, length);
                if (content_type)
                        (void) fprintf(f, "Content-Type: %s\r\n", content_type);
                for (unsigned i = 0; i < r->n_headers; i++)
                        if (r->headers[i].name && r->headers[i].value)
                                (void) fprintf(f, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
                (void) fputs("\r\n", f);
                struct iovec parts[] = { { 0 }, { (char *) text, length } };
                struct msghdr message = { .msg_iov = parts, .msg_iovlen = ELEMENTSOF(parts) };
                bool incomplete = r->incomplete || ferror(f);
                if (fclose(f) == 0 && !incomplete) {
                        parts[0] = (struct iovec){ head, size };
                        /* who does not read has no use for it */
                        (void) sendmsg(r->client->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
                }
        }
        free(head);
        (void) shutdown(r->client->fd, SHUT_WR);
        r->server->counters.answers[MIN(status / 100, 5U)]++;
        answer(r, status, NULL);
        r->client->deadline = clock_monotonic() + EARLY_PATIENCE_USEC;
}

static void answer_buffer(HttpRequest *r, unsigned status, const char *content_type, char *text, size_t length) {
        if (r->body_write && r->head_over && !r->body_ended && r->client->reading) {
                answer_early(r, status, content_type, text, length);
                free(text);
                return;
        }
        struct MHD_Response *response =
                MHD_create_response_from_buffer(length, text, text ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);

        if (!response)
                free(text);
        else if (content_type)
                add_header(r, response, "Content-Type", content_type);
        answer(r, status, response);
}

void http_answer_json(HttpRequest *r, unsigned status, json_t *document) {
        char *text = document ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;

        json_decref(document);
        http_answer_json_text(r, status, text);
}

void http_answer_json_text(HttpRequest *r, unsigned status, char *text) {
        Error error = { 0 };

        if (text)
                answer_buffer(r, status, "application/json", text, strlen(text));
        else
                http_answer_error(r, &error, -ENOMEM);
}

void http_answer_text(HttpRequest *r, unsigned status, const char *content_type, char *text) {
        answer_buffer(r, status, content_type, text, strlen(text));
}

void http_answer_bytes(HttpRequest *r, unsigned status, const char *content_type, char *bytes, size_t length) {
        answer_buffer(r, status, content_type, bytes, length);
}

void http_answer_memory(
        HttpRequest *r, unsigned status, const char *content_type, void *memory, size_t offset, size_t length) {
        struct MHD_Response *response =
                MHD_create_response_from_buffer_with_free_callback_cls(length, (char *) memory + offset, free, memory);

        if (!response)
                free(memory);
        else
                add_header(r, response, "Content-Type", content_type);
        answer(r, status, response);
}

void http_answer_empty(HttpRequest *r, unsigned status) {
        answer_buffer(r, status, NULL, NULL, 0);
}

/* What was given back to the client may have been cut within a character. */
static json_t *text_new(const char *text) {
        _cleanup_free_ char *valid = NULL;
        size_t length = strlen(text);

        if (utf8_is_valid(text, length))
                return json_stringn_nocheck(text, length);
        valid = utf8_replace(text, length, &length);
        return valid ? json_stringn_nocheck(valid, length) : NULL;
}

void http_answer_error(HttpRequest *r, Error *error, int result) {
        _cleanup_free_ char *text = NULL;
        char retry[16];
        json_t *j;

        if (error->kind == ERROR_NONE)
                (void) error_set_errno(error, result);
        unsigned status = error_http_status(error->kind);

        j = json_pack("{ss ss si so}", "type", "about:blank", "title", error_title(error->kind), "status", (int) status,
                "detail", text_new(error->detail ? error->detail : error_title(error->kind)));
        if (j) {
                if (error->field[0])
                        (void) json_object_set_new(j, "field", text_new(error->field));
                if (error->limit[0])
                        (void) json_object_set_new(j, "limit", json_string(error->limit));
                if (error->session_id[0])
                        (void) json_object_set_new(j, "session_id", json_string(error->session_id));
                if (error->reason[0])
                        (void) json_object_set_new(j, "reason", json_string(error->reason));
                if (error->retry_after)
                        (void) json_object_set_new(j, "retry_after", json_integer(error->retry_after));
                text = json_dumps(j, JSON_COMPACT);
                json_decref(j);
        }
        if (error->retry_after || status == 503 || status == 429) {
                (void) snprintf(retry, sizeof retry, "%u", error->retry_after ? error->retry_after : 1);
                http_request_set_header(r, "Retry-After", retry);
        }
        error_clear(error);
        if (!text)
                text = strdup("{\"title\":\"Internal error\",\"status\":500}");
        answer_buffer(r, status, "application/problem+json", text, text ? strlen(text) : 0);
        text = NULL;
}

void http_request_cancel(HttpRequest *r) {
        void (*cancelled)(HttpRequest *, void *) = take_ptr(r->cancelled);

        r->watched = false;
        r->upgraded = NULL; /* whoever it is for is gone */
        if (cancelled)
                cancelled(r, r->userdata);
}

void http_request_abandon(HttpRequest *r) {
        http_request_cancel(r);
        /* the library finds out by itself that nobody reads this */
        r->stream_ended = true;
        if (!r->answered)
                answer_buffer(r, 499, NULL, NULL, 0);
        else
                http_request_resume(r);
}

static int on_hangup(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        HttpConnection *c = userdata;

        (void) source;
        (void) fd;
        (void) revents;
        c->gone = true;
        if (c->request && c->request->watched)
                http_request_abandon(c->request);
        return 0;
}

/* A connection that waits is not looked at by the library: an end of it is noticed here. It stays watched, which costs
 * its next requests nothing: an end is told once, and once more when that is asked for. */
static void watch_hangup(HttpRequest *r) {
        const uint32_t events = (uint32_t) EPOLLRDHUP | (uint32_t) EPOLLET;
        HttpConnection *c = r->client;

        if (r->watched || !r->cancelled)
                return;
        if (!c->hangup)
                r->watched = sd_event_add_io(r->server->event, &c->hangup, c->fd, events, on_hangup, c) >= 0;
        else
                r->watched = !c->gone || sd_event_source_set_io_events(c->hangup, events) >= 0;
}

void http_connection_forget(HttpConnection *c) {
        c->hangup = sd_event_source_disable_unref(c->hangup);
}

void http_request_suspend(HttpRequest *r) {
        assert(!r->suspended);

        r->suspended = true;
        MHD_suspend_connection(r->connection);
        watch_hangup(r);
}

void http_request_resume(HttpRequest *r) {
        r->watched = false;
        if (!r->suspended)
                return;
        if (r->client->held) { /* that was our time */
                r->client->deadline += clock_monotonic() - r->client->held;
                r->client->held = 0;
                r->client->tried = false;
        }
        r->suspended = false;
        MHD_resume_connection(r->connection);
        http_server_run_soon(r->server);
}

void http_request_defer(HttpRequest *r, void (*cancelled)(HttpRequest *r, void *userdata), void *userdata) {
        assert(!r->answered);

        r->cancelled = cancelled;
        r->userdata = userdata;
}

/* --- streams --- */

static ssize_t read_stream(void *cls, uint64_t position, char *buf, size_t size) {
        HttpRequest *r = cls;

        (void) position;
        ssize_t n = r->stream_ended ? HTTP_STREAM_BROKEN : r->stream_read(r, buf, size, r->userdata);
        if (n > 0)
                return n;
        if (n == 0) {
                http_request_suspend(r);
                return 0;
        }
        r->stream_ended = true;
        r->cancelled = NULL;
        if (n != HTTP_STREAM_END)
                http_server_break(r->server, r->client, r->connection);
        return n == HTTP_STREAM_END ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

void http_stream_begin(HttpRequest *r, unsigned status, const char *content_type, uint64_t length, HttpStreamRead *read,
        void (*cancelled)(HttpRequest *r, void *userdata), void *userdata) {
        struct MHD_Response *response =
                MHD_create_response_from_callback(length == HTTP_LENGTH_UNKNOWN ? MHD_SIZE_UNKNOWN : length,
                        r->stream_block ? r->stream_block : STREAM_BLOCK, read_stream, r, NULL);

        if (response && content_type)
                add_header(r, response, "Content-Type", content_type);
        r->stream_read = read;
        r->cancelled = cancelled;
        r->userdata = userdata;
        answer(r, status, response);
}

void http_stream_block(HttpRequest *r, size_t size) {
        r->stream_block = size;
}

void http_stream_wake(HttpRequest *r) {
        if (r->answered)
                http_request_resume(r);
}

void http_body_receive(HttpRequest *r, HttpBodyWrite *write, void *userdata) {
        r->body_write = write;
        r->body_userdata = userdata;
}

void http_body_wake(HttpRequest *r) {
        if (!r->answered)
                http_request_resume(r);
}

/* --- another protocol on the same connection --- */

static void on_upgrade(void *cls, struct MHD_Connection *connection, void *context, const char *extra,
        size_t extra_length, MHD_socket sock, struct MHD_UpgradeResponseHandle *handle) {
        HttpRequest *r = cls;

        (void) connection;
        (void) context;
        r->cancelled = NULL;
        http_connection_forget(r->client); /* whoever has the socket now watches it */
        if (!r->upgraded) {
                http_upgrade_end(handle);
                return;
        }
        r->upgraded(sock, extra, extra_length, handle, r->upgrade_userdata);
}

void http_upgrade(HttpRequest *r, const char *protocol, HttpUpgraded *upgraded, void *userdata) {
        struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgrade, r);

        if (response)
                add_header(r, response, "Upgrade", protocol);
        r->upgraded = upgraded;
        r->upgrade_userdata = userdata;
        answer(r, 101, response);
}

void http_upgrade_end(void *handle) {
        (void) MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}
