/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>

#include "session/session.h"
#include "spec/file.h"

/*
 * A process of sandbox-init that stays for a while in a session and does what is small with its files (spec/file.h,
 * "serve"), since starting one for each would take several times as long. It is started with the first question and let
 * go when there were none for some time.
 */

typedef struct Attendant Attendant;
typedef struct AttendantQuestion AttendantQuestion;

typedef enum AttendantResult {
        ATTENDANT_ANSWERED,
        ATTENDANT_NO_PROCESS, /* it could not be started: @error */
        ATTENDANT_KILLED,
        ATTENDANT_NO_MEMORY,
        ATTENDANT_SILENT,
        ATTENDANT_LOST, /* the session has ended */
} AttendantResult;

struct AttendantQuestion {
        /* Called once, from the loop; @q is not used any more. @answer: a FileAnswer with what belongs to it, checked,
         * from malloc() and taken; NULL unless ATTENDANT_ANSWERED. @error: of ATTENDANT_NO_PROCESS. */
        void (*answered)(AttendantQuestion *q, AttendantResult result, uint32_t error, FileAnswer *answer);
        void *userdata;
        char *message; /* owned: a FileQuestion with what belongs to it */
        size_t length;
        bool forgotten;
        TAILQ_ENTRY(AttendantQuestion) entry;
};

/* Puts a question, from malloc() and taken. Returns 0, -EOWNERDEAD when the session has ended, -EMFILE when it may run
 * no more, or -errno. */
int attendant_ask(Session *s, AttendantQuestion *q);

/* The answer is not wanted any more. */
void attendant_forget(AttendantQuestion *q);

/* Of a session that goes. NULL is accepted. */
Attendant *attendant_free(Attendant *a);
