/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conf/rate.h"

#include <string.h>

#include "base/text.h"

int conf_parse_rate(const ConfSetting *s, const char *value, bool more _unused_, void *field, Error *error _unused_) {
        static const struct {
                const char *text;
                usec_t per;
        } units[] = {
                { "s", USEC_PER_SEC },
                { "min", 60 * USEC_PER_SEC },
                { "h", 3600 * USEC_PER_SEC },
        };
        const char *slash = strchr(value, '/');
        char number[16];
        uint64_t n;

        assert(s->size == sizeof(Rate));

        if (!*value) {
                *(Rate *) field = (Rate){ 0 };
                return 0;
        }
        if (!slash || (size_t) (slash - value) >= sizeof number)
                return -EINVAL;
        memcpy(number, value, (size_t) (slash - value));
        number[slash - value] = '\0';
        if (parse_unsigned(number, &n) < 0 || n == 0 || n > RATE_MAX)
                return -EINVAL;
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (strcmp(units[i].text, slash + 1) == 0) {
                        *(Rate *) field = (Rate){ (unsigned) n, units[i].per };
                        return 0;
                }
        return -EINVAL;
}
