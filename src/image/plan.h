/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "image/bundle.h"
#include "spec/image.h"

/* What an OCI layout or a docker archive says of the image that is to be taken from it: which layers, in which order,
 * and its configuration. */

#define SHA256_TEXT_MAX 65U /* with NUL */
#define PLAN_LAYERS_MAX 128U
#define PLAN_JSON_MAX (4 * MIB)

typedef struct PlanLayer {
        char *path;                   /* owned: in the bundle */
        char digest[SHA256_TEXT_MAX]; /* of the file as it is, or "" */
        char plain[SHA256_TEXT_MAX];  /* of the tar in it */
        uint64_t size;                /* of the file; UINT64_MAX: not known */
} PlanLayer;

typedef struct Plan {
        char name[IMAGE_REFERENCE_MAX + 1]; /* as the image is called there, or "" */
        char digest[SHA256_TEXT_MAX];       /* of the configuration: what other programs call the image's id */
        json_t *config;                     /* owned */
        PlanLayer *layers;                  /* owned: the lowest first */
        size_t n_layers;
} Plan;

void plan_done(Plan *p);

/* @wanted: which of several images, or NULL. Reports. */
int plan_read(const Bundle *b, const char *wanted, Plan *ret);

/* The text of a member of the configuration's "config", or NULL. */
const char *plan_config_text(const Plan *p, const char *name);

/* What this machine is called in images. */
const char *plan_architecture(void);
