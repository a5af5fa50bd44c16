/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void manifest_done(Manifest *m) {
        free(m->request);
        free(m->packages);
        free(m->stamp);
        *m = (Manifest){};
}

int manifest_set_request(Manifest *m, const char *name, uid_t uid, gid_t gid, const PackageList *list) {
        size_t size = 0;
        FILE *f = open_memstream(&m->request, &size);

        if (!f)
                return -ENOMEM;
        (void) fprintf(f, "name: %s\nbuilder: %s\nowner: %u:%u\n", name, MANIFEST_BUILDER, uid, gid);
        for (size_t i = 0; i < list->wanted.n; i++)
                (void) fprintf(f, "list: %s\n", list->wanted.items[i]);
        for (size_t i = 0; i < list->stops.n; i++)
                (void) fprintf(f, "list: !%s\n", list->stops.items[i]);
        return fclose(f) == 0 ? 0 : -ENOMEM;
}

int manifest_set_stamp(Manifest *m, const PackageDb *db) {
        _cleanup_free_ char *stamp = NULL;
        int r = package_db_stamp(db, &stamp);

        if (r < 0)
                return r;
        return asprintf(&m->stamp, "stamp: %s\n", stamp) < 0 ? -ENOMEM : 0;
}

int manifest_set_packages(Manifest *m, const PackageDb *db) {
        size_t size = 0;
        FILE *f = open_memstream(&m->packages, &size);

        if (!f)
                return -ENOMEM;
        for (size_t i = 0; i < db->n_packages; i++) {
                const Package *p = &db->packages[i];

                if (p->chosen)
                        (void) fprintf(f, "package: %s %s %s\n", p->name, p->version, p->arch);
        }
        return fclose(f) == 0 ? 0 : -ENOMEM;
}

/* Where the line of the stamp begins, or NULL. */
static const char *find_stamp(const char *text) {
        const char *line = strstr(text, "\nstamp: ");

        return line ? line + 1 : NULL;
}

ManifestMatch manifest_match(const Manifest *m, const char *text) {
        size_t n = strlen(m->request);
        const char *stamp = find_stamp(text);

        if (!stamp || strncmp(text, m->request, n) != 0 || strncmp(text + n, "package: ", 9) != 0)
                return MANIFEST_DIFFERS;
        if (strncmp(stamp, m->stamp, strlen(m->stamp)) == 0)
                return MANIFEST_SAME;
        if (m->packages && (size_t) (stamp - text) == n + strlen(m->packages) &&
                strncmp(text + n, m->packages, strlen(m->packages)) == 0)
                return MANIFEST_SAME_PACKAGES;
        return MANIFEST_DIFFERS;
}

char *manifest_text(const Manifest *m, usec_t created, size_t n_files, uint64_t bytes) {
        time_t seconds = (time_t) (created / USEC_PER_SEC);
        char *text = NULL, when[sizeof "2026-01-01T00:00:00Z"];
        struct tm tm;

        assert(m->packages);

        if (!gmtime_r(&seconds, &tm) || strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                return NULL;
        if (asprintf(&text, "%s%s%screated: %s\nfiles: %zu\nbytes: %" PRIu64 "\n", m->request, m->packages, m->stamp,
                    when, n_files, bytes) < 0)
                return NULL;
        return text;
}

char *manifest_restamp(const Manifest *m, const char *old) {
        const char *stamp = find_stamp(old);
        char *text = NULL;

        assert(stamp);

        if (asprintf(&text, "%.*s%s%s", (int) (stamp - old), old, m->stamp, strchr(stamp, '\n') + 1) < 0)
                return NULL;
        return text;
}
