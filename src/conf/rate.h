/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "conf/conf.h"

/* So many in a time; none at all for no limit. */
typedef struct Rate {
        unsigned n; /* 0: no limit */
        usec_t per;
} Rate;

#define RATE_MAX 1000000U

ConfParse conf_parse_rate; /* [Rate] N/s, N/min or N/h; an empty default is no limit */
