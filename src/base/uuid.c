/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/random.h>
#include <uuid/uuid.h>

#include "base/text.h"

void uuid_make(char buf[static UUID_TEXT_MAX]) {
        uuid_t id;

        /* version 4; the library's own way asks the kernel for five things more that it mixes in */
        if (getrandom(id, sizeof id, 0) == sizeof id) {
                id[6] = (id[6] & 0x0f) | 0x40;
                id[8] = (id[8] & 0x3f) | 0x80;
        } else
                uuid_generate_random(id);
        uuid_unparse_lower(id, buf);
}
