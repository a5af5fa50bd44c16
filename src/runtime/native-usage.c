/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/native-internal.h"

int native_cgroup(Backend *b, const Sandbox *s, char *buf, size_t size) {
        Native *n = native(b);

        if (!n->cgroup[0] || s->generation == 0)
                return -ENOENT;
        int k = snprintf(buf, size, "%s/slot-%" PRIu32, n->cgroup, s->slot);
        return k < 0 || (size_t) k >= size ? -ENAMETOOLONG : 0;
}

/* The number after @name in a file of "name number" lines, or the first number when @name is NULL. */
static uint64_t read_counter(int dir, const char *file, const char *name) {
        char text[1024];
        const char *p = text;

        if (file_read(dir, file, text, sizeof text) < 0)
                return 0;
        if (name) {
                size_t length = strlen(name);
                while (p && !(strncmp(p, name, length) == 0 && p[length] == ' ')) {
                        p = strchr(p, '\n');
                        if (p)
                                p++;
                }
                if (!p)
                        return 0;
                p += length + 1;
        }
        return strtoull(p, NULL, 10);
}

static uint64_t since(uint64_t now, uint64_t before) {
        return now > before ? now - before : 0;
}

int native_usage(Backend *b, const Sandbox *s, BackendUsage *ret) {
        _cleanup_fd_ int dir = -EBADF;
        char path[512];

        if (!b->limits_enforced || native_cgroup(b, s, path, sizeof path) < 0)
                return -EOPNOTSUPP;
        dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return -errno;
        *ret = (BackendUsage){
                .memory = read_counter(dir, "memory.current", NULL),
                .cpu_usec = since(read_counter(dir, "cpu.stat", "usage_usec"), s->base_cpu_usec),
                .pids = read_counter(dir, "pids.current", NULL),
                .oom_kills = since(read_counter(dir, "memory.events", "oom_kill"), s->base_oom_kills),
                .pids_refused = since(read_counter(dir, "pids.events", "max"), s->base_pids_refused),
        };
        return 0;
}
