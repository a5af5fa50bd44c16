/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/images.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"

#define MANIFEST_MAX (256 * KIB)
#define SNAPSHOT_PREFIX "snapshot_3a" /* these have a list of their own */

/* What was read of a folder, which is as long as it is there: nothing changes in it. */
typedef struct Known {
        char folder[IMAGE_NAME_MAX];
        ImageConfig *config; /* owned, or NULL: it says nothing */
        UT_hash_handle hh;
} Known;

/* What was asked for last: most requests want the image that the one before wanted. */
typedef struct Last {
        char name[IMAGE_REFERENCE_MAX + 1]; /* empty: none */
        char folder[IMAGE_NAME_MAX];
        ImageConfig *config; /* borrowed from what is known */
} Last;

struct Images {
        char *folder;
        int fd;    /* owned: once it was needed */
        int watch; /* owned: tells what happens in the folder, -EBADF where that is not known */
        Known *known;
        Last last;
        sd_event_source *readable, *notice;
        ImagesChanged *changed;
        void *userdata;
};

static Known *known_free(Known *k) {
        if (!k)
                return NULL;
        (void) image_config_unref(k->config);
        free(k);
        return NULL;
}
DEFINE_CLEANUP(Known, known_free);

static void forget(Images *images) {
        Known *k, *next;

        images->last = (Last){ 0 };
        HASH_ITER(hh, images->known, k, next) {
                HASH_DEL(images->known, k);
                (void) known_free(k);
        }
}

Images *images_free(Images *images) {
        if (!images)
                return NULL;
        forget(images);
        (void) sd_event_source_disable_unref(images->readable);
        (void) sd_event_source_disable_unref(images->notice);
        (void) fd_close(images->watch);
        (void) fd_close(images->fd);
        free(images->folder);
        free(images);
        return NULL;
}

/* --- what happens there --- */

static int on_notice(sd_event_source *source, void *userdata) {
        Images *images = userdata;

        (void) source;
        images->changed(images, images->userdata);
        return 0;
}

/* Nothing is known of the folder any more: it was moved or removed. */
static void watch_end(Images *images) {
        images->readable = sd_event_source_disable_unref(images->readable);
        images->watch = fd_close(images->watch);
}

/* Returns whether something happened that matters. */
static bool read_events(Images *images) {
        char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        bool changed = false;
        ssize_t n;

        while (images->watch >= 0 && (n = read(images->watch, buf, sizeof buf)) > 0)
                for (const char *p = buf; p < buf + n;) {
                        const struct inotify_event *e = (const struct inotify_event *) p;
                        bool over = e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT);
                        p += sizeof *e + e->len;
                        /* a name with a dot is one in the making */
                        changed |= over || (e->mask & IN_Q_OVERFLOW) || (e->len > 0 && e->name[0] != '.');
                        if (over) {
                                watch_end(images);
                                break;
                        }
                }
        return changed;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Images *images = userdata;

        (void) source;
        (void) fd;
        (void) revents;
        if (!read_events(images))
                return 0;
        forget(images);
        (void) sd_event_source_set_enabled(images->notice, SD_EVENT_ONESHOT); /* several at once are one */
        return 0;
}

/* Without it names are found all the same. */
static void watch_folder(sd_event *event, Images *images) {
        images->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (images->watch < 0)
                return;
        if (inotify_add_watch(images->watch, images->folder,
                    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR) <
                        0 ||
                sd_event_add_io(event, &images->readable, images->watch, EPOLLIN, on_readable, images) < 0)
                watch_end(images);
}

static int watch(sd_event *event, Images *images) {
        int r = sd_event_add_defer(event, &images->notice, on_notice, images);

        if (r >= 0)
                r = sd_event_source_set_enabled(images->notice, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(images->notice, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                watch_folder(event, images);
        return r;
}

int images_new(sd_event *event, const char *folder, ImagesChanged *changed, void *userdata, Images **ret) {
        _cleanup_(images_freep) Images *images = calloc(1, sizeof *images);

        if (!images)
                return -ENOMEM;
        images->fd = images->watch = -EBADF;
        images->changed = changed;
        images->userdata = userdata;
        images->folder = strdup(folder);
        if (!images->folder)
                return -ENOMEM;
        int r = changed ? watch(event, images) : 0;
        if (r < 0)
                return r;
        *ret = take_ptr(images);
        return 0;
}

/* --- finding --- */

static bool is_folder_name(const char *name) {
        return name[0] && name[0] != '.' && strlen(name) < IMAGE_NAME_MAX &&
               name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] == '\0';
}

/* readlink(2) in the folder of images, which stays open: every request for a session comes here. Returns -1 with errno
 * set on failure. */
static ssize_t read_link(Images *images, const char *name, char *buf, size_t size) {
        for (bool again = images->fd >= 0;; again = false) {
                if (images->fd < 0)
                        images->fd = open(images->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
                ssize_t n = images->fd >= 0 ? readlinkat(images->fd, name, buf, size) : -1;
                if (n >= 0 || errno != ENOENT || !again)
                        return n;
                images->fd = fd_close(images->fd); /* somebody may have put another folder in its place */
        }
}

/* A name is a folder itself, or a link beside it to the newest generation. Returns 0 or -ENOENT. */
static int find_folder(Images *images, const char *name, char folder[static IMAGE_NAME_MAX]) {
        char target[IMAGE_NAME_MAX];

        if (!is_folder_name(name))
                return -ENOENT;
        ssize_t n = read_link(images, name, target, sizeof target - 1);
        if (n < 0 && errno == EINVAL) { /* no link */
                (void) snprintf(folder, IMAGE_NAME_MAX, "%s", name);
                return 0;
        }
        if (n < 0)
                return -ENOENT;
        target[n] = '\0';
        if (!is_folder_name(target))
                return -ENOENT;
        memcpy(folder, target, (size_t) n + 1);
        return 0;
}

/* What there is no memory or descriptor for is no image that says nothing. */
static bool is_shortage(int r) {
        return r == -ENOMEM || r == -EMFILE || r == -ENFILE;
}

static int read_config(const Images *images, const char *folder, ImageConfig **ret) {
        _cleanup_free_ char *text = malloc(IMAGE_CONFIG_MAX + 1);
        char path[IMAGE_NAME_MAX + 16];
        ImageConfig *config = NULL;

        if (!text)
                return -ENOMEM;
        (void) snprintf(path, sizeof path, "%s/" IMAGE_CONFIG_NAME, folder);
        ssize_t n = file_read(images->fd, path, text, IMAGE_CONFIG_MAX + 1);
        int r = n < 0 ? (int) n : image_config_read(text, (size_t) n, &config, NULL);
        if (!config)
                return is_shortage(r) ? r : 0;
        (void) snprintf(path, sizeof path, "%s/" IMAGE_FILES_NAME, folder);
        config->files = openat(images->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (config->files < 0 && is_shortage(-errno)) {
                r = -errno;
                (void) image_config_unref(config);
                return r;
        }
        *ret = config;
        return 0;
}

static int get_config(Images *images, const char *folder, ImageConfig **ret) {
        _cleanup_(known_freep) Known *fresh = NULL;
        Known *k = NULL;

        HASH_FIND_STR(images->known, folder, k);
        if (k) {
                *ret = k->config;
                return 0;
        }
        fresh = calloc(1, sizeof *fresh);
        if (!fresh)
                return -ENOMEM;
        (void) snprintf(fresh->folder, sizeof fresh->folder, "%s", folder);
        int r = read_config(images, folder, &fresh->config);
        if (r < 0)
                return r;
        HASH_ADD_STR(images->known, folder, fresh);
        if (!HASH_HAS(hh, fresh))
                return -ENOMEM;
        *ret = fresh->config;
        fresh = NULL;
        return 0;
}

/* Has nothing happened in the folder that has not been looked at? Cheaper than to read the link again. */
static bool is_unchanged(const Images *images) {
        int waiting;

        return images->watch >= 0 && ioctl(images->watch, FIONREAD, &waiting) == 0 && waiting == 0;
}

static int resolve(
        Images *images, const char *name, char folder[static IMAGE_NAME_MAX], ImageConfig **ret_config, Error *error) {
        char encoded[IMAGE_FOLDER_MAX];

        int r = find_folder(images, name, folder);
        if (r < 0 && image_folder(name, encoded) == 0)
                r = find_folder(images, encoded, folder);
        if (r < 0)
                return error_set_field(
                        error, ERROR_INVALID_VALUE, "image", NULL, "There is no image \"%.255s\".", name);
        r = get_config(images, folder, ret_config);
        return r < 0 ? error_set_errno(error, r) : 0;
}

int images_resolve(
        Images *images, const char *name, char folder[static IMAGE_NAME_MAX], ImageConfig **ret_config, Error *error) {
        Last *last = &images->last;
        bool unchanged = is_unchanged(images); /* before it is looked at */

        if (unchanged && name[0] && strcmp(name, last->name) == 0) {
                memcpy(folder, last->folder, IMAGE_NAME_MAX);
                *ret_config = last->config;
                return 0;
        }
        int r = resolve(images, name, folder, ret_config, error);
        if (r < 0 || !unchanged || strlen(name) >= sizeof last->name)
                return r;
        memcpy(last->name, name, strlen(name) + 1);
        memcpy(last->folder, folder, IMAGE_NAME_MAX);
        last->config = *ret_config;
        return 0;
}

/* --- listing --- */

static void put_text(json_t *j, const char *name, const char *text) {
        if (text)
                (void) json_object_set_new(j, name, json_string(text));
}

/* One that was made of packages of this machine has a manifest: lines "key: value". */
static void put_manifest(const Images *images, json_t *j, const char *folder) {
        _cleanup_free_ char *text = malloc(MANIFEST_MAX);
        char path[IMAGE_NAME_MAX + 16];
        const char *line;

        (void) snprintf(path, sizeof path, "%s/manifest", folder);
        if (!text || file_read(images->fd, path, text, MANIFEST_MAX) < 0)
                return;
        if ((line = strstr(text, "\nbytes: ")))
                (void) json_object_set_new(j, "size", json_integer(strtoll(line + 8, NULL, 10)));
        if ((line = strstr(text, "\nfiles: ")))
                (void) json_object_set_new(j, "files", json_integer(strtoll(line + 8, NULL, 10)));
        if ((line = strstr(text, "\ncreated: ")))
                (void) json_object_set_new(j, "created", json_stringn(line + 10, strcspn(line + 10, "\n")));
}

static json_t *describe(Images *images, const char *entry) {
        char reference[IMAGE_REFERENCE_MAX + 1], folder[IMAGE_NAME_MAX];
        bool imported = image_reference(entry, reference) == 0;
        ImageConfig *c = NULL;
        json_t *j;

        if (find_folder(images, entry, folder) < 0)
                return NULL;
        j = json_pack("{ss}", "name", imported ? reference : entry);
        if (!j || get_config(images, folder, &c) < 0 || !c) {
                if (j)
                        put_manifest(images, j, folder);
                return j;
        }
        put_text(j, "digest", c->digest);
        put_text(j, "architecture", c->architecture);
        put_text(j, "created", c->created);
        put_text(j, "imported", c->imported);
        (void) json_object_set_new(j, "size", json_integer((json_int_t) c->size));
        (void) json_object_set_new(j, "files", json_integer((json_int_t) c->n_files));
        if (c->env)
                (void) json_object_set(j, "env", c->env);
        put_text(j, "cwd", c->cwd);
        return j;
}

static int is_name(const struct dirent *d) {
        return d->d_type == DT_LNK && is_folder_name(d->d_name) &&
               strncmp(d->d_name, SNAPSHOT_PREFIX, strlen(SNAPSHOT_PREFIX)) != 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

json_t *images_describe(Images *images) {
        struct dirent **names = NULL;
        json_t *list = json_array();

        if (!list)
                return NULL;
        int n = scandir(images->folder, &names, is_name, by_name);
        for (int i = 0; i < n; i++) {
                json_t *j = json_array_size(list) < IMAGES_LISTED_MAX ? describe(images, names[i]->d_name) : NULL;
                if (j)
                        (void) json_array_append_new(list, j);
                free(names[i]);
        }
        free(names);
        return json_pack("{so}", "images", list);
}
