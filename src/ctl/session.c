/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/session.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/interrupt.h"
#include "ctl/problem.h"
#include "ctl/reader.h"
#include "ctl/request.h"
#include "ctl/terminal.h"

int session_view(const json_t *session, SessionView *ret) {
        Reader r = reader_open(session);
        SessionView v = {
                .id = reader_id(&r, "session_id", REQUIRED),
                .worker_id = reader_text(&r, "worker_id", OPTIONAL),
                .state = reader_text(&r, "state", REQUIRED),
                .image = reader_text(&r, "image", OPTIONAL),
                .user = reader_text(&r, "user", OPTIONAL),
                .created_at = reader_text(&r, "created_at", OPTIONAL),
                .expires_at = reader_text(&r, "expires_at", OPTIONAL),
                .key = reader_text(&r, "key", OPTIONAL),
                .metadata = reader_object(&r, "metadata", OPTIONAL),
                .limits = reader_object(&r, "limits", OPTIONAL),
                .usage = reader_object(&r, "usage", OPTIONAL),
                .attached = reader_boolean(&r, "attached", OPTIONAL),
        };
        int e = reader_finish(&r, "session");

        if (e < 0)
                return e;
        *ret = v;
        return 0;
}

int session_create(Ctl *ctl, json_t **ret) {
        _cleanup_json_ json_t *body = request_create(&ctl->options), *session = NULL;
        usec_t wait =
                ctl->options.wait == OPTION_UNSET ? 0 : MIN(ctl->options.wait, UINT64_C(24) * 3600 * USEC_PER_SEC);
        SessionView v;
        int r;

        r = ctl_call(ctl,
                &(Call){
                        .method = "POST",
                        .path = "/v1/sessions",
                        .body = body,
                        .timeout = REQUEST_TIMEOUT + wait,
                        .shielded = true,
                },
                &session);
        if (r == -EINTR || r == -ETIMEDOUT)
                print_note("A session may have been made all the same; it ends by itself when its time is over");
        if (r < 0)
                return r;
        r = session_view(session, &v);
        if (r < 0)
                return r;
        *ret = take_ptr(session);
        return 0;
}

/* A refusal that says that the session is gone is no failure. */
static int try_delete(Ctl *ctl, const char *id, Answer *ret) {
        _cleanup_free_ char *path = xasprintf("/v1/sessions/%s", id);

        return ctl_try(ctl, &(Call){ .method = "DELETE", .path = path, .shielded = true }, ret);
}

int session_delete(Ctl *ctl, const char *id) {
        _cleanup_answer_ Answer a = { 0 };
        int r;

        r = try_delete(ctl, id, &a);
        if (r < 0)
                return r;
        if ((a.status >= 200 && a.status < 300) || a.status == 404 || a.status == 410)
                return 0;
        _cleanup_free_ char *text = problem_text(&a);
        print_error("Session %s is not deleted: %s", id, text);
        return -EREMOTEIO;
}

int command_create(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *session = NULL;
        SessionView v;

        (void) argc, (void) argv; /* takes none */
        if (session_create(ctl, &session) < 0)
                return STATUS_FAILED;
        if (ctl->options.json) {
                print_json(session);
                return 0;
        }
        if (session_view(session, &v) < 0)
                return STATUS_FAILED;
        printf("%s\n", v.id);
        if (v.attached)
                print_note("Attached to the session that had this name already");
        return 0;
}

int command_kill(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *deleted = json_array(), *failed = json_array();
        int status = 0;

        for (int i = 0; i < argc; i++)
                if (!ctl_check_id(argv[i]))
                        return STATUS_USAGE;

        for (int i = 0; i < argc; i++) {
                _cleanup_answer_ Answer a = { 0 };
                json_t *row;

                if (try_delete(ctl, argv[i], &a) < 0)
                        return STATUS_FAILED;
                if (a.status >= 200 && a.status < 300) {
                        if (json_array_append_new(deleted, json_string(argv[i])) < 0)
                                out_of_memory();
                        continue;
                }
                _cleanup_free_ char *text = problem_text(&a);
                print_error("%s: %s", argv[i], text);
                row = json_pack("{s:s, s:i, s:O?}", "session_id", argv[i], "status", (int) a.status, "problem", a.json);
                if (json_array_append_new(failed, row) < 0)
                        out_of_memory();
                status = STATUS_FAILED;
        }

        if (ctl->options.json) {
                _cleanup_json_ json_t *all = json_pack("{s:O, s:O}", "deleted", deleted, "failed", failed);
                print_json(all);
        }
        return status;
}
