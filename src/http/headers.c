/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/headers.h"

#include <string.h>
#include <strings.h>

bool header_is_hop(const char *name) {
        static const char *const names[] = { "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
                "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Expect" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strcasecmp(name, names[i]) == 0)
                        return true;
        return false;
}

bool header_has_token(const char *list, const char *token) {
        size_t wanted = strlen(token);

        while (*list) {
                list += strspn(list, " \t,");
                size_t length = strcspn(list, ","), n = length;
                while (n > 0 && (list[n - 1] == ' ' || list[n - 1] == '\t'))
                        n--;
                if (n == wanted && strncasecmp(list, token, n) == 0)
                        return true;
                list += length;
        }
        return false;
}
