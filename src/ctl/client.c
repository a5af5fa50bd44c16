/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/client.h"

#include <curl/curl.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/interrupt.h"
#include "ctl/terminal.h"

/* What is left to a shielded call after an interrupt. */
#define GRACE (5 * USEC_PER_SEC)

struct Client {
        CURL *curl;                      /* owned */
        CURLM *multi;                    /* owned; keeps the connection */
        struct curl_slist *headers;      /* owned */
        struct curl_slist *body_headers; /* owned; the same for requests with a body */
        EndpointList endpoints;
        size_t chosen; /* index of the server that accepted, SIZE_MAX: none yet */
        size_t last;   /* index of the one last tried, SIZE_MAX: none */
        char *error;   /* owned */
        char *answer;  /* owned: body of the running call */
        size_t answer_size;
        size_t answer_room;
        bool answer_too_long;
};

void answer_clear(Answer *a) {
        json_decref(a->json);
        *a = (Answer){ 0 };
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Client *c = userdata;

        n *= size;
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

static struct curl_slist *header(struct curl_slist *list, const char *text) {
        struct curl_slist *longer = curl_slist_append(list, text);

        if (!longer)
                out_of_memory();
        return longer;
}

static struct curl_slist *headers_new(const char *key, bool body) {
        struct curl_slist *list = header(NULL, "Accept: application/json");

        list = header(list, "Expect:"); /* no round trip before a long body */
        if (body)
                list = header(list, "Content-Type: application/json");
        if (key) {
                _cleanup_free_ char *line = xasprintf("Authorization: Bearer %s", key);
                list = header(list, line);
        }
        return list;
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
        c->headers = headers_new(key, false);
        c->body_headers = headers_new(key, true);
        c->endpoints = *endpoints;
        *endpoints = (EndpointList){ 0 };

        curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "sandboxctl/" VERSION);
        curl_easy_setopt(c->curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(c->curl, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
        curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);

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
        free(c->error);
        free(c->answer);
        free(c);
        return NULL;
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

/* One attempt at one server. */
static CURLcode attempt(Client *c, const Endpoint *e, const Call *call, const char *body) {
        const char *base = e->socket ? "http://localhost" : e->url;
        size_t base_length = strlen(base);
        _cleanup_free_ char *url = NULL;

        while (base_length > 0 && base[base_length - 1] == '/')
                base_length--;
        url = xasprintf("%.*s%s", (int) base_length, base, call->path);

        c->answer_size = 0;
        c->answer_too_long = false;
        curl_easy_setopt(c->curl, CURLOPT_URL, url);
        curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, e->socket);
        /* a proxy never stands between this machine and itself */
        curl_easy_setopt(c->curl, CURLOPT_PROXY, e->socket || is_local(e->url) ? "" : NULL);
        curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, call->method);
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, body ? c->body_headers : c->headers);
        curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, (long) MIN(call->timeout / USEC_PER_MSEC, (usec_t) INT32_MAX));
        if (body) {
                curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) strlen(body));
                curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
        } else if (strcmp(call->method, "POST") == 0) {
                curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) 0);
                curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, "");
        } else {
                curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
        }
        return transfer(c, call);
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
