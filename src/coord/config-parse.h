/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coord/config.h"

/* Parsers of settings that only the coordinator has. The member's type is in brackets. */

ConfParse coord_parse_text;   /* [char *] as it is */
ConfParse coord_parse_urls;   /* [Urls] */
ConfParse coord_parse_ranges; /* [AddressRanges] */

void urls_clear(Urls *urls);
