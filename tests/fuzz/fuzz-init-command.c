/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "init/command.h"

/* What the worker sends to process 1: the head of a request, then its strings. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static char *vector[INIT_ARGC_MAX + INIT_ENVC_MAX + 2];
        InitRequest q;
        Command c = { 0 };

        if (size < sizeof q || size - sizeof q > INIT_STRINGS_MAX)
                return 0;
        memcpy(&q, data, sizeof q);
        size -= sizeof q;
        if (q.flags & 1) /* or nearly nothing gets through */
                q.length = (uint32_t) size;
        _cleanup_free_ char *strings = malloc(size ? size : 1);
        if (!strings)
                abort();
        memcpy(strings, data + sizeof q, size);

        if (command_parse(&q, strings, size, vector, &c) < 0)
                return 0;
        size_t n = strlen(c.cwd) + 1;
        for (uint32_t i = 0; i < q.argc; i++)
                n += strlen(c.argv[i]) + 1;
        for (uint32_t i = 0; i < q.envc; i++)
                n += strlen(c.envp[i]) + 1;
        if (n != size || c.argv[q.argc] || c.envp[q.envc])
                abort();
        return 0;
}
