/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "runtime/backend.h"

int backend_start(Backend *b, const SandboxSpec *spec, SandboxNotify *notify, void *userdata, Sandbox **ret) {
        _cleanup_(sandbox_unrefp) Sandbox *s = sandbox_new(b, spec, notify, userdata);

        if (!s)
                return -ENOMEM;
        int r = b->ops->start(b, s);
        if (r < 0)
                return r;
        *ret = take_ptr(s);
        return 0;
}
