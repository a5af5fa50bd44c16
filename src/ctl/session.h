/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl/ctl.h"

/* What is shown of a session; texts are borrowed from the document. */
typedef struct SessionView {
        const char *id;
        const char *worker_id;
        const char *state;
        const char *image;
        const char *user;
        const char *created_at;
        const char *expires_at;
        const char *key;        /* or NULL */
        const json_t *metadata; /* or NULL */
        const json_t *limits;   /* or NULL */
        const json_t *usage;    /* or NULL */
        bool attached;
} SessionView;

/* 0, or -EPROTO after an error was printed. */
int session_view(const json_t *session, SessionView *ret);

/* Creates a session as the options say. @ret: the Session document, whose id is valid; new reference. */
int session_create(Ctl *ctl, json_t **ret);

/* Ends a session; one that is gone already counts as ended. 0 or -errno after an error was printed. */
int session_delete(Ctl *ctl, const char *id);
