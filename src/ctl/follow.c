/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/follow.h"

#include <string.h>

#include "base/text.h"
#include "ctl/events.h"
#include "ctl/reader.h"
#include "ctl/terminal.h"

typedef struct Follow {
        Events events;
        bool base64, reached;
        uint64_t until;
        json_t *end; /* owned */
} Follow;

static int pass_on(Follow *f, FILE *stream, const json_t *data) {
        const char *text = json_string_value(data);
        size_t length = json_string_length(data);
        _cleanup_free_ void *bytes = NULL;

        if (!text || (f->base64 && base64_decode(text, length, &bytes, &length) < 0)) {
                print_error("The server sent output that cannot be read");
                return -EPROTO;
        }
        /* nobody reads any more: told at the end of the program, and the command need not go on */
        if (fwrite(f->base64 ? bytes : text, 1, length, stream) != length || fflush(stream) != 0)
                return -EPIPE;
        f->reached = f->events.id >= f->until;
        return f->reached ? -ECANCELED : 0;
}

static int on_event(const char *name, const char *text, size_t length, void *userdata) {
        Follow *f = userdata;
        _cleanup_json_ json_t *j = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        uint64_t missing = 0;

        if (!j) {
                print_error("The server sent an event that is no JSON");
                return -EPROTO;
        }
        if (strcmp(name, "stdout") == 0)
                return pass_on(f, stdout, json_object_get(j, "data"));
        if (strcmp(name, "stderr") == 0)
                return pass_on(f, stderr, json_object_get(j, "data"));
        if (strcmp(name, "missing") == 0) {
                Reader r = reader_open(j);
                if (reader_unsigned(&r, "bytes", OPTIONAL, &missing))
                        print_note("%llu bytes of output are not kept any more", (unsigned long long) missing);
        } else if (strcmp(name, "exit") == 0) {
                json_decref(f->end);
                f->end = take_ptr(j);
        }
        return 0;
}

static int on_bytes(const char *data, size_t size, void *userdata) {
        Follow *f = userdata;
        int r = events_feed(&f->events, data, size);

        if (r == -EFBIG)
                print_error("The server sent an event that is too long");
        return r;
}

int follow_output(Ctl *ctl, const Call *call, bool base64, uint64_t until, json_t **ret) {
        Follow f = { .events = { .handle = on_event }, .base64 = base64, .until = until };
        Call c = *call;

        f.events.userdata = &f;
        c.accept = "text/event-stream";
        c.take = on_bytes;
        c.userdata = &f;
        int r = ctl_call(ctl, &c, NULL);
        events_clear(&f.events);
        if (f.reached)
                r = 0;
        if (r == 0)
                *ret = take_ptr(f.end);
        json_decref(f.end);
        return r;
}
