/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <uuid/uuid.h>

#include "base/text.h"

void uuid_make(char buf[static UUID_TEXT_MAX]) {
        uuid_t id;

        uuid_generate_random(id); /* getrandom(2): not guessable */
        uuid_unparse_lower(id, buf);
}
