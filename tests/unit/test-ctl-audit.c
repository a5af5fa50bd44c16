/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/macro.h"
#include "ctl/audit.h"

static json_t *entry;

static json_t *parse(const char *text) {
        entry = json_loads(text, 0, NULL);
        assert_non_null(entry);
        return entry;
}

static int drop(void **state) {
        (void) state;
        json_decref(entry);
        entry = NULL;
        return 0;
}

static void a_file_that_was_read_is_one_line(void **state) {
        _cleanup_free_ char *line = NULL;

        (void) state;
        line = audit_line(parse("{\"__REALTIME_TIMESTAMP\":\"1767225600000000\",\"WORKER_ID\":\"worker1\","
                                "\"MESSAGE_ID\":\"5d5a4f3c1e9b4f0c9d0c6a7b2f8e1d34\",\"SANDBOXD_ACTION\":\"read\","
                                "\"SANDBOXD_OWNER\":\"alice\",\"SANDBOXD_CALLER\":\"unix:uid=7,pid=9\","
                                "\"SESSION_ID\":\"abc\",\"SANDBOXD_PATH\":\"a.txt\",\"SANDBOXD_STATUS\":\"200\"}"));
        assert_string_equal(line,
                "2026-01-01T00:00:00.000Z  worker1   alice       unix:uid=7,pid=9        read      abc  "
                "path=a.txt status=200");
}

static void what_a_client_named_cannot_write_to_the_terminal(void **state) {
        _cleanup_free_ char *line = NULL;

        (void) state;
        line = audit_line(parse("{\"MESSAGE_ID\":\"5d5a4f3c1e9b4f0c9d0c6a7b2f8e1d34\",\"SANDBOXD_ACTION\":\"x\\ny\","
                                "\"SANDBOXD_PATH\":\"\\u001b[2J\\nforged\",\"SANDBOXD_OWNER\":\"\\u202e\"}"));
        assert_null(strchr(line, '\n'));
        assert_null(strchr(line, 0x1b));
        assert_null(strstr(line, "\u202e"));
}

static void other_messages_are_none_of_it(void **state) {
        (void) state;
        assert_null(audit_action(parse("{\"MESSAGE_ID\":\"3bafd4ca80334654b5e1dcdd555f00f4\"}")));
        assert_null(audit_line(entry));
        assert_null(audit_object(entry));
        (void) drop(NULL);
        /* bytes that are no text, and no action: the journal gives an array, or null */
        assert_null(audit_action(parse("{\"MESSAGE_ID\":[1,2]}")));
        (void) drop(NULL);
        assert_null(
                audit_action(parse("{\"MESSAGE_ID\":\"5d5a4f3c1e9b4f0c9d0c6a7b2f8e1d34\",\"SANDBOXD_ACTION\":null}")));
}

/* The ids are those of the service's table. */
static void every_id_is_in_the_table_of_messages(void **state) {
        static const struct {
                const char *name, *action;
        } rows[] = { { "SESSION_CREATED", "create" }, { "SESSION_ENDED", "end" }, { "EXEC_FINISHED", "exec" },
                { "REQUEST_REFUSED", "refused" }, { "AUDIT", "done" } };
        FILE *f = fopen(SOURCE_ROOT "/src/log/message.h", "re");
        _cleanup_free_ char *text = NULL;
        size_t room = 0, found = 0;

        (void) state;
        assert_non_null(f);
        while (getline(&text, &room, f) > 0)
                for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                        char name[64], id[33], document[160];
                        if (sscanf(text, " M(%63[A-Z_], \"%32[0-9a-f]", name, id) != 2 ||
                                strcmp(name, rows[i].name) != 0)
                                continue;
                        (void) snprintf(
                                document, sizeof document, "{\"MESSAGE_ID\":\"%s\",\"SANDBOXD_ACTION\":\"done\"}", id);
                        assert_string_equal(audit_action(parse(document)), rows[i].action);
                        (void) drop(NULL);
                        found++;
                }
        (void) fclose(f);
        assert_int_equal(found, ELEMENTSOF(rows));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(a_file_that_was_read_is_one_line, drop),
                cmocka_unit_test_teardown(what_a_client_named_cannot_write_to_the_terminal, drop),
                cmocka_unit_test_teardown(other_messages_are_none_of_it, drop),
                cmocka_unit_test_teardown(every_id_is_in_the_table_of_messages, drop),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
