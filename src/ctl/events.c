/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/events.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "ctl/terminal.h"

static int append(char **text, size_t *length, size_t *room, const char *bytes, size_t size) {
        if (size > EVENT_MAX - *length)
                return -EFBIG;
        if (*length + size + 1 > *room) {
                size_t new_room = MAX(*room, (size_t) (4 * KIB));
                while (new_room < *length + size + 1)
                        new_room *= 2;
                *text = xrealloc(*text, new_room);
                *room = new_room;
        }
        memcpy(*text + *length, bytes, size);
        *length += size;
        (*text)[*length] = '\0';
        return 0;
}

static int end_event(Events *e) {
        int r = 0;

        if (e->data_length > 0) {
                e->data[--e->data_length] = '\0'; /* the line break after the last line */
                r = e->handle(e->name[0] ? e->name : "message", e->data, e->data_length, e->userdata);
        }
        e->data_length = 0;
        e->name[0] = '\0';
        e->id = 0;
        return r;
}

static int end_line(Events *e) {
        char *line = e->line_length > 0 ? e->line : (char *) "", *value = strchr(line, ':');
        size_t length = e->line_length;

        e->line_length = 0;
        if (length > 0 && line[length - 1] == '\r')
                line[--length] = '\0';
        if (length == 0)
                return end_event(e);
        if (value == line) /* a comment */
                return 0;
        if (value) {
                *value++ = '\0';
                if (*value == ' ')
                        value++;
        } else
                value = line + length;
        length -= (size_t) (value - line);
        if (strcmp(line, "event") == 0) {
                (void) snprintf(e->name, sizeof e->name, "%s", value);
                return 0;
        }
        if (strcmp(line, "id") == 0) {
                if (parse_unsigned(value, &e->id) < 0)
                        e->id = 0;
                return 0;
        }
        if (strcmp(line, "data") != 0)
                return 0;
        int r = append(&e->data, &e->data_length, &e->data_room, value, length);
        return r < 0 ? r : append(&e->data, &e->data_length, &e->data_room, "\n", 1);
}

int events_feed(Events *e, const char *bytes, size_t size) {
        while (size > 0) {
                const char *end = memchr(bytes, '\n', size);
                size_t n = end ? (size_t) (end - bytes) : size;
                int r = append(&e->line, &e->line_length, &e->line_room, bytes, n);

                if (r == 0 && end)
                        r = end_line(e);
                if (r < 0)
                        return r;
                n += end ? 1 : 0;
                bytes += n;
                size -= n;
        }
        return 0;
}

void events_clear(Events *e) {
        free(take_ptr(e->line));
        free(take_ptr(e->data));
}
