/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/client.h"

#include <curl/curl.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/interrupt.h"
#include "ctl/terminal.h"

/* What is left to a shielded call after an interrupt. */
#define GRACE (5 * USEC_PER_SEC)
#define BUFFER_SIZE (256L * 1024)

struct Client {
        CURL *curl;                      /* owned */
        CURLM *multi;                    /* owned; keeps the connection */
        struct curl_slist *headers;      /* owned */
        struct curl_slist *body_headers; /* owned; the same for requests with a body */
        char *key_header;                /* owned; NULL without a key */
        EndpointList endpoints;
        size_t chosen; /* index of the server that accepted, SIZE_MAX: none yet */
        size_t last;   /* index of the one last tried, SIZE_MAX: none */
        char *error;   /* owned */
        char *answer;  /* owned: body of the running call */
        size_t answer_size;
        size_t answer_room;
        bool answer_too_long;
        const Call *call; /* borrowed: the running one */
        bool stopped;     /* its give() or take() did not want to go on */
        unsigned file_mode;
};

void answer_clear(Answer *a) {
        json_decref(a->json);
        *a = (Answer){ 0 };
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Client *c = userdata;
        long status = 0;

        n *= size;
        if (c->call->take) {
                curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
                if (status >= 200 && status <= 299) {
                        c->stopped = c->call->take(data, n, c->call->userdata) < 0;
                        return c->stopped ? 0 : n;
                }
        }
        if (n > ANSWER_MAX - c->answer_size) {
                c->answer_too_long = true;
                return 0;
        }
        if (c->answer_size + n > c->answer_room) {
                size_t room = MAX(c->answer_room, 4 * KIB);
                while (room < c->answer_size + n)
                        room *= 2;
                c->answer = xrealloc(c->answer, room);
                c->answer_room = room;
        }
        memcpy(c->answer + c->answer_size, data, n);
        c->answer_size += n;
        return n;
}

static size_t on_send(char *buf, size_t size, size_t n, void *userdata) {
        Client *c = userdata;
        ssize_t k = c->call->give(buf, size * n, c->call->userdata);

        c->stopped = k < 0;
        return k < 0 ? CURL_READFUNC_ABORT : (size_t) k;
}

static size_t on_header(char *data, size_t size, size_t n, void *userdata) {
        static const char name[] = "X-File-Mode:";
        Client *c = userdata;

        n *= size;
        if (n > sizeof name && strncasecmp(data, name, sizeof name - 1) == 0) {
                char text[16] = "";
                memcpy(text, data + sizeof name - 1, MIN(n - sizeof name + 1, sizeof text - 1));
                c->file_mode = (unsigned) strtoul(text, NULL, 8) & 0777;
        }
        return n;
}

static struct curl_slist *header(struct curl_slist *list, const char *text) {
        struct curl_slist *longer = curl_slist_append(list, text);

        if (!longer)
                out_of_memory();
        return longer;
}

static struct curl_slist *headers_new(const char *key_header, const char *accept, const char *type) {
        _cleanup_free_ char *accept_line = xasprintf("Accept: %s", accept);
        struct curl_slist *list = header(NULL, accept_line);

        list = header(list, "Expect:"); /* no round trip before a long body */
        if (type) {
                _cleanup_free_ char *line = xasprintf("Content-Type: %s", type);
                list = header(list, line);
        }
        return key_header ? header(list, key_header) : list;
}

int client_new(EndpointList *endpoints, const char *key, Client **ret) {
        _cleanup_(client_freep) Client *c = xrealloc(NULL, sizeof *c);

        *c = (Client){
                .chosen = SIZE_MAX,
                .last = SIZE_MAX,
        };
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        c->curl = curl_easy_init();
        c->multi = curl_multi_init();
        if (!c->curl || !c->multi)
                return -ENOMEM;
        c->key_header = key ? xasprintf("Authorization: Bearer %s", key) : NULL;
        c->headers = headers_new(c->key_header, "application/json", NULL);
        c->body_headers = headers_new(c->key_header, "application/json", "application/json");
        c->endpoints = *endpoints;
        *endpoints = (EndpointList){ 0 };

        curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "sandboxctl/" VERSION);
        curl_easy_setopt(c->curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(c->curl, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
        curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
        curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(c->curl, CURLOPT_READDATA, c);
        curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, c);
        curl_easy_setopt(c->curl, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
        curl_easy_setopt(c->curl, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_SIZE);

        *ret = take_ptr(c);
        return 0;
}

Client *client_free(Client *c) {
        if (!c)
                return NULL;
        if (c->curl)
                curl_easy_cleanup(c->curl);
        if (c->multi)
                curl_multi_cleanup(c->multi);
        curl_slist_free_all(c->headers);
        curl_slist_free_all(c->body_headers);
        endpoint_list_clear(&c->endpoints);
        free(c->key_header);
        free(c->error);
        free(c->answer);
        free(c);
        return NULL;
}

/* Without the slashes at its end. */
static char *make_url(const Endpoint *e, const char *path) {
        const char *base = e->socket ? "http://localhost" : e->url;
        size_t n = strlen(base);

        while (n > 0 && base[n - 1] == '/')
                n--;
        return xasprintf("%.*s%s", (int) n, base, path);
}

const char *client_error(const Client *c) {
        return c->error ?: "";
}

const Endpoint *client_endpoint(const Client *c) {
        return c->last < c->endpoints.n ? c->endpoints.items + c->last : NULL;
}

char *client_escape(const char *text) {
        char *curl = curl_easy_escape(NULL, text, 0), *copy;

        if (!curl)
                out_of_memory();
        copy = xstrdup(curl);
        curl_free(curl);
        return copy;
}

static void set_error(Client *c, char *text) {
        free(c->error);
        c->error = text;
}

/* Runs the prepared transfer. Returns a CURLcode, CURLE_ABORTED_BY_CALLBACK when a signal ended it. */
static CURLcode transfer(Client *c, const Call *call) {
        unsigned limit = call->shielded ? MAX(interrupt_count() + 1, 2U) : 1;
        usec_t grace_end = 0;
        CURLcode result = CURLE_ABORTED_BY_CALLBACK;
        int running = 1, left;

        if (curl_multi_add_handle(c->multi, c->curl) != CURLM_OK)
                return CURLE_OUT_OF_MEMORY;

        for (;;) {
                struct curl_waitfd wait = { .fd = interrupt_fd(), .events = CURL_WAIT_POLLIN };
                int wait_msec = 10000;

                if (curl_multi_perform(c->multi, &running) != CURLM_OK) {
                        result = CURLE_FAILED_INIT;
                        break;
                }
                if (!running) {
                        CURLMsg *m = curl_multi_info_read(c->multi, &left);
                        result = m ? m->data.result : CURLE_FAILED_INIT;
                        break;
                }

                unsigned interrupts = interrupt_count();
                if (interrupts >= limit)
                        break;
                if (interrupts > 0) {
                        usec_t now = clock_monotonic();
                        if (grace_end == 0)
                                grace_end = now + GRACE;
                        if (now >= grace_end)
                                break;
                        wait_msec = (int) ((grace_end - now) / USEC_PER_MSEC) + 1;
                }

                (void) curl_multi_poll(c->multi, &wait, wait.fd >= 0 ? 1 : 0, wait_msec, NULL);
                if (wait.fd >= 0)
                        interrupt_drain();
        }

        (void) curl_multi_remove_handle(c->multi, c->curl);
        return result;
}

static bool is_local(const char *url) {
        static const char *const hosts[] = { "127.0.0.1", "[::1]", "localhost" };
        CURLU *u = curl_url();
        char *host = NULL;
        bool local = false;

        if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK)
                for (size_t i = 0; i < ELEMENTSOF(hosts); i++)
                        local = local || strcasecmp(host, hosts[i]) == 0;
        curl_free(host);
        curl_url_cleanup(u);
        return local;
}

static void prepare_body(Client *c, const Call *call, const char *body) {
        if (call->give) {
                curl_easy_setopt(c->curl, CURLOPT_UPLOAD, 1L);
                curl_easy_setopt(c->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t) call->length);
        } else if (body || strcmp(call->method, "POST") == 0) {
                curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) (body ? strlen(body) : 0));
                curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body ?: "");
        } else
                curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
        if (strcmp(call->method, "HEAD") == 0)
                curl_easy_setopt(c->curl, CURLOPT_NOBODY, 1L);
}

/* Where a call goes. */
static void set_target(CURL *curl, const Endpoint *e, const char *url) {
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, e->socket);
        /* a proxy never stands between this machine and itself */
        curl_easy_setopt(curl, CURLOPT_PROXY, e->socket || is_local(e->url) ? "" : NULL);
}

/* One attempt at one server. */
static CURLcode attempt(Client *c, const Endpoint *e, const Call *call, const char *body) {
        _cleanup_free_ char *url = make_url(e, call->path);
        struct curl_slist *headers = NULL;
        long timeout =
                call->timeout == USEC_INFINITY ? 0 : (long) MIN(call->timeout / USEC_PER_MSEC, (usec_t) INT32_MAX);

        c->answer_size = 0;
        c->answer_too_long = c->stopped = false;
        c->file_mode = 0;
        c->call = call;
        if (call->accept || call->give)
                headers = headers_new(c->key_header, call->accept ?: "application/json",
                        call->give ? "application/octet-stream"
                        : body     ? "application/json"
                                   : NULL);
        set_target(c->curl, e, url);
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers ?: (body ? c->body_headers : c->headers));
        curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, timeout);
        prepare_body(c, call, body);
        curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, call->method);
        CURLcode result = transfer(c, call);
        curl_easy_setopt(c->curl, CURLOPT_UPLOAD, 0L);
        curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L); /* as it was: with a body to be read */
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
        curl_slist_free_all(headers);
        return result;
}

/* Appends what one server that could not be reached said. */
static void note_unreachable(Client *c, const Endpoint *e, CURLcode result) {
        long os_error = 0;
        _cleanup_free_ char *name = terminal_escape_string(endpoint_name(e));

        curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &os_error);
        set_error(c, xasprintf("%s\n  %s: %s%s", c->error, name,
                             os_error > 0 ? strerror((int) os_error) : curl_easy_strerror(result),
                             os_error == EACCES ? " (members of the group sandbox may)" : ""));
}

static int finish(Client *c, CURLcode result, const Call *call) {
        _cleanup_free_ char *name = terminal_escape_string(endpoint_name(c->endpoints.items + c->last));

        if (c->answer_too_long) {
                set_error(c, xasprintf("The answer of %s is longer than %u MiB", name, (unsigned) (ANSWER_MAX / MIB)));
                return -EFBIG;
        }
        if (c->stopped) {
                set_error(c, xstrdup("Stopped"));
                return -ECANCELED;
        }
        switch (result) {
        case CURLE_OK:
                return 0;
        case CURLE_ABORTED_BY_CALLBACK:
                set_error(c, xasprintf("Interrupted while waiting for %s", name));
                return -EINTR;
        case CURLE_OPERATION_TIMEDOUT:
                set_error(c, xasprintf("%s did not answer within %.3g s", name,
                                     (double) call->timeout / (double) USEC_PER_SEC));
                return -ETIMEDOUT;
        case CURLE_OUT_OF_MEMORY:
                out_of_memory();
        default:
                set_error(c, xasprintf("%s: %s", name, curl_easy_strerror(result)));
                return -EIO;
        }
}

static int parse_answer(Client *c, Answer *ret) {
        Answer a = { 0 };
        json_error_t error;
        long status = 0;
        curl_off_t retry_after = 0;

        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &retry_after);
        a.status = (unsigned) status;
        a.retry_after = (unsigned) MIN(retry_after, (curl_off_t) INT32_MAX);
        a.file_mode = c->file_mode;
        if (c->answer_size > 0)
                a.json = json_loadb(c->answer, c->answer_size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        if (c->answer_size > 0 && !a.json && a.status < 400) {
                _cleanup_free_ char *name = terminal_escape_string(endpoint_name(c->endpoints.items + c->last));
                set_error(
                        c, xasprintf("%s did not answer in JSON (HTTP status %u): is it a sandboxd?", name, a.status));
                return -EPROTO;
        }
        *ret = a;
        return 0;
}

static bool is_unreachable(CURLcode result) {
        return result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST;
}

int client_call(Client *c, const Call *call, Answer *ret) {
        CURLcode result = CURLE_COULDNT_CONNECT;
        char *body = NULL;
        size_t first = c->chosen == SIZE_MAX ? 0 : c->chosen;
        size_t end = c->chosen == SIZE_MAX ? c->endpoints.n : c->chosen + 1;

        if (call->body) {
                body = json_dumps(call->body, JSON_COMPACT);
                if (!body)
                        out_of_memory();
        }
        set_error(c, xstrdup("No server can be reached. Tried:"));

        for (size_t i = first; i < end; i++) {
                const Endpoint *e = c->endpoints.items + i;

                c->last = i;
                result = attempt(c, e, call, body);
                if (!is_unreachable(result)) {
                        c->chosen = i;
                        break;
                }
                note_unreachable(c, e, result);
        }
        /* the handle must not point to the body any more */
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, NULL);
        free(body);

        if (is_unreachable(result)) {
                set_error(
                        c, xasprintf("%s\nStart one with: systemctl start sandboxd@worker1 (without systemd: sandboxd "
                                     "--standalone), or name one with --url or --socket.",
                                   c->error));
                return -ECONNREFUSED;
        }
        int r = finish(c, result, call);
        if (r < 0)
                return r;
        return parse_answer(c, ret);
}

static char *make_head(const Client *c, const char *url, const char *path) {
        CURLU *u = curl_url();
        char *host = NULL, *port = NULL, *target = NULL, *head = NULL;

        if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_PATH, &target, 0) == CURLUE_OK) {
                const char *query = strchr(path, '?') ?: "";
                (void) curl_url_get(u, CURLUPART_PORT, &port, 0);
                head = xasprintf("GET %s%s HTTP/1.1\r\nHost: %s%s%s\r\nUser-Agent: sandboxctl/" VERSION "\r\n%s%s",
                        target, query, host, port ? ":" : "", port ?: "", c->key_header ?: "",
                        c->key_header ? "\r\n" : "");
        }
        curl_free(host);
        curl_free(port);
        curl_free(target);
        curl_url_cleanup(u);
        return head;
}

void *client_connect(Client *c, const char *path, char **ret_head) {
        const Endpoint *e = client_endpoint(c);
        CURL *curl = curl_easy_init();
        _cleanup_free_ char *url = NULL, *head = NULL;

        assert(e);
        if (!curl)
                out_of_memory();
        url = make_url(e, path);
        head = make_head(c, url, path);
        set_target(curl, e, url);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
        curl_easy_setopt(curl, CURLOPT_HTTPPROXYTUNNEL, 1L);
        curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
        CURLcode result = curl_easy_perform(curl);
        if (result != CURLE_OK || !head) {
                _cleanup_free_ char *name = terminal_escape_string(endpoint_name(e));
                set_error(c, xasprintf("%s: %s", name, curl_easy_strerror(result)));
                curl_easy_cleanup(curl);
                return NULL;
        }
        *ret_head = take_ptr(head);
        return curl;
}
