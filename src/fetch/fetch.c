/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/fetch.h"

#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "fetch/fetch-internal.h"

#define BUFFER_SIZE (16L * 1024L)
#define HEADS_MAX                                                                                                      \
        (4U * FETCH_HEAD_MAX)      /* bytes of all heads of an answer, those before it, and what follows its body */
#define CONNECTION_AGE_MAX_SEC 50L /* idle; servers close theirs after 75 s: never at the moment we use it */
#define TOKEN_CHARS "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* --- the head of the answer --- */

int fetch_keep_header(Fetch *f, const char *line, size_t size) {
        const char *colon = memchr(line, ':', size), *end = line + size;

        if (!colon || colon == line || f->n_headers == FETCH_HEADERS_MAX)
                return -EPROTO;
        for (const char *p = line; p < colon; p++)
                if (!*p || !strchr(TOKEN_CHARS, *p))
                        return -EPROTO;
        const char *value = colon + 1;
        while (value < end && (*value == ' ' || *value == '\t'))
                value++;
        while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        for (const char *p = value; p < end; p++)
                if (((unsigned char) *p < ' ' && *p != '\t') || *p == 0x7f)
                        return -EPROTO;

        size_t name_size = (size_t) (colon - line), value_size = (size_t) (end - value);
        size_t wanted = f->head_used + name_size + value_size + 2;
        if (wanted > FETCH_HEAD_MAX)
                return -EPROTO;
        if (wanted > f->head_size) {
                size_t new_size = MAX(wanted, MAX(2 * f->head_size, 512U));
                char *p = realloc(f->head, new_size);
                if (!p)
                        return -ENOMEM;
                f->head = p;
                f->head_size = new_size;
        }
        char *p = f->head + f->head_used;
        memcpy(p, line, name_size);
        p[name_size] = '\0';
        memcpy(p + name_size + 1, value, value_size);
        p[name_size + 1 + value_size] = '\0';
        f->names[f->n_headers] = (uint32_t) f->head_used;
        f->values[f->n_headers] = (uint32_t) (f->head_used + name_size + 1);
        f->n_headers++;
        f->head_used = wanted;
        return 0;
}

int fetch_take_head(Fetch *f, unsigned status) {
        f->status = status;
        f->head_done = true;
        f->head_at = clock_monotonic();
        if (f->ops->head)
                f->ops->head(f, f->userdata);
        return f->failure;
}

/* --- what curl calls --- */

static size_t on_header(char *line, size_t one, size_t n, void *userdata) {
        Fetch *f = userdata;
        size_t size = one * n, length = size;
        long status = 0;

        if (f->failure)
                return 0;
        f->head_total += size; /* curl keeps them all */
        if (f->head_total > HEADS_MAX) {
                f->failure = -EPROTO;
                return 0;
        }
        if (f->head_done)
                return size; /* what follows a body in pieces */
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
                length--;
        if (length >= 5 && memcmp(line, "HTTP/", 5) == 0) {
                f->n_headers = 0; /* another answer came before it, such as 100 */
                f->head_used = 0;
                return size;
        }
        if (length > 0) {
                f->failure = fetch_keep_header(f, line, length);
                return f->failure ? 0 : size;
        }

        (void) curl_easy_getinfo(f->handle->curl, CURLINFO_RESPONSE_CODE, &status);
        if (status < 101 || (status < 200 && status != 101))
                return size;
        if (status > 599) {
                f->failure = -EPROTO;
                return 0;
        }
        if (status >= 400 && f->send_paused) {
                /* curl sends no more now, but takes a body that is held up for one that is not at its end */
                f->send_paused = false;
                (void) curl_easy_pause(f->handle->curl, CURLPAUSE_CONT);
        }
        return fetch_take_head(f, (unsigned) status) < 0 ? 0 : size;
}

static size_t on_data(char *data, size_t one, size_t n, void *userdata) {
        Fetch *f = userdata;

        if (f->failure || !f->head_done)
                return 0;
        if (f->ops->data && !f->ops->data(f, data, one * n, f->userdata))
                return CURL_WRITEFUNC_PAUSE;
        return one * n;
}

static size_t on_read(char *buf, size_t one, size_t n, void *userdata) {
        Fetch *f = userdata;

        ssize_t got = f->ops->read ? f->ops->read(f, buf, one * n, f->userdata) : FETCH_END;
        if (got > 0)
                return (size_t) got;
        if (got == FETCH_END)
                return 0;
        if (got == 0) {
                f->send_paused = true;
                return CURL_READFUNC_PAUSE;
        }
        f->failure = -ECONNRESET;
        return CURL_READFUNC_ABORT;
}

/* A connection stands and the request is about to go out on it. When a kept connection turns out to be dead curl takes
 * another and sends again: that must not happen with what may have been done already. */
static int on_connected(void *userdata, char *ip, char *local_ip, int port, int local_port) {
        Fetch *f = userdata;

        (void) ip;
        (void) local_ip;
        (void) port;
        (void) local_port;
        if (f->n_connections > 0 && !f->repeatable) {
                f->failure = -ECONNRESET;
                return CURL_PREREQFUNC_ABORT;
        }
        f->n_connections++;
        f->connect_deadline = USEC_INFINITY;
        f->connecting = -EBADF;
        return CURL_PREREQFUNC_OK;
}

/* --- handles --- */

FetchHandle *fetch_handle_free(FetchHandle *h) {
        if (!h)
                return NULL;
        if (h->curl)
                curl_easy_cleanup(h->curl);
        curl_slist_free_all(h->connect_to);
        free(h);
        return NULL;
}

FetchHandle *fetch_handle_new(Fetcher *f) {
        FetchHandle *h = calloc(1, sizeof *h);

        if (!h)
                return NULL;
        CURL *c = h->curl = curl_easy_init();
        if (!c)
                return fetch_handle_free(h);

        /* none of these fails for want of anything but memory, which shows when the handle is used */
        (void) curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
        (void) curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
        (void) curl_easy_setopt(c, CURLOPT_PROXY, "");
        (void) curl_easy_setopt(c, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
        (void) curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
        (void) curl_easy_setopt(c, CURLOPT_TCP_KEEPIDLE, 15L);
        (void) curl_easy_setopt(c, CURLOPT_TCP_KEEPINTVL, 5L);
        (void) curl_easy_setopt(c, CURLOPT_MAXAGE_CONN, CONNECTION_AGE_MAX_SEC);
        (void) curl_easy_setopt(c, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
        (void) curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_SIZE);
        (void) curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
        (void) curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
        (void) curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
        (void) curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, on_connected);
        (void) curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, fetcher_open_socket);
        (void) curl_easy_setopt(c, CURLOPT_CLOSESOCKETFUNCTION, fetcher_close_socket);
        (void) curl_easy_setopt(c, CURLOPT_CLOSESOCKETDATA, f);
        return h;
}

/* A kept handle, best one of the same server, or a new one. */
static FetchHandle *take_handle(Fetcher *f, FetchServer *s) {
        FetchHandle *h;

        TAILQ_FOREACH(h, &f->spare, entry)
        if (h->server == s)
                break;
        if (!h)
                h = TAILQ_LAST(&f->spare, FetchHandleList);
        if (!h)
                return fetch_handle_new(f);
        TAILQ_REMOVE(&f->spare, h, entry);
        f->n_spare--;
        return h;
}

static int set_server(FetchHandle *h, FetchServer *s) {
        struct curl_slist *connect_to = NULL;

        if (h->server == s)
                return 0;
        if (s->connect_to) {
                connect_to = curl_slist_append(NULL, s->connect_to);
                if (!connect_to)
                        return -ENOMEM;
        }
        CURLcode k = curl_easy_setopt(h->curl, CURLOPT_CONNECT_TO, connect_to);
        curl_slist_free_all(h->connect_to);
        h->connect_to = connect_to;
        if (k == CURLE_OK)
                k = curl_easy_setopt(h->curl, CURLOPT_URL, s->url);
        if (k == CURLE_OK)
                k = s->path && s->path[0] == '@' ? curl_easy_setopt(h->curl, CURLOPT_ABSTRACT_UNIX_SOCKET, s->path + 1)
                                                 : curl_easy_setopt(h->curl, CURLOPT_UNIX_SOCKET_PATH, s->path);
        h->server = k == CURLE_OK ? s : NULL;
        return k == CURLE_OK ? 0 : -ENOMEM;
}

/* --- requests --- */

static int append(struct curl_slist **list, const char *line) {
        struct curl_slist *l = curl_slist_append(*list, line);

        if (!l)
                return -ENOMEM;
        *list = l;
        return 0;
}

static int append_header(struct curl_slist **list, const FetchHeader *h) {
        char small[512], *line = small;
        size_t name = strlen(h->name), value = strlen(h->value);

        if (name + value + 3 > sizeof small) {
                line = malloc(name + value + 3);
                if (!line)
                        return -ENOMEM;
        }
        /* curl takes a header without value for the wish to leave it out, but for this spelling */
        (void) sprintf(line, value ? "%s: %s" : "%s;", h->name, h->value);
        int r = append(list, line);
        if (line != small)
                free(line);
        return r;
}

/* What curl would add by itself stays away unless it was given. */
static int make_headers(const FetchRequest *q, struct curl_slist **ret) {
        static const char *const own[] = { "Accept", "Content-Type", "Expect", "User-Agent" };
        static const char *const off[] = { "Accept:", "Content-Type:", "Expect:", "User-Agent:" };
        struct curl_slist *list = NULL;
        unsigned given = 0;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < q->n_headers; i++) {
                for (size_t k = 0; k < ELEMENTSOF(own); k++)
                        if (strcasecmp(q->headers[i].name, own[k]) == 0)
                                given |= 1U << k;
                r = append_header(&list, q->headers + i);
        }
        for (size_t k = 0; r >= 0 && k < ELEMENTSOF(own); k++)
                if (!(given & 1U << k))
                        r = append(&list, off[k]);
        if (r < 0)
                curl_slist_free_all(list);
        else
                *ret = list;
        return r;
}

static int set_body(CURL *c, const FetchRequest *q) {
        /* puts everything back that a former request may have left */
        CURLcode k = curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);

        if (k == CURLE_OK && strcmp(q->method, "HEAD") == 0)
                k = curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
        else if (k == CURLE_OK && q->body) {
                k = curl_easy_setopt(c, CURLOPT_POST, 1L);
                if (k == CURLE_OK)
                        k = curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) q->body_size);
                if (k == CURLE_OK)
                        k = curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
        } else if (k == CURLE_OK && q->body_size > 0) {
                k = curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
                if (k == CURLE_OK)
                        k = curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE,
                                q->body_size == FETCH_SIZE_UNKNOWN ? (curl_off_t) -1 : (curl_off_t) q->body_size);
        }
        if (k == CURLE_OK)
                k = curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
        return k == CURLE_OK ? 0 : -ENOMEM;
}

static int set_request(Fetch *f, const FetchRequest *q) {
        CURL *c = f->handle->curl;

        int r = set_server(f->handle, f->server);
        if (r >= 0)
                r = set_body(c, q);
        if (r >= 0)
                r = make_headers(q, &f->headers);
        if (r < 0)
                return r;
        if (curl_easy_setopt(c, CURLOPT_REQUEST_TARGET, q->target) != CURLE_OK)
                return -ENOMEM;
        (void) curl_easy_setopt(c, CURLOPT_HTTPHEADER, f->headers);
        (void) curl_easy_setopt(c, CURLOPT_PRIVATE, f);
        (void) curl_easy_setopt(c, CURLOPT_HEADERDATA, f);
        (void) curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
        (void) curl_easy_setopt(c, CURLOPT_READDATA, f);
        (void) curl_easy_setopt(c, CURLOPT_PREREQDATA, f);
        (void) curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, f);
        /* a connection that is taken over, or was given, is nobody else's before or after */
        long alone = q->upgrade || q->sock > 0 ? 1L : 0L;
        (void) curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, alone);
        (void) curl_easy_setopt(c, CURLOPT_FORBID_REUSE, alone);
        if (q->connect_only) {
                (void) curl_easy_setopt(c, CURLOPT_CONNECT_ONLY, 1L);
                (void) curl_easy_setopt(c, CURLOPT_SSL_ENABLE_ALPN, 0L);
                if (q->ca_file && curl_easy_setopt(c, CURLOPT_CAINFO, q->ca_file) != CURLE_OK)
                        return -ENOMEM;
        }
        return 0;
}

static usec_t after(usec_t start, usec_t patience) {
        return patience ? start + patience : USEC_INFINITY;
}

/* Most requests go over connections of our own: a handle of curl costs them more than all the rest. */
static bool goes_directly(const FetchServer *s, const FetchRequest *q) {
        return !s->tls && !q->connect_only && !q->upgrade && q->sock <= 0 && (q->body || q->body_size == 0);
}

static int prepare(Fetch *f, const FetchRequest *q) {
        if (goes_directly(f->server, q))
                return fetch_make_text(f, q);
        f->handle = q->connect_only ? fetch_handle_new(f->fetcher) : take_handle(f->fetcher, f->server);
        return f->handle ? set_request(f, q) : -ENOMEM;
}

int fetch_start(FetchServer *server, const FetchRequest *q, const FetchOps *ops, void *userdata, Fetch **ret) {
        _cleanup_(fetch_freep) Fetch *f = NULL;

        f = calloc(1, sizeof *f);
        if (!f)
                return -ENOMEM;
        f->fetcher = server->fetcher;
        f->server = server;
        f->ops = ops;
        f->userdata = userdata;
        f->sock = f->connecting = f->given = -EBADF;
        f->is_given = q->sock > 0;
        f->started = clock_monotonic();
        f->connect_deadline = after(f->started, q->connect_patience);
        f->head_deadline = after(f->started, q->head_patience);
        f->deadline = after(f->started, q->patience);
        f->is_head = strcmp(q->method, "HEAD") == 0;
        f->repeatable = strcmp(q->method, "GET") == 0 || strcmp(q->method, "HEAD") == 0;
        f->connect_only = q->connect_only;
        int r = prepare(f, q);
        if (r < 0)
                return r;
        server_look_up(server);
        f->waiting = server_needs_address(server); /* curl would look it up in a thread */
        if (!f->waiting)
                r = fetch_begin(f);
        if (r < 0)
                return r;
        fetcher_link(f->fetcher, f);
        if (f->is_given)
                f->given = q->sock;
        *ret = take_ptr(f);
        return 0;
}

int fetch_begin(Fetch *f) {
        f->waiting = false;
        if (!f->handle)
                return wire_begin(f);
        int r = set_server(f->handle, f->server); /* it may have another address since */
        return r < 0 ? r : fetcher_add(f->fetcher, f) == CURLM_OK ? 0 : -ENOMEM;
}

Fetch *fetch_free(Fetch *f) {
        if (!f)
                return NULL;
        fetcher_unlink(f->fetcher, f);
        f->wire = wire_free(f->wire);
        if (f->handle) {
                fetcher_remove(f->fetcher, f);
                f->handle = NULL;
        }
        (void) socket_close(f->given);
        curl_slist_free_all(f->headers);
        free(f->head);
        free(f->text);
        free(f);
        return NULL;
}

void fetch_finish(Fetch *f, CURLcode code) {
        int r = f->failure;

        f->code = code;
        if (r == 0)
                switch (code) {
                case CURLE_OK:
                        r = f->head_done || f->connect_only ? 0 : -EPROTO;
                        break;
                case CURLE_COULDNT_CONNECT:
                case CURLE_COULDNT_RESOLVE_HOST:
                case CURLE_SSL_CONNECT_ERROR:
                case CURLE_PEER_FAILED_VERIFICATION:
                        r = -ECONNREFUSED;
                        break;
                case CURLE_OUT_OF_MEMORY:
                        /* what it says of a line of the head that has no end, too: more likely, and not our fault */
                        r = f->n_connections > 0 && !f->head_done ? -EPROTO : -ENOMEM;
                        break;
                case CURLE_OPERATION_TIMEDOUT:
                        r = -ETIMEDOUT;
                        break;
                case CURLE_UNSUPPORTED_PROTOCOL: /* no status line */
                case CURLE_WEIRD_SERVER_REPLY:
                case CURLE_WRITE_ERROR:
                case CURLE_BAD_CONTENT_ENCODING:
                        r = -EPROTO;
                        break;
                default:
                        r = f->n_connections == 0 ? -ECONNREFUSED : -ECONNRESET;
                }
        if (f->server->is_name && (r == -ECONNREFUSED || r == -ETIMEDOUT))
                server_next_address(f->server);
        f->ops->done(f, r, f->userdata);
}

unsigned fetch_status(const Fetch *f) {
        return f->status;
}

uint64_t fetch_length(const Fetch *f) {
        curl_off_t length = -1;

        if (!f->handle)
                return f->length_known ? f->length : FETCH_SIZE_UNKNOWN;
        (void) curl_easy_getinfo(f->handle->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        return length < 0 ? FETCH_SIZE_UNKNOWN : (uint64_t) length;
}

size_t fetch_n_headers(const Fetch *f) {
        return f->n_headers;
}

FetchHeader fetch_header_at(const Fetch *f, size_t i) {
        assert(i < f->n_headers);
        return (FetchHeader){ f->head + f->names[i], f->head + f->values[i] };
}

const char *fetch_header(const Fetch *f, const char *name) {
        for (unsigned i = 0; i < f->n_headers; i++)
                if (strcasecmp(f->head + f->names[i], name) == 0)
                        return f->head + f->values[i];
        return NULL;
}

bool fetch_was_sent(const Fetch *f) {
        return f->n_connections > 0;
}

usec_t fetch_latency(const Fetch *f) {
        return (f->head_done ? f->head_at : clock_monotonic()) - f->started;
}

void fetch_wake_data(Fetch *f) {
        if (f->wire)
                wire_wake(f->wire);
        if (!f->handle)
                return;
        if (!f->taken_over)
                (void) curl_easy_pause(f->handle->curl, f->send_paused ? CURLPAUSE_SEND : CURLPAUSE_CONT);
        fetcher_run_soon(f->fetcher);
}

void fetch_wake_read(Fetch *f) {
        if (!f->send_paused)
                return;
        f->send_paused = false;
        (void) curl_easy_pause(f->handle->curl, CURLPAUSE_CONT);
        fetcher_run_soon(f->fetcher);
}

int fetch_take_over(Fetch *f) {
        assert(f->status == 101);
        f->taken_over = true;
        f->head_deadline = f->deadline = USEC_INFINITY;
        (void) curl_easy_pause(f->handle->curl, CURLPAUSE_ALL);
        if (f->sock >= 0)
                fetcher_forget_socket(f->fetcher, f->sock);
        return f->sock;
}
