/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spec/port.h"

#include <string.h>

int port_parse(const char *text, uint16_t *ret) {
        size_t n = strspn(text, "0123456789");
        unsigned long number = 0;

        if (n == 0 || n > PORT_DIGITS_MAX || text[n] != '\0' || text[0] == '0')
                return -EINVAL;
        for (const char *p = text; *p; p++)
                number = 10 * number + (unsigned long) (*p - '0');
        if (number > UINT16_MAX)
                return -EINVAL;
        *ret = (uint16_t) number;
        return 0;
}
