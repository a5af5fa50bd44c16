/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "session/operation-internal.h"

/* The same to whoever started it, but done by the session's attendant. */

#define ARGC_MAX 7U

void quick_clear(Quick *q) {
        if (q->question) {
                free(q->question->message);
                free(q->question);
        }
        q->session = session_unref(q->session);
        free(q->strings);
        free(q->answer);
}

void quick_drop(Operation *o) {
        Quick *q = &o->quick;

        if (!q->asked)
                return;
        attendant_forget(q->question);
        q->question = NULL;
        q->asked = false;
        (void) operation_unref(o); /* the question's */
}

/* It is not so small: a process of its own does it. */
static int run_after_all(Operation *o) {
        Quick *q = &o->quick;
        const char *argv[ARGC_MAX + 1] = { 0 };
        OperationSpec spec = { .argv = argv };
        size_t n = 0;

        if (!q->strings)
                return -EOVERFLOW;
        for (const char *p = q->strings; p < q->strings + q->strings_length && n < ARGC_MAX; p += strlen(p) + 1)
                argv[n++] = p;
        q->on = false;
        o->process_over = false;
        int r = operation_run(o, &spec, NULL);
        if (r < 0)
                o->process_over = true;
        return r;
}

static OperationResult translate(AttendantResult result, uint32_t error) {
        switch (result) {
        case ATTENDANT_ANSWERED:
                return error == 0 ? OPERATION_DONE : OPERATION_FAILED;
        case ATTENDANT_NO_PROCESS:
                return error == EAGAIN ? OPERATION_NO_TASK : error == ENOMEM ? OPERATION_NO_MEMORY : OPERATION_FAILED;
        case ATTENDANT_NO_MEMORY:
                return OPERATION_NO_MEMORY;
        case ATTENDANT_SILENT:
                return OPERATION_SILENT;
        case ATTENDANT_LOST:
                return OPERATION_LOST;
        default:
                return OPERATION_KILLED;
        }
}

static void on_answered(AttendantQuestion *question, AttendantResult result, uint32_t error, FileAnswer *answer) {
        Operation *o = question->userdata;
        Quick *q = &o->quick;

        q->question = NULL;
        q->asked = false;
        q->session = session_unref(q->session);
        q->answer = answer;
        if (answer)
                error = answer->error;
        if (answer && error == FILE_ERROR_LARGE && run_after_all(o) == 0) {
                if (q->wants_answer)
                        operation_await(o);
                (void) operation_unref(o);
                return;
        }
        o->result = translate(result, error);
        o->error = (int) MIN(error, 4095U);
        if (o->result != OPERATION_DONE)
                operation_tell_end(o);
        else if (q->wants_answer && o->handlers->readable)
                o->handlers->readable(o, o->userdata);
        (void) operation_unref(o);
}

/* What it is asked, for @room more bytes. */
static int make_question(Quick *q, const OperationSpec *spec, size_t room) {
        FileQuestion head = { 0 };

        for (const char *const *p = spec->argv; *p; p++)
                head.strings_length += (uint32_t) strlen(*p) + 1;
        if (head.strings_length > FILE_STRINGS_MAX)
                return -ENAMETOOLONG;
        q->question = calloc(1, sizeof *q->question);
        char *message = malloc(sizeof head + head.strings_length + room);
        if (!q->question || !message) {
                free(message);
                return -ENOMEM;
        }
        q->question->message = message;
        memcpy(message, &head, sizeof head);
        q->question->length = sizeof head;
        for (const char *const *p = spec->argv; *p; p++) {
                memcpy(message + q->question->length, *p, strlen(*p) + 1);
                q->question->length += strlen(*p) + 1;
        }
        if (spec->input)
                return 0;
        q->strings = malloc(head.strings_length);
        if (!q->strings)
                return -ENOMEM;
        memcpy(q->strings, message + sizeof head, head.strings_length);
        q->strings_length = head.strings_length;
        return 0;
}

static int ask(Operation *o) {
        Quick *q = &o->quick;
        AttendantQuestion *question = q->question;

        question->answered = on_answered;
        question->userdata = o;
        q->asked = true;
        o->n_ref++;
        int r = attendant_ask(q->session, question);
        if (r < 0) {
                q->question = NULL;
                q->asked = false;
                o->n_ref--;
        }
        return r;
}

int quick_start(Operation *o, Session *s, const OperationSpec *spec) {
        Quick *q = &o->quick;

        q->on = true;
        q->session = session_ref(s);
        o->process_over = true;
        int r = make_question(q, spec, spec->input ? FILE_SMALL_MAX : 0);
        return r == 0 && !spec->input ? ask(o) : r;
}

void quick_ask(Operation *o) {
        int r = o->quick.question ? ask(o) : -EINVAL;

        if (r == -EOWNERDEAD || r == -ENOTCONN)
                operation_fail(o, OPERATION_LOST);
        else if (r < 0)
                operation_fail(o, OPERATION_NO_TASK);
}

ssize_t quick_read(Operation *o, void *buf, size_t size) {
        Quick *q = &o->quick;

        if (!q->answer && o->result == OPERATION_DONE) {
                q->wants_answer = true;
                return 0;
        }
        size_t n = o->result == OPERATION_DONE ? MIN(size, q->answer->length - q->taken) : 0;
        if (n == 0) {
                operation_tell_end(o);
                return OPERATION_END;
        }
        memcpy(buf, (const char *) (q->answer + 1) + q->taken, n);
        q->taken += n;
        return (ssize_t) n;
}

void *operation_take_rest(Operation *o, size_t *ret_offset, size_t *ret_length) {
        Quick *q = &o->quick;

        if (!q->on || !q->answer || o->result != OPERATION_DONE)
                return NULL;
        *ret_offset = sizeof *q->answer + q->taken;
        *ret_length = q->answer->length - q->taken;
        q->taken = q->answer->length = 0;
        return take_ptr(q->answer);
}

size_t quick_write(Operation *o, const void *data, size_t size) {
        AttendantQuestion *question = o->quick.question;
        FileQuestion head;

        if (!question)
                return size;
        memcpy(&head, question->message, sizeof head);
        if (size > FILE_SMALL_MAX - head.data_length) {
                operation_break(o);
                return size;
        }
        memcpy(question->message + question->length, data, size);
        question->length += size;
        head.data_length += (uint32_t) size;
        memcpy(question->message, &head, sizeof head);
        o->written += size;
        return size;
}
