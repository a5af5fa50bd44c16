/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <strings.h>

#include "http/request-internal.h"

/* Is the head of a request clear? What two HTTP programs in a row could understand differently is not understood here
 * at all, whatever the library makes of it. */

typedef struct HeadCheck {
        unsigned n_length, n_encoding, n_host, n_authorization, n_key;
        bool bad_length;
        const char *bad_name; /* borrowed */
} HeadCheck;

static bool is_token(const char *text) {
        return *text && text[strspn(text, "!#$%&'*+-.^_`|~0123456789"
                                          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")] == '\0';
}

static bool is_clean(const char *text) {
        for (; *text; text++)
                if (((unsigned char) *text < ' ' && *text != '\t') || *text == 0x7f)
                        return false;
        return true;
}

/* A folded line of a header without a value becomes part of its name: "Content-Length6". */
static bool begins_with(const char *name, const char *wanted) {
        return strncasecmp(name, wanted, strlen(wanted)) == 0;
}

static enum MHD_Result check_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value) {
        HeadCheck *h = cls;

        (void) kind;
        if (!is_token(name) || (value && !is_clean(value)))
                h->bad_name = name;
        if (begins_with(name, "Content-Length")) {
                h->n_length++;
                h->bad_length = h->bad_length || name[strlen("Content-Length")];
        } else if (begins_with(name, "Transfer-Encoding")) {
                h->n_encoding++;
                if (name[strlen("Transfer-Encoding")] || !value || strcasecmp(value, "chunked") != 0)
                        h->bad_length = true;
        } else if (strcasecmp(name, "Host") == 0)
                h->n_host++;
        else if (strcasecmp(name, "Authorization") == 0)
                h->n_authorization++;
        else if (strcasecmp(name, "X-API-Key") == 0)
                h->n_key++;
        return MHD_YES;
}

static int refuse(HttpRequest *r, const char *field, const char *what, Error *error) {
        /* nobody knows where the next request would begin */
        r->unclear = true;
        http_request_set_header(r, "Connection", "close");
        return error_set_field(error, ERROR_MALFORMED, field, NULL, "%s", what);
}

int http_head_check(HttpRequest *r, const char *version, Error *error) {
        HeadCheck h = { 0 };

        (void) MHD_get_connection_values(r->connection, MHD_HEADER_KIND, check_header, &h);
        if (h.bad_length || h.n_length > 1 || h.n_encoding > 1 || (h.n_length && h.n_encoding) ||
                (h.n_encoding && strcmp(version, "HTTP/1.1") != 0))
                return refuse(
                        r, "Content-Length", "The length of the body is given in a way that is not clear.", error);
        if (!is_token(r->method))
                return refuse(r, "method", "The method has characters that none may have.", error);
        if (h.bad_name)
                return refuse(r, "header", "A header has characters that none may have.", error);
        if (r->client->bad_target)
                return refuse(r, "path", "The address has an escape that stands for nothing, or for NUL.", error);
        if (h.n_host > 1 || (h.n_host == 0 && strcmp(version, "HTTP/1.1") == 0))
                return refuse(r, "Host", "One Host header is needed.", error);
        if (h.n_authorization > 1 || h.n_key > 1)
                return refuse(r, "Authorization", "More than one key is given.", error);
        r->chunked = h.n_encoding > 0;
        return 0;
}

const char *http_head_key(const HttpRequest *r) {
        const char *value = http_request_header(r, "Authorization");

        if (value && strncasecmp(value, "Bearer ", 7) == 0)
                return value + 7;
        return http_request_header(r, "X-API-Key");
}

/* --- the target --- */

static bool is_hex(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

size_t http_head_unescape(HttpConnection *c, char *text) {
        for (const char *p = strchr(text, '%'); p; p = strchr(p + 1, '%'))
                if (!is_hex(p[1]) || !is_hex(p[2]) || (p[1] == '0' && p[2] == '0'))
                        c->bad_target = true;
        return MHD_http_unescape(text);
}

static bool is_local_name(const char *host) {
        size_t n = strcspn(host, ":");

        if (host[0] == '[') /* an IPv6 address */
                return true;
        if (host[strspn(host, "0123456789.:")] == '\0') /* an IPv4 address */
                return true;
        /* a name without a dot is of this machine or of its network; pages of the world have one */
        return !memchr(host, '.', n) || (n > 10 && strncasecmp(host + n - 10, ".localhost", 10) == 0);
}

int http_request_check_anonymous(const HttpRequest *r, Error *error) {
        const char *host = http_request_header(r, "Host");

        if (http_request_header(r, "Origin") || http_request_header(r, "Sec-Fetch-Site"))
                return error_set(error, ERROR_FORBIDDEN,
                        "Requests of web pages are not served without API keys ([Auth] Keys=).");
        if (host && !is_local_name(host))
                return error_set_field(error, ERROR_FORBIDDEN, "Host", NULL,
                        "Without API keys ([Auth] Keys=) this server is known by its address or by a name without a "
                        "dot.");
        return 0;
}
