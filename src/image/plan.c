/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/plan.h"

#include <stdio.h>
#include <string.h>

#include "image/report.h"

#define INDEX_DEPTH_MAX 3U
#define SHA256 "sha256:"
#define BLOBS "blobs/sha256/"

#if defined(__x86_64__)
#define ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#else
#error "It is not known what this architecture is called in images"
#endif

/* A reference to another file of an OCI layout. */
typedef struct Descriptor {
        char digest[SHA256_TEXT_MAX];
        uint64_t size;
} Descriptor;

const char *plan_architecture(void) {
        return ARCHITECTURE;
}

void plan_done(Plan *p) {
        for (size_t i = 0; i < p->n_layers; i++)
                free(p->layers[i].path);
        free(p->layers);
        json_decref(p->config);
        *p = (Plan){ 0 };
}

/* --- JSON --- */

static const char *text_of(const json_t *j, const char *name) {
        return json_string_value(json_object_get(j, name));
}

static int report_read(int r, const char *path) {
        switch (r) {
        case -ENOENT:
                return report(r, "%s is missing: this is no complete OCI layout or docker archive", path);
        case -EKEYREJECTED:
                return report(r, "%s has not the content that its digest says: the file is damaged", path);
        case -EFBIG:
                return report(r, "%s is longer than 4 MiB", path);
        case -EBADMSG:
                return report(r, "%s cannot be read: this is no OCI layout or docker archive, or a damaged one", path);
        default:
                return report(r, "%s: %s", path, strerror(-r));
        }
}

/* Reports, but not that there is no such file. */
static int read_json(const Bundle *b, const char *path, const char *sha256, json_t **ret) {
        _cleanup_free_ char *text = NULL;
        size_t length = 0;

        int r = bundle_read(b, path, PLAN_JSON_MAX, sha256, &text, &length);
        if (r < 0)
                return r == -ENOENT ? r : report_read(r, path);
        *ret = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
        return *ret ? 0 : report(EBADMSG, "%s is no JSON document", path);
}

static bool is_sha256(const char *text) {
        return strlen(text) == SHA256_TEXT_MAX - 1 && !text[strspn(text, "0123456789abcdef")];
}

/* "sha256:..." as images have it. */
static int take_digest(const char *text, char ret[static SHA256_TEXT_MAX]) {
        if (!text || strncmp(text, SHA256, strlen(SHA256)) != 0 || !is_sha256(text + strlen(SHA256)))
                return report(EBADMSG, "\"%.100s\" is no sha256 digest: the image's manifest cannot be used",
                        text ? text : "");
        (void) strcpy(ret, text + strlen(SHA256));
        return 0;
}

static int take_descriptor(const json_t *j, Descriptor *ret) {
        const json_t *size = json_object_get(j, "size");

        ret->size = json_is_integer(size) && json_integer_value(size) >= 0 ? (uint64_t) json_integer_value(size)
                                                                           : UINT64_MAX;
        return take_digest(text_of(j, "digest"), ret->digest);
}

static void blob_path(const char *digest, char ret[static sizeof BLOBS + SHA256_TEXT_MAX]) {
        (void) stpcpy(stpcpy(ret, BLOBS), digest);
}

static int read_blob_json(const Bundle *b, const char *digest, json_t **ret) {
        char path[sizeof BLOBS + SHA256_TEXT_MAX];

        blob_path(digest, path);
        int r = read_json(b, path, digest, ret);
        return r == -ENOENT ? report_read(r, path) : r;
}

/* --- layers --- */

static int take_layers(Plan *p, size_t n) {
        const json_t *plain = json_object_get(json_object_get(p->config, "rootfs"), "diff_ids");

        if (!json_is_array(plain))
                return report(EBADMSG, "the configuration names no layers (\"rootfs\"): this is no image to run");
        if (n > PLAN_LAYERS_MAX)
                return report(EFBIG, "the image has %zu layers, more than %u", n, PLAN_LAYERS_MAX);
        if (json_array_size(plain) != n)
                return report(EBADMSG, "manifest and configuration do not name the same number of layers");
        p->layers = calloc(n > 0 ? n : 1, sizeof *p->layers);
        if (!p->layers)
                return report_memory();
        p->n_layers = n;
        for (size_t i = 0; i < n; i++) {
                int r = take_digest(json_string_value(json_array_get(plain, i)), p->layers[i].plain);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_platform(const Plan *p) {
        const char *architecture = text_of(p->config, "architecture"), *os = text_of(p->config, "os");

        if ((!os || strcmp(os, "linux") == 0) && (!architecture || strcmp(architecture, ARCHITECTURE) == 0))
                return 0;
        return report(ENOEXEC, "the image is for %.40s/%.40s; this machine runs linux/" ARCHITECTURE, os ? os : "linux",
                architecture ? architecture : "");
}

/* --- OCI --- */

static bool is_ours(const json_t *platform) {
        const char *os = text_of(platform, "os"), *architecture = text_of(platform, "architecture");

        return !platform ||
               (os && architecture && strcmp(os, "linux") == 0 && strcmp(architecture, ARCHITECTURE) == 0);
}

/* How an entry of the index is called: the first that is as good as a name. */
static const char *name_of(const json_t *entry) {
        static const char *const keys[] = { "io.containerd.image.name", "org.opencontainers.image.ref.name" };
        const json_t *annotations = json_object_get(entry, "annotations");

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                const char *name = text_of(annotations, keys[i]);
                /* some write the tag alone */
                if (name && (i == 0 || strpbrk(name, ":/")))
                        return name;
        }
        return NULL;
}

static bool is_called(const char *name, const char *wanted) {
        char a[IMAGE_FOLDER_MAX], b[IMAGE_FOLDER_MAX];

        return name && image_folder(name, a) == 0 && image_folder(wanted, b) == 0 && strcmp(a, b) == 0;
}

/* Chooses an entry of an index: of our platform, of the name @wanted; a nested index holds one image for several
 * platforms, of which the first of ours is meant. */
static int choose(const json_t *manifests, const char *wanted, bool nested, const json_t **ret) {
        const json_t *found = NULL, *entry;
        char others[200] = "";
        size_t i;

        json_array_foreach((json_t *) manifests, i, entry) {
                const json_t *platform = json_object_get(entry, "platform");
                const char *architecture = text_of(platform, "architecture"), *name = name_of(entry);
                if (!is_ours(platform)) {
                        size_t used = strlen(others);
                        (void) snprintf(others + used, sizeof others - used, "%s%.40s/%.40s", used ? ", " : "",
                                text_of(platform, "os") ? text_of(platform, "os") : "?",
                                architecture ? architecture : "?");
                        continue;
                }
                if (wanted && !nested && !is_called(name, wanted))
                        continue;
                if (found && !nested && text_of(found, "digest") && text_of(entry, "digest") &&
                        strcmp(text_of(found, "digest"), text_of(entry, "digest")) != 0)
                        return report(ENOTUNIQ, "there are several images, \"%.80s\" and \"%.80s\": choose one with --ref",
                                name_of(found) ? name_of(found) : "?", name ? name : "?");
                found = found ? found : entry;
        }
        *ret = found;
        if (found)
                return 0;
        if (others[0])
                return report(ENOEXEC, "there is no image for linux/" ARCHITECTURE ", only for %s", others);
        return report(ENOENT, "there is no image%s%.100s%s", wanted ? " \"" : "", wanted ? wanted : "", wanted ? "\"" : "");
}

static int take_manifest(const Bundle *b, const json_t *manifest, Plan *p) {
        const json_t *layers = json_object_get(manifest, "layers"), *entry;
        Descriptor d = { 0 };
        size_t i;

        int r = take_descriptor(json_object_get(manifest, "config"), &d);
        if (r == 0)
                r = read_blob_json(b, d.digest, &p->config);
        if (r == 0)
                r = check_platform(p);
        if (r == 0)
                r = take_layers(p, json_array_size(layers));
        if (r < 0)
                return r;
        (void) strcpy(p->digest, d.digest);
        json_array_foreach((json_t *) layers, i, entry) {
                PlanLayer *l = &p->layers[i];
                char path[sizeof BLOBS + SHA256_TEXT_MAX];
                r = take_descriptor(entry, &d);
                if (r < 0)
                        return r;
                (void) strcpy(l->digest, d.digest);
                l->size = d.size;
                blob_path(d.digest, path);
                l->path = strdup(path);
                if (!l->path)
                        return report_memory();
        }
        return 0;
}

static int read_layout(const Bundle *b, json_t *index, const char *wanted, Plan *p) {
        _cleanup_(json_decrefp) json_t *document = json_incref(index);

        for (unsigned depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
                const json_t *manifests = json_object_get(document, "manifests"), *entry;
                const char *name;
                json_t *next = NULL;
                Descriptor d;

                if (!json_is_array(manifests))
                        return json_is_array(json_object_get(document, "layers"))
                                       ? take_manifest(b, document, p)
                                       : report(EBADMSG, "a manifest of the image has neither manifests nor layers");
                int r = choose(manifests, wanted, depth > 0, &entry);
                if (r == 0)
                        r = take_descriptor(entry, &d);
                if (r < 0)
                        return r;
                name = name_of(entry);
                if (depth == 0 && name && strlen(name) < sizeof p->name)
                        (void) strcpy(p->name, name);
                r = read_blob_json(b, d.digest, &next);
                if (r < 0)
                        return r;
                json_decref(document);
                document = next;
        }
        return json_is_array(json_object_get(document, "layers"))
                       ? take_manifest(b, document, p)
                       : report(EBADMSG, "the image's index leads nowhere");
}

/* --- docker archives --- */

static int choose_docker(const json_t *manifest, const char *wanted, const json_t **ret, const char **ret_name) {
        const json_t *image, *tag, *found = NULL;
        size_t i, j;

        *ret_name = NULL;
        json_array_foreach((json_t *) manifest, i, image) {
                const json_t *tags = json_object_get(image, "RepoTags");
                bool fits = !wanted;
                json_array_foreach((json_t *) tags, j, tag)
                        fits = fits || is_called(json_string_value(tag), wanted);
                if (!fits)
                        continue;
                if (found)
                        return report(ENOTUNIQ, "there are several images: choose one with --ref");
                found = image;
                *ret_name = json_string_value(json_array_get(tags, 0));
        }
        *ret = found;
        return found ? 0 : report(ENOENT, "there is no image \"%.100s\"", wanted ? wanted : "");
}

static int read_docker(const Bundle *b, const json_t *manifest, const char *wanted, Plan *p) {
        const json_t *image, *layer;
        const char *name, *path;
        size_t i;

        int r = choose_docker(manifest, wanted, &image, &name);
        if (r < 0)
                return r;
        path = text_of(image, "Config");
        if (!path)
                return report(EBADMSG, "manifest.json names no configuration");
        /* its name is its digest, with ".json" behind it or folders in front */
        const char *last = strrchr(path, '/');
        (void) snprintf(p->digest, sizeof p->digest, "%.64s", last ? last + 1 : path);
        bool named = is_sha256(p->digest);
        r = read_json(b, path, named ? p->digest : NULL, &p->config);
        if (r == -ENOENT)
                r = report_read(r, path);
        if (!named)
                p->digest[0] = '\0';
        if (r == 0)
                r = check_platform(p);
        const json_t *layers = json_object_get(image, "Layers");
        if (r == 0)
                r = take_layers(p, json_array_size(layers));
        if (r < 0)
                return r;
        json_array_foreach((json_t *) layers, i, layer) {
                if (!json_is_string(layer))
                        return report(EBADMSG, "manifest.json names a layer that is no text");
                p->layers[i].size = UINT64_MAX;
                p->layers[i].path = strdup(json_string_value(layer));
                if (!p->layers[i].path)
                        return report_memory();
        }
        if (name && strlen(name) < sizeof p->name)
                (void) strcpy(p->name, name);
        return 0;
}

int plan_read(const Bundle *b, const char *wanted, Plan *ret) {
        _cleanup_(json_decrefp) json_t *index = NULL, *docker = NULL;
        _cleanup_(plan_done) Plan p = { 0 };

        int r = read_json(b, "manifest.json", NULL, &docker);
        if (r < 0 && r != -ENOENT)
                return r;
        if (r == 0 && json_is_array(docker))
                r = read_docker(b, docker, wanted, &p);
        else {
                r = read_json(b, "index.json", NULL, &index);
                if (r == -ENOENT)
                        return report(r, "this is neither an OCI layout (index.json) nor a docker archive "
                                         "(manifest.json)");
                if (r < 0)
                        return r;
                r = read_layout(b, index, wanted, &p);
        }
        if (r < 0)
                return r;
        *ret = p;
        p = (Plan){ 0 };
        return 0;
}

const char *plan_config_text(const Plan *p, const char *name) {
        return text_of(json_object_get(p->config, "config"), name);
}
