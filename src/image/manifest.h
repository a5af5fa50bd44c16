/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/clock.h"
#include "image/packages.h"

/* Each image has a file "manifest" beside its root folder: lines "key: value". First what the image was made from, in
 * two parts, then what came out:
 *   name, builder, owner, list (an entry of the list each)    known without asking for packages
 *   package (name, version and architecture each)
 *   stamp, created, files, bytes
 * An image is up to date when the first part and the stamp are equal, or else both first parts. */

#define MANIFEST_NAME "manifest"

/* Raise it when the same packages would give another image. */
#define MANIFEST_BUILDER "1"

/* What an image is made from, as text. */
typedef struct Manifest {
        char *request;  /* owned: the first part */
        char *packages; /* owned: the second part, or NULL when not known yet */
        char *stamp;    /* owned: a line */
} Manifest;

void manifest_done(Manifest *m);

/* Return 0 or -ENOMEM. */
int manifest_set_request(Manifest *m, const char *name, uid_t uid, gid_t gid, const PackageList *list);
int manifest_set_stamp(Manifest *m, const PackageDb *db);
int manifest_set_packages(Manifest *m, const PackageDb *db);

typedef enum ManifestMatch {
        MANIFEST_DIFFERS,
        MANIFEST_SAME_PACKAGES, /* but another stamp */
        MANIFEST_SAME,
} ManifestMatch;

/* Compares with the text of a finished one. */
ManifestMatch manifest_match(const Manifest *m, const char *text);

/* The whole text; owned by the caller, NULL when out of memory. */
char *manifest_text(const Manifest *m, usec_t created, size_t n_files, uint64_t bytes);

/* The text @old of an up to date image with the stamp of @m. */
char *manifest_restamp(const Manifest *m, const char *old);
