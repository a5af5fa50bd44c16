/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "bench.h"

/* The first result of an interpreter that waits in the sandboxes of the pool, against starting one without a sandbox:
 * from the request for a session to the result. */

#define ROUNDS 60U
#define ROUNDS_WARM 5U

void part_warm(Bench *b) {
        static const char *const python[] = { "/usr/bin/python3", "-c", "print(1)", NULL };
        char id[SESSION_ID_MAX], path[SESSION_ID_MAX + 96], cid[37];
        Pair first = { 0 };

        report_title("interpreters, us", "sandboxd", "python3");
        for (unsigned i = 0; i < ROUNDS + ROUNDS_WARM; i++) {
                pool_wait(&b->client);
                double ours = session_create(&b->client, NULL, id);
                (void) snprintf(path, sizeof path, "/v1/sessions/%s/contexts", id);
                ours += client_request(&b->client, "POST", path, "{\"language\":\"python\"}", 201);
                const char *found = strstr(b->client.body, "\"context_id\":\"");
                (void) snprintf(cid, sizeof cid, "%.36s", found ? found + 14 : "");
                (void) snprintf(path, sizeof path, "/v1/sessions/%s/contexts/%s/run", id, cid);
                ours += client_request(&b->client, "POST", path, "{\"code\":\"print(1)\"}", 200);
                (void) session_delete(&b->client, id);
                double theirs = bare_run(&b->image, python);
                if (i >= ROUNDS_WARM)
                        pair_add(&first, ours, theirs);
        }
        report_pair("a session's first print(1)", &first, 0.25);
        pair_clear(&first);
}
