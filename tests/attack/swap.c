/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner.h"

/* As many as there is time for, up to a number; when it is asked for, all of a larger one. */
#define SWAP_CALLS 10000U
#define SWAP_USEC (15 * USEC_PER_SEC)
#define SWAP_THOROUGH_CALLS 100000U
#define SWAP_THOROUGH_USEC (500 * USEC_PER_SEC)

#define OWN_TEXT "mine"
#define WRITTEN_TEXT "written"

typedef struct Bytes {
        char text[256];
        size_t used;
} Bytes;

static int take_bytes(const char *data, size_t size, void *userdata) {
        Bytes *b = userdata;
        size_t n = MIN(size, sizeof b->text - 1 - b->used);

        memcpy(b->text + b->used, data, n);
        b->used += n;
        b->text[b->used] = '\0';
        return 0;
}

static ssize_t give_bytes(char *buf, size_t size, void *userdata) {
        Bytes *b = userdata;
        size_t n = MIN(size, strlen(WRITTEN_TEXT) - b->used);

        memcpy(buf, &WRITTEN_TEXT[b->used], n);
        b->used += n;
        return (ssize_t) n;
}

/* Bytes that nobody wrote to the sandbox's own files, which may be read while they are written. */
static size_t count_foreign(const Bytes *b) {
        bool own = strncmp(OWN_TEXT, b->text, b->used) == 0 || strncmp(WRITTEN_TEXT, b->text, b->used) == 0;

        return own ? 0 : b->used;
}

/* Reads and writes what the payload swaps, and tells how often. @secret: a file of this machine, for everybody to read
 * and write. */
static void use_swapped(
        Runner *x, Verdict *v, const char *id, const char *secret, const char *word, char ret_text[static 96]) {
        static const char *const names[] = { "x", "d/secret" };
        unsigned n = 0, n_read = 0, n_written = 0, wanted = x->thorough ? SWAP_THOROUGH_CALLS : SWAP_CALLS;
        size_t n_foreign = 0;

        for (usec_t end = clock_monotonic() + (x->thorough ? SWAP_THOROUGH_USEC : SWAP_USEC);
                n < wanted && clock_monotonic() < end; n++) {
                char path[256];
                Bytes bytes = { 0 };
                bool write = n & 1;
                Call call = { .method = write ? "PUT" : "GET",
                        .path = path,
                        .timeout = 20 * USEC_PER_SEC,
                        .take = write ? NULL : take_bytes,
                        .give = write ? give_bytes : NULL,
                        .length = strlen(WRITTEN_TEXT),
                        .userdata = &bytes };
                _cleanup_answer_ Answer answer = { 0 };
                (void) snprintf(path, sizeof path, "/v1/sessions/%s/files?path=swap/%s", id, names[(n >> 1) & 1]);
                if (client_call(x->server.client, &call, &answer) < 0 && answer.status == 0)
                        judge(v, BROKEN, "no answer: %s", client_error(x->server.client));
                if (!write)
                        n_foreign += count_foreign(&bytes);
                n_read += !write && strcmp(bytes.text, OWN_TEXT) == 0;
                n_written += write && answer.status >= 200 && answer.status < 300;
        }
        char text[64] = "";
        int fd = open(secret, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
        if (fd >= 0)
                (void) close(fd);
        if (length < 0 || strcmp(text, word) != 0)
                judge(v, BROKEN, "a file of the host was written");
        if (n_foreign > 0)
                judge(v, BROKEN, "%zu foreign bytes were read", n_foreign);
        if (x->thorough && n < wanted)
                judge(v, BROKEN, "there was time for %u reads and writes only", n);
        if (n_read == 0 || n_written == 0)
                judge(v, BROKEN, "of %u reads and writes none worked", n);
        (void) snprintf(ret_text, 96, "%u reads and writes, 0 foreign bytes (%u and %u in time)", n, n_read, n_written);
}

void run_swap(Runner *x, const Case *c, Verdict *v) {
        char id[SESSION_ID_MAX + 1], folder[] = "/var/tmp/attack-XXXXXX", secret[sizeof folder + 8], word[32];
        const char *tell[] = { "/bin/sh", "-c", "printf %s \"$0\" >/tmp/attack-target", secret, NULL };
        char text[96] = "";
        Background swapper;
        Result result;

        if (!mkdtemp(folder) || chmod(folder, 0777) < 0) {
                judge(v, SKIPPED, "no folder here");
                return;
        }
        (void) snprintf(secret, sizeof secret, "%s/secret", folder);
        (void) snprintf(word, sizeof word, "host-%016llx", (unsigned long long) clock_realtime());
        int fd = open(secret, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
        if (fd < 0 || write(fd, word, strlen(word)) < 0 || fchmod(fd, 0666) < 0)
                judge(v, SKIPPED, "no file here");
        if (fd >= 0)
                (void) close(fd);
        if (start_session(x, c, v, id) == 0 &&
                run_command(&x->server, &(Run){ .session = id, .argv = tell, .timeout = 20 }, &result) == 0 &&
                background_start(x, c, id, 'a', &swapper) == 0) {
                if (until_done(x, id, "test -e /tmp/attack-ready", 20 * USEC_PER_SEC, &swapper))
                        use_swapped(x, v, id, secret, word, text);
                (void) until_done(x, id, ": > /tmp/attack-stop", 20 * USEC_PER_SEC, &swapper);
                background_end(c, v, &swapper);
                check_usable(x, c, v, id);
                judge(v, HELD, "%s", text);
        }
        end_session(x, c, v, id);
        (void) unlink(secret);
        (void) rmdir(folder);
}
