/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "http/request-internal.h"

static void drop_parameters(HttpRequest *r) {
        for (unsigned i = 0; i < HTTP_PARAMETERS_MAX; i++) {
                free(r->parameters[i]);
                r->parameters[i] = NULL;
        }
}

/* Returns 1 when @path is of the form of @pattern, 0 when not, -ENOMEM. A final "*" is whatever follows. */
static int match(HttpRequest *r, const char *pattern, const char *path) {
        unsigned n = 0;

        while (*pattern) {
                if (strcmp(pattern, "*") == 0)
                        return 1;
                if (pattern[0] == '{' && pattern[1] == '}') {
                        size_t length = strcspn(path, "/");
                        if (length == 0)
                                return 0;
                        assert(n < HTTP_PARAMETERS_MAX);
                        r->parameters[n] = strndup(path, length);
                        if (!r->parameters[n++])
                                return -ENOMEM;
                        pattern += 2;
                        path += length;
                } else if (*pattern++ != *path++)
                        return 0;
        }
        return *path == '\0';
}

static bool method_fits(const char *wanted, const char *method) {
        return strcmp(wanted, "*") == 0 || strcmp(wanted, method) == 0 ||
               (strcmp(method, "HEAD") == 0 && strcmp(wanted, "GET") == 0);
}

int http_route_find(HttpRequest *r, const char *path, Error *error) {
        char allow[128] = "";

        for (const HttpRoute *route = r->server->settings.routes; route->method; route++) {
                int k = match(r, route->pattern, path);
                if (k < 0)
                        return k;
                if (k > 0 && method_fits(route->method, r->method)) {
                        r->route = route;
                        return 0;
                }
                drop_parameters(r);
                if (k > 0) {
                        size_t used = strlen(allow);
                        (void) snprintf(allow + used, sizeof allow - used, "%s%s", used ? ", " : "", route->method);
                }
        }
        if (allow[0]) {
                http_request_set_header(r, "Allow", allow);
                return error_set_field(error, ERROR_METHOD_NOT_ALLOWED, "method", allow, "This path takes %s.", allow);
        }
        return error_set_field(error, ERROR_NOT_FOUND, "path", NULL, "There is no such path.");
}
