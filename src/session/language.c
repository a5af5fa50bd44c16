/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/language.h"

#include <string.h>

#include "session/drivers.inc"

/* clang-format off */
/* The text of the driver comes through the socket too: the arguments of a process are seen by all. Before it comes its
 * length in eight digits, unless the interpreter reads commands anyway. */
static const Language languages[] = {
        {
                .name = "python",
                .aliases = { "python3", "py" },
                .program = "python3",
                .argv = { "python3", "-c",
                        "import os\n"
                        "n, text = int(os.read(0, 8)), b''\n"
                        "while len(text) < n:\n"
                        "    text += os.read(0, n - len(text)) or os._exit(0)\n"
                        "exec(compile(text, 'sandboxd', 'exec'), {})\n" },
                .driver = driver_python,
                .driver_length = sizeof driver_python - 1,
                .driver_counted = true,
        },
        {
                .name = "bash",
                .aliases = { "shell", "sh" },
                .program = "bash",
                /* its words about the terminal that it has not are not for the user */
                .argv = { "bash", "-c", "exec bash --noprofile --norc --noediting -i 9>&2 2>/dev/null" },
                .driver = driver_bash,
                .driver_length = sizeof driver_bash - 1,
                .behind = "__sandboxd_begin; builtin eval \"$__sandboxd_code\" </dev/null\n",
        },
        {
                .name = "node",
                .aliases = { "nodejs", "javascript", "js" },
                .program = "node",
                .argv = { "sh", "-c", "exec node -e \"$0\" 3<&0 0</dev/null",
                        "const read = (n) => {\n"
                        "    const text = Buffer.alloc(n);\n"
                        "    for (let at = 0, k; at < n; at += k) {\n"
                        "        k = require('fs').readSync(3, text, at, n - at) || process.exit(0);\n"
                        "    }\n"
                        "    return text.toString();\n"
                        "};\n"
                        "require('vm').runInThisContext(`(function (require, module) {${read(Number(read(8)))}})`,\n"
                        "    { filename: 'sandboxd' })(require, module);\n" },
                .driver = driver_node,
                .driver_length = sizeof driver_node - 1,
                .driver_counted = true,
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
