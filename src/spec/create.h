/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "spec/json.h"

/* What a client asks for when it creates a session. */

#define ENV_NAME_MAX 256U
#define ENV_VALUE_MAX (32U * 1024U)
#define ENV_BYTES_MAX (64U * 1024U) /* of all names and values together */
#define ENV_COUNT_MAX 512U
#define METADATA_COUNT_MAX 64U
#define METADATA_NAME_MAX 64U
#define METADATA_VALUE_MAX 1024U
#define IMAGE_REF_MAX 255U
#define WAIT_MAX (300 * USEC_PER_SEC)

typedef struct CreateSpec {
        char id[UUID_TEXT_MAX]; /* that the session gets, chosen by a coordinator, or "": a new one */
        const char *request_id, *caller; /* borrowed until the session is there: for the log, or NULL */
        char *key; /* of create-or-attach, or NULL */
        char *image;
        char *base;       /* whose root file system it has when that is not @image's, or NULL */
        int files;        /* above 0: owned, an archive of what /home/sandboxuser and /tmp contain at first */
        usec_t timeout;   /* 0: the default */
        usec_t wait;      /* for capacity */
        json_t *env;      /* object of strings, owned, or NULL */
        json_t *metadata; /* object of strings, owned, or NULL */
        Limits limits;    /* members that were not given keep the value they had before */

        /* not the client's, but of the image that it chose */
        bool has_own_env; /* @env has more than the image says */
        char *cwd;        /* owned: where commands start, or NULL for the home folder */
} CreateSpec;

void create_spec_clear(CreateSpec *c);
#define _cleanup_create_spec_ _cleanup_(create_spec_clear)

/* Fills @c, whose limits hold the defaults, from the body of a request. @timeout_max: longest that is allowed.
 * Returns 0 or -errno with @error set. */
int create_spec_read(CreateSpec *c, const char *text, size_t length, usec_t timeout_max, Error *error);

/* The same from a parsed object. */
int create_spec_parse(CreateSpec *c, const json_t *object, usec_t timeout_max, Error *error);

/* What a client asks to change of a session. */
typedef struct PatchSpec {
        usec_t timeout;   /* 0: not given */
        json_t *metadata; /* owned; NULL: not given */
} PatchSpec;

void patch_spec_clear(PatchSpec *p);
#define _cleanup_patch_spec_ _cleanup_(patch_spec_clear)

int patch_spec_read(PatchSpec *p, const char *text, size_t length, usec_t timeout_max, Error *error);
int patch_spec_parse(PatchSpec *p, const json_t *object, usec_t timeout_max, Error *error);

/* Objects of strings with the bounds above. */
JsonParse env_parse;
JsonParse metadata_parse;
/* Of a session: usec_t, 0 stays for what is not given. What was read has to be checked. */
JsonParse create_parse_timeout;
int create_check_timeout(usec_t timeout, usec_t max, Error *error);
