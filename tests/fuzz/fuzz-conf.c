/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/config.h"

/* Any text is a configuration file or is refused with a message. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(config_freep) Config *c = calloc(1, sizeof *c);
        _cleanup_error_ Error error = { 0 };

        if (!c || conf_set_defaults(config_describe(), c, &error) < 0)
                abort();

        int r = conf_parse_text(config_describe(), "fuzz.conf", (const char *) data, size, c, &error);
        if ((r < 0) != (error.kind != ERROR_NONE && error.detail))
                abort();
        return 0;
}
