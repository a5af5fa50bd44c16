/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/idmap.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fd.h"
#include "spec/wire.h"

#define SLICE_FULL 16384U
#define SLICE_SMALL 4096U
#define WORKER_NAME_MAX 64U

static bool range_is_full(const IdRange *range) {
        return range->count >= NAMESPACE_SANDBOX_ID + SLICE_FULL;
}

int idmap_range_read(const char *path, const char *name, uint32_t id, IdRange *ret) {
        char line[512], number[16];
        FILE *f = fopen(path, "re");
        int r = -ENOENT;

        if (!f)
                return -errno;

        (void) snprintf(number, sizeof number, "%u", id);
        while (fgets(line, sizeof line, f)) {
                unsigned start, count;
                char *colon = strchr(line, ':');

                if (!colon || sscanf(colon + 1, "%u:%u", &start, &count) != 2)
                        continue;
                *colon = '\0';
                if (!(name && strcmp(line, name) == 0) && strcmp(line, number) != 0)
                        continue;
                if (count < ID_RANGE_MIN || start > UINT32_MAX - count)
                        continue;
                *ret = (IdRange){ .start = start, .count = count };
                r = 0;
                break;
        }
        (void) fclose(f);
        return r;
}

uint32_t idmap_slices(const IdRange *range) {
        if (range_is_full(range))
                return (range->count - NAMESPACE_SANDBOX_ID) / SLICE_FULL;
        return range->count > SLICE_SMALL ? (range->count - 1) / SLICE_SMALL : 0;
}

int idmap_layout(const IdRange *range, uint32_t slice, uint32_t own, IdLayout *ret) {
        if (slice >= idmap_slices(range))
                return -ERANGE;

        uint32_t size = range_is_full(range) ? SLICE_FULL : SLICE_SMALL;
        uint32_t first = range_is_full(range) ? NAMESPACE_SANDBOX_ID : 1;

        *ret = (IdLayout){
                .image = range->start,
                .own = own,
                .sandbox = range->start + first + slice * size,
                .count = size,
        };
        return 0;
}

int idmap_slice_assign(const char *path, const char *name, uint32_t n_slices, uint32_t *ret) {
        _cleanup_free_ bool *taken = calloc(n_slices, sizeof *taken);
        _cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        char line[256], known[WORKER_NAME_MAX + 1];
        unsigned slice;

        if (!taken)
                return -ENOMEM;
        if (fd < 0 || flock(fd, LOCK_EX) < 0)
                return -errno;

        FILE *f = fdopen(dup(fd), "r");
        if (!f)
                return -errno;
        while (fgets(line, sizeof line, f)) {
                if (sscanf(line, "%64s %u", known, &slice) != 2 || slice >= n_slices)
                        continue;
                if (strcmp(known, name) == 0) {
                        (void) fclose(f);
                        *ret = slice;
                        return 0;
                }
                taken[slice] = true;
        }
        (void) fclose(f);

        for (slice = 0; slice < n_slices; slice++)
                if (!taken[slice])
                        break;
        if (slice == n_slices)
                return -EUSERS;

        if (lseek(fd, 0, SEEK_END) < 0 || dprintf(fd, "%s %u\n", name, slice) < 0)
                return -errno;
        *ret = slice;
        return 0;
}

char *idmap_text(const IdLayout *layout, char buf[static ID_MAP_TEXT_MAX]) {
        (void) snprintf(buf, ID_MAP_TEXT_MAX, "%u %u 1\n%u %u 1\n%u %u %u\n", NAMESPACE_IMAGE_ID, layout->image,
                NAMESPACE_OWN_ID, layout->own, NAMESPACE_SANDBOX_ID, layout->sandbox, layout->count);
        return buf;
}
