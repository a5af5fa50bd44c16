/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/listen.h"
#include "http/server.h"
#include "log/log.h"

int http_check_public(int fd, const char *what, bool guarded) {
        if (guarded || !listen_is_public(fd))
                return 0;
        _cleanup_free_ char *address = listen_describe(fd);
        log_error("%s can be reached from other machines, but no API keys are set: everyone could run programs "
                  "here. Set [Auth] Keys= (`sandboxctl key new` makes one), listen on 127.0.0.1, or set "
                  "[Auth] AllowAnonymous=yes.",
                address ?: what);
        return -EPERM;
}
