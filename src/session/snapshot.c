/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/snapshot.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "spec/json.h"

#define FORMAT_NOW 1
#define DESCRIPTION_MAX 4096U
#define DRAFTS_MAX 8U       /* at a time */
#define DRAFTS_OF_KEY_MAX 4U /* so that one leaves room for the others */
#define NAME_MAX_ (UUID_TEXT_MAX + 8)

struct Snapshots {
        int folder; /* owned */
        SnapshotSettings settings;
        Snapshot *by_id; /* hash table, in order of creation */
        uint64_t size, promised;
        LIST_HEAD(, SnapshotDraft) drafts;
};

static Snapshot *snapshot_free(Snapshot *s) {
        if (!s)
                return NULL;
        if (s->store)
                s->store->size -= s->size;
        free(s->owner);
        free(s->image);
        free(s->session_id);
        free(s);
        return NULL;
}
DEFINE_CLEANUP(Snapshot, snapshot_free);

Snapshot *snapshot_ref(Snapshot *s) {
        s->n_ref++;
        return s;
}

Snapshot *snapshot_unref(Snapshot *s) {
        return s && --s->n_ref == 0 ? snapshot_free(s) : NULL;
}

/* It is one of those that are there, and takes its space. */
static void count(Snapshots *store, Snapshot *s) {
        s->n_ref = 1;
        s->store = store;
        store->size += s->size;
}

Snapshots *snapshots_free(Snapshots *s) {
        Snapshot *snapshot, *next;

        if (!s)
                return NULL;
        HASH_ITER(hh, s->by_id, snapshot, next) {
                HASH_DEL(s->by_id, snapshot);
                (void) snapshot_unref(snapshot);
        }
        s->folder = fd_close(s->folder);
        free(s);
        return NULL;
}

void snapshots_configure(Snapshots *s, const SnapshotSettings *settings) {
        s->settings = *settings;
}

/* --- files --- */

static const char *archive_name(const char *id, char buf[static NAME_MAX_]) {
        (void) snprintf(buf, NAME_MAX_, "%s.tar", id);
        return buf;
}

static const char *description_name(const char *id, char buf[static NAME_MAX_]) {
        (void) snprintf(buf, NAME_MAX_, "%s.json", id);
        return buf;
}

static const char *draft_name(const char *id, char buf[static NAME_MAX_]) {
        (void) snprintf(buf, NAME_MAX_, ".%s", id);
        return buf;
}

static int copy_member(const json_t *object, const char *name, bool needed, char **ret) {
        const char *text = json_string_value(json_object_get(object, name));

        if (!text)
                return needed ? -EBADMSG : 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

/* Reads the description of @id and looks whether its archive is all there. */
static int load(const Snapshots *s, const char *id, Snapshot **ret) {
        _cleanup_(snapshot_freep) Snapshot *snapshot = calloc(1, sizeof *snapshot);
        char text[DESCRIPTION_MAX], name[NAME_MAX_];
        struct stat st;

        if (!snapshot)
                return -ENOMEM;
        ssize_t n = file_read(s->folder, description_name(id, name), text, sizeof text);
        if (n < 0)
                return (int) n;
        _cleanup_json_ json_t *j = json_loadb(text, (size_t) n, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(j) || json_integer_value(json_object_get(j, "format")) != FORMAT_NOW)
                return -EBADMSG;
        memcpy(snapshot->id, id, sizeof snapshot->id);
        int r = copy_member(j, "image", true, &snapshot->image);
        if (r == 0)
                r = copy_member(j, "session_id", true, &snapshot->session_id);
        if (r == 0)
                r = copy_member(j, "owner", false, &snapshot->owner);
        if (r < 0)
                return r;
        snapshot->created = (usec_t) json_integer_value(json_object_get(j, "created"));
        snapshot->size = (uint64_t) json_integer_value(json_object_get(j, "size"));
        if (fstatat(s->folder, archive_name(id, name), &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
                (uint64_t) st.st_size != snapshot->size)
                return -EBADMSG;
        *ret = take_ptr(snapshot);
        return 0;
}

static int by_creation(const Snapshot *a, const Snapshot *b) {
        return a->created < b->created ? -1 : a->created > b->created;
}

static bool is_id(const char *name, size_t length) {
        return length == UUID_TEXT_MAX - 1 && strspn(name, "0123456789abcdef-") >= length;
}

/* Removes what belongs to no snapshot: one that was being made or removed when the worker ended. */
static unsigned sweep(Snapshots *s, DIR *d) {
        struct dirent *e;
        unsigned n = 0;

        rewinddir(d);
        while ((e = readdir(d))) {
                Snapshot *known = NULL;
                size_t length = strcspn(e->d_name, ".");
                bool draft = e->d_name[0] == '.' && is_id(e->d_name + 1, strlen(e->d_name + 1));
                if (!draft && !is_id(e->d_name, length))
                        continue; /* nothing of ours */
                if (!draft)
                        HASH_FIND(hh, s->by_id, e->d_name, length, known);
                if (!known && unlinkat(s->folder, e->d_name, 0) == 0 && !draft)
                        n++;
        }
        return n;
}

static int take_up(Snapshots *s, unsigned *ret_n_dropped) {
        _cleanup_fd_ int fd = openat(s->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *e;

        if (!d)
                return -errno;
        (void) take_fd(fd);
        while ((e = readdir(d))) {
                size_t length = strcspn(e->d_name, ".");
                char id[UUID_TEXT_MAX];
                Snapshot *snapshot;
                if (!is_id(e->d_name, length) || strcmp(e->d_name + length, ".json") != 0)
                        continue;
                (void) snprintf(id, sizeof id, "%.*s", (int) length, e->d_name);
                if (load(s, id, &snapshot) < 0)
                        continue;
                HASH_ADD_STR(s->by_id, id, snapshot);
                if (!HASH_HAS(hh, snapshot)) {
                        (void) snapshot_free(snapshot);
                        (void) closedir(d);
                        return -ENOMEM;
                }
                count(s, snapshot);
        }
        HASH_SORT(s->by_id, by_creation);
        *ret_n_dropped = sweep(s, d);
        (void) closedir(d);
        return 0;
}

int snapshots_open(int folder, Snapshots **ret, unsigned *ret_n_dropped) {
        _cleanup_(snapshots_freep) Snapshots *s = calloc(1, sizeof *s);

        if (!s) {
                fd_close(folder);
                return -ENOMEM;
        }
        s->folder = folder;
        *ret_n_dropped = 0;
        int r = folder >= 0 ? take_up(s, ret_n_dropped) : 0;
        if (r < 0)
                return r;
        *ret = take_ptr(s);
        return 0;
}

/* --- those that are there --- */

static bool may_use(const Snapshot *s, const char *owner) {
        return !owner || (s->owner && strcmp(s->owner, owner) == 0);
}

int snapshots_find(Snapshots *s, const char *id, const char *owner, Snapshot **ret, Error *error) {
        Snapshot *snapshot = NULL;

        HASH_FIND_STR(s->by_id, id, snapshot);
        if (snapshot && may_use(snapshot, owner)) {
                *ret = snapshot;
                return 0;
        }
        return error_set_field(error, ERROR_NOT_FOUND, "snapshot_id", NULL, "There is no snapshot with this id.");
}

Snapshot *snapshots_next(Snapshots *s, Snapshot *last, const char *owner) {
        Snapshot *next = last ? last->hh.next : s->by_id;

        while (next && !may_use(next, owner))
                next = next->hh.next;
        return next;
}

int snapshot_open(Snapshots *s, const Snapshot *snapshot) {
        char name[NAME_MAX_];
        int fd = openat(s->folder, archive_name(snapshot->id, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 ? -errno : fd;
}

void snapshots_delete(Snapshots *s, Snapshot *snapshot) {
        char name[NAME_MAX_];

        /* an archive without a description is removed at the next start, if need be */
        (void) unlinkat(s->folder, description_name(snapshot->id, name), 0);
        (void) unlinkat(s->folder, archive_name(snapshot->id, name), 0);
        HASH_DEL(s->by_id, snapshot);
        (void) snapshot_unref(snapshot); /* whoever has it open keeps its space taken */
}

json_t *snapshot_describe(const Snapshot *s, const char *worker_id) {
        char created[TIMESTAMP_MAX], image[sizeof SNAPSHOT_PREFIX + UUID_TEXT_MAX];

        (void) snprintf(image, sizeof image, SNAPSHOT_PREFIX "%s", s->id);
        json_t *j = json_pack("{ss ss ss ss ss ss sI}", "snapshot_id", s->id, "image", image, "base_image", s->image,
                "worker_id", worker_id, "session_id", s->session_id, "created_at",
                format_timestamp(s->created, created), "size", (json_int_t) s->size);
        if (j && s->owner)
                (void) json_object_set_new(j, "owner", json_string(s->owner));
        return j;
}

/* --- new ones --- */

/* That will be kept, or all. */
static unsigned count_drafts(const Snapshots *s, const char *owner, bool all) {
        const SnapshotDraft *d;
        unsigned n = 0;

        LIST_FOREACH(d, &s->drafts, entry)
        n += (all || !d->unnamed) && (!owner || strcmp(d->owner, owner) == 0);
        return n;
}

static int check_number(Snapshots *s, const char *owner, Error *error) {
        char limit[32];
        unsigned n = count_drafts(s, owner, false);

        for (Snapshot *o = snapshots_next(s, NULL, owner); o && owner; o = snapshots_next(s, o, owner))
                n++;
        if (HASH_COUNT(s->by_id) + count_drafts(s, NULL, false) >= s->settings.max) {
                (void) snprintf(limit, sizeof limit, "%u snapshots", s->settings.max);
                return error_set_field(error, ERROR_QUOTA, "snapshots", limit,
                        "This worker keeps no more than %u snapshots: delete one.", s->settings.max);
        }
        if (owner && s->settings.max_per_key > 0 && n >= s->settings.max_per_key) {
                (void) snprintf(limit, sizeof limit, "%u snapshots", s->settings.max_per_key);
                return error_set_field(error, ERROR_QUOTA, "snapshots", limit,
                        "A key may keep no more than %u snapshots here: delete one.", s->settings.max_per_key);
        }
        return 0;
}

int snapshot_draft(Snapshots *s, const char *owner, uint64_t most, bool unnamed, SnapshotDraft *ret, Error *error) {
        char name[NAME_MAX_], limit[32];

        if (s->folder < 0)
                return error_set(error, ERROR_WRONG_STATE, "This worker has no folder for snapshots.");
        if (count_drafts(s, NULL, true) >= DRAFTS_MAX)
                return error_set_field(
                        error, ERROR_QUOTA, "snapshots", "8 at a time", "Eight snapshots are being made already.");
        if (owner && count_drafts(s, owner, true) >= DRAFTS_OF_KEY_MAX)
                return error_set_field(error, ERROR_QUOTA, "snapshots", "4 at a time",
                        "Four snapshots of this key are being made already.");
        int r = unnamed ? 0 : check_number(s, owner, error);
        if (r < 0)
                return r;
        uint64_t used = s->size + s->promised;
        if (used >= s->settings.space) {
                (void) snprintf(limit, sizeof limit, "%llu bytes", (unsigned long long) s->settings.space);
                return error_set_field(error, ERROR_DISK_LIMIT, "snapshots", limit,
                        "The snapshots of this worker have used up their space of %s: delete one.", limit);
        }
        *ret = (SnapshotDraft){ .store = s, .unnamed = unnamed, .room = MIN(most, s->settings.space - used) };
        (void) snprintf(ret->owner, sizeof ret->owner, "%s", owner ? owner : "");
        uuid_make(ret->id);
        (void) draft_name(ret->id, name);
        ret->fd = openat(s->folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (ret->fd < 0) {
                r = -errno;
                return r == -ENOSPC || r == -EDQUOT
                               ? error_set(error, ERROR_DISK_LIMIT, "The disk of the worker is full.")
                               : error_set(error, ERROR_INTERNAL, "The folder of snapshots cannot be written to.");
        }
        if (unnamed)
                (void) unlinkat(s->folder, name, 0);
        s->promised += ret->room;
        LIST_INSERT_HEAD(&s->drafts, ret, entry);
        return 0;
}

static int write_description(const Snapshots *s, const Snapshot *snapshot) {
        _cleanup_json_ json_t *j = json_pack("{si ss ss sI sI}", "format", FORMAT_NOW, "image", snapshot->image,
                "session_id", snapshot->session_id, "created", (json_int_t) snapshot->created, "size",
                (json_int_t) snapshot->size);
        char name[NAME_MAX_];

        if (!j || (snapshot->owner && json_object_set_new(j, "owner", json_string(snapshot->owner)) < 0))
                return -ENOMEM;
        _cleanup_free_ char *text = json_dumps(j, JSON_COMPACT);
        if (!text)
                return -ENOMEM;
        _cleanup_fd_ int fd = openat(s->folder, description_name(snapshot->id, name),
                O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        ssize_t n = write(fd, text, strlen(text));
        return n < 0 ? -errno : (size_t) n < strlen(text) ? -ENOSPC : 0;
}

int snapshot_commit(SnapshotDraft *d, const char *image, const char *session_id, Snapshot **ret) {
        _cleanup_(snapshot_freep) Snapshot *snapshot = calloc(1, sizeof *snapshot);
        char from[NAME_MAX_], to[NAME_MAX_];
        Snapshots *s = d->store;
        struct stat st;

        if (!snapshot || fstat(d->fd, &st) < 0)
                return -ENOMEM;
        memcpy(snapshot->id, d->id, sizeof snapshot->id);
        snapshot->created = clock_realtime();
        snapshot->size = (uint64_t) st.st_size;
        snapshot->image = strdup(image);
        snapshot->session_id = strdup(session_id);
        if (d->owner[0])
                snapshot->owner = strdup(d->owner);
        if (!snapshot->image || !snapshot->session_id || (d->owner[0] && !snapshot->owner))
                return -ENOMEM;
        HASH_ADD_STR(s->by_id, id, snapshot);
        if (!HASH_HAS(hh, snapshot))
                return -ENOMEM;
        /* the description comes last: without it there is no snapshot */
        if (renameat(s->folder, draft_name(d->id, from), s->folder, archive_name(d->id, to)) < 0) {
                int r = -errno;
                HASH_DEL(s->by_id, snapshot);
                return r;
        }
        int r = write_description(s, snapshot);
        if (r < 0) {
                (void) unlinkat(s->folder, description_name(d->id, from), 0);
                (void) unlinkat(s->folder, to, 0);
                HASH_DEL(s->by_id, snapshot);
                return r;
        }
        d->unnamed = true; /* its name is another's now */
        count(s, snapshot);
        *ret = take_ptr(snapshot);
        return 0;
}

int snapshot_draft_settle(SnapshotDraft *d) {
        struct stat st;

        if (fstat(d->fd, &st) < 0)
                return -errno;
        d->store->promised += (uint64_t) st.st_size - d->room;
        d->room = (uint64_t) st.st_size;
        LIST_REMOVE(d, entry);
        d->settled = true;
        return 0;
}

void snapshot_draft_clear(SnapshotDraft *d) {
        char name[NAME_MAX_];

        if (!d->store)
                return;
        d->store->promised -= d->room;
        if (!d->settled)
                LIST_REMOVE(d, entry);
        if (!d->unnamed)
                (void) unlinkat(d->store->folder, draft_name(d->id, name), 0);
        d->fd = fd_close(d->fd);
        d->store = NULL;
}
