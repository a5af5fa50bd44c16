/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "base/macro.h"

/* Parts and conditions of requests for a file (RFC 9110, 13 and 14). */

/* Which bytes of a file of @size does a Range header want? Returns 1 with @ret_start and @ret_length (at least 1); 0
 * when the header is to be ignored (another unit, several ranges, not of the form); -ERANGE when it lies behind the
 * end. */
int range_parse(const char *header, uint64_t size, uint64_t *ret_start, uint64_t *ret_length);

/* Does a list of entity tags, or "*", contain @tag (without quotes)? @weak: weak ones count too. */
bool etag_list_has(const char *list, const char *tag, bool weak);

/* The one strong tag that @header is, without its quotes. Returns false when it is something else or longer than @size.
 */
bool etag_read(const char *header, char *buf, size_t size);

#define HTTP_DATE_MAX sizeof("Sun, 06 Nov 1994 08:49:37 GMT")
/* Returns @buf, or NULL for a time that HTTP cannot tell. */
char *http_date(usec_t realtime, char buf[static HTTP_DATE_MAX]);
