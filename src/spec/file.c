/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spec/file.h"

#include <string.h>
#include <sys/stat.h>

/* Names lie below the folder that was asked for: none leads out of it. The folder itself has the empty name. */
static bool name_is_below(const char *name, size_t length) {
        const char *end = name + length;

        while (name < end) {
                const char *slash = memchr(name, '/', (size_t) (end - name));
                size_t n = (size_t) ((slash ? slash : end) - name);
                if (n == 0 || (n == 1 && name[0] == '.') || (n == 2 && name[0] == '.' && name[1] == '.'))
                        return false;
                name += n;
                if (slash && ++name == end)
                        return false;
        }
        return true;
}

static bool node_is_good(const FileRecord *r) {
        switch (r->mode & S_IFMT) {
        case S_IFREG:
        case S_IFDIR:
        case S_IFLNK:
        case S_IFIFO:
        case S_IFSOCK:
        case S_IFCHR:
        case S_IFBLK:
                break;
        default:
                return false;
        }
        /* as off_t has it */
        return r->size <= INT64_MAX && r->start <= r->size && r->length <= r->size - r->start;
}

ssize_t file_record_check(const void *bytes, size_t available) {
        FileRecord r;

        if (available < sizeof r)
                return 0;
        memcpy(&r, bytes, sizeof r);
        if (r.type == 0 || r.type >= FILE_RECORD_TYPE_MAX_ || r.name_length >= FILE_PATH_MAX ||
                r.target_length >= FILE_PATH_MAX)
                return -EBADMSG;
        if (r.type == FILE_RECORD_NODE && !node_is_good(&r))
                return -EBADMSG;
        if (r.type == FILE_RECORD_CHANGE && (r.change == 0 || r.change >= FILE_CHANGE_MAX_))
                return -EBADMSG;

        size_t size = FILE_RECORD_SIZE(r.name_length, r.target_length);
        if (available < size)
                return 0;
        const char *name = (const char *) bytes + sizeof r;
        if (memchr(name, '\0', r.name_length + r.target_length) || !name_is_below(name, r.name_length))
                return -EBADMSG;
        if (r.type == FILE_RECORD_CHANGE && !name_is_below(name + r.name_length, r.target_length))
                return -EBADMSG;
        return (ssize_t) size;
}
