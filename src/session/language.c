/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/language.h"

#include <string.h>

#include "session/drivers.inc"

/* clang-format off */
/* The text of the driver comes through the socket too, ended by NUL: the arguments of a process are seen by all. */
static const Language languages[] = {
        {
                .name = "python",
                .aliases = { "python3", "py" },
                .program = "python3",
                .argv = { "python3", "-c",
                        "import os\n"
                        "text = b''\n"
                        "while not text.endswith(b'\\0'):\n"
                        "    text += os.read(0, 65536) or os._exit(0)\n"
                        "exec(compile(text[:-1], 'sandboxd', 'exec'), {})\n" },
                .driver = driver_python,
                .driver_length = sizeof driver_python,
        },
        {
                .name = "bash",
                .aliases = { "shell", "sh" },
                .program = "bash",
                /* its words about the terminal that it has not are not for the user */
                .argv = { "bash", "-c", "exec bash --noprofile --norc --noediting -i 9>&2 2>/dev/null" },
                .driver = driver_bash,
                .driver_length = sizeof driver_bash - 1, /* commands that it reads */
                .behind = "__sandboxd_begin; builtin eval \"$__sandboxd_code\" </dev/null\n",
        },
        {
                .name = "node",
                .aliases = { "nodejs", "javascript", "js" },
                .program = "node",
                .argv = { "sh", "-c", "exec node -e \"$0\" 3<&0 0</dev/null",
                        "const parts = [];\n"
                        "do {\n"
                        "    const part = Buffer.alloc(65536);\n"
                        "    const length = require('fs').readSync(3, part);\n"
                        "    if (length === 0) process.exit(0);\n"
                        "    parts.push(part.subarray(0, length));\n"
                        "} while (parts.at(-1).at(-1) !== 0);\n"
                        "require('vm').runInThisContext(`(function (require, module) {${Buffer.concat(parts)\n"
                        "    .subarray(0, -1)}})`, { filename: 'sandboxd' })(require, module);\n" },
                .driver = driver_node,
                .driver_length = sizeof driver_node,
        },
};
/* clang-format on */

const Language *language_find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(languages); i++) {
                if (strcmp(languages[i].name, name) == 0)
                        return &languages[i];
                for (size_t k = 0; k < ELEMENTSOF(languages[i].aliases) && languages[i].aliases[k]; k++)
                        if (strcmp(languages[i].aliases[k], name) == 0)
                                return &languages[i];
        }
        return NULL;
}

const Language *language_at(size_t i) {
        return i < ELEMENTSOF(languages) ? &languages[i] : NULL;
}
