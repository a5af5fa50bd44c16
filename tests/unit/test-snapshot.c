/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "session/snapshot.h"
#include "unit.h"

typedef struct Fixture {
        char path[32];
        int folder;
        Snapshots *store;
} Fixture;

static unsigned open_store(Fixture *f) {
        static const SnapshotSettings settings = { .max = 3, .max_per_key = 2, .space = 1000 };
        unsigned n_dropped;

        f->store = snapshots_free(f->store);
        int folder = open(f->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(folder >= 0);
        assert_int_equal(snapshots_open(folder, &f->store, &n_dropped), 0);
        snapshots_configure(f->store, &settings);
        return n_dropped;
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);

        (void) strcpy(f->path, "/tmp/snapshots.XXXXXX");
        if (!mkdtemp(f->path))
                return -1;
        f->folder = open(f->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        (void) open_store(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        char command[64];

        f->store = snapshots_free(f->store);
        (void) fd_close(f->folder);
        (void) snprintf(command, sizeof command, "rm -rf %s", f->path);
        (void) !system(command);
        free(f);
        return 0;
}

static Snapshot *make(Fixture *f, const char *owner, size_t size) {
        _cleanup_error_ Error error = { 0 };
        char bytes[1000] = { 0 };
        SnapshotDraft d;
        Snapshot *s;

        assert_int_equal(snapshot_draft(f->store, owner, size, false, &d, &error), 0);
        assert_int_equal(write(d.fd, bytes, size), size);
        assert_int_equal(snapshot_commit(&d, "base", "some-session", &s), 0);
        snapshot_draft_clear(&d);
        return s;
}

static void expect_refusal(Fixture *f, const char *owner, int wanted, const char *limit) {
        _cleanup_error_ Error error = { 0 };
        SnapshotDraft d;

        assert_int_equal(snapshot_draft(f->store, owner, 1, false, &d, &error), wanted);
        assert_string_equal(error.limit, limit);
        assert_string_equal(error.field, "snapshots");
}

static void one_outlives_its_worker(void **state) {
        Fixture *f = *state;
        char id[UUID_TEXT_MAX];
        Snapshot *s = make(f, "ali", 10);
        usec_t created = s->created;

        memcpy(id, s->id, sizeof id);
        assert_int_equal(open_store(f), 0);
        assert_int_equal(snapshots_find(f->store, id, NULL, &s, NULL), 0);
        assert_string_equal(s->owner, "ali");
        assert_string_equal(s->image, "base");
        assert_string_equal(s->session_id, "some-session");
        assert_int_equal(s->created, created);
        assert_int_equal(s->size, 10);
        _cleanup_fd_ int fd = snapshot_open(f->store, s);
        char bytes[20];
        assert_int_equal(read(fd, bytes, sizeof bytes), 10);
        snapshots_delete(f->store, s);
        assert_int_equal(snapshots_find(f->store, id, NULL, &s, NULL), -ENOENT);
        assert_int_equal(open_store(f), 0);
        assert_null(snapshots_next(f->store, NULL, NULL));
}

static void a_key_sees_its_own(void **state) {
        Fixture *f = *state;
        Snapshot *ali = make(f, "ali", 1), *eve = make(f, "eve", 1), *nobody = make(f, NULL, 1), *s;

        assert_ptr_equal(snapshots_next(f->store, NULL, "ali"), ali);
        assert_null(snapshots_next(f->store, ali, "ali"));
        assert_ptr_equal(snapshots_next(f->store, NULL, "eve"), eve);
        assert_null(snapshots_next(f->store, NULL, "bob"));
        assert_ptr_equal(snapshots_next(f->store, eve, NULL), nobody);
        assert_int_equal(snapshots_find(f->store, ali->id, "eve", &s, NULL), -ENOENT);
        assert_int_equal(snapshots_find(f->store, nobody->id, "eve", &s, NULL), -ENOENT);
        assert_int_equal(snapshots_find(f->store, ali->id, "ali", &s, NULL), 0);
}

static void there_are_limits(void **state) {
        Fixture *f = *state;
        SnapshotDraft d;

        (void) make(f, "ali", 400);
        (void) make(f, "ali", 400);
        expect_refusal(f, "ali", -EDQUOT, "2 snapshots");
        assert_int_equal(snapshot_draft(f->store, "eve", 5000, false, &d, NULL), 0);
        assert_int_equal(d.room, 200); /* what is left */
        expect_refusal(f, "bob", -EDQUOT, "3 snapshots");
        SnapshotDraft second;
        assert_int_equal(snapshot_draft(f->store, NULL, 1, true, &second, NULL), -ENOSPC);
        snapshot_draft_clear(&d);
        snapshot_draft_clear(&d);
        assert_int_equal(snapshot_draft(f->store, NULL, 1, true, &second, NULL), 0);
        assert_int_equal(second.room, 1);
        snapshot_draft_clear(&second);
        (void) make(f, NULL, 200);
        expect_refusal(f, NULL, -EDQUOT, "3 snapshots");
}

static void one_that_is_not_kept_takes_its_space_until_it_is_let_go(void **state) {
        SnapshotDraft d[9], kept;
        char bytes[100] = { 0 };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(d); i++) { /* more than there may be in the making */
                assert_int_equal(snapshot_draft(f->store, "ali", 600, true, &d[i], NULL), 0);
                assert_int_equal(write(d[i].fd, bytes, sizeof bytes), sizeof bytes);
                assert_int_equal(snapshot_draft_settle(&d[i]), 0);
        }
        assert_int_equal(snapshot_draft(f->store, "eve", 600, false, &kept, NULL), 0);
        assert_int_equal(kept.room, 100);
        snapshot_draft_clear(&kept);
        for (size_t i = 0; i < ELEMENTSOF(d); i++)
                snapshot_draft_clear(&d[i]);
        assert_int_equal(snapshot_draft(f->store, "eve", 1000, false, &kept, NULL), 0);
        assert_int_equal(kept.room, 1000);
        snapshot_draft_clear(&kept);
}

static void one_that_is_deleted_takes_its_space_while_it_is_open(void **state) {
        Fixture *f = *state;
        Snapshot *s = make(f, NULL, 600), *first = snapshot_ref(s), *second = snapshot_ref(s);
        SnapshotDraft d;

        snapshots_delete(f->store, s);
        assert_null(snapshots_next(f->store, NULL, NULL));
        (void) make(f, NULL, 100);
        assert_null(snapshot_unref(first));
        assert_int_equal(snapshot_draft(f->store, NULL, 1000, false, &d, NULL), 0);
        assert_int_equal(d.room, 300);
        snapshot_draft_clear(&d);
        assert_null(snapshot_unref(second));
        assert_int_equal(snapshot_draft(f->store, NULL, 1000, false, &d, NULL), 0);
        assert_int_equal(d.room, 900);
        snapshot_draft_clear(&d);
}

static void a_key_leaves_room_for_the_others(void **state) {
        SnapshotDraft d[8];
        Fixture *f = *state;

        for (size_t i = 0; i < 4; i++)
                assert_int_equal(snapshot_draft(f->store, "ali", 1, true, &d[i], NULL), 0);
        expect_refusal(f, "ali", -EDQUOT, "4 at a time");
        for (size_t i = 4; i < 6; i++) /* two are as many as eve may keep; of ali's none will be kept */
                assert_int_equal(snapshot_draft(f->store, "eve", 1, false, &d[i], NULL), 0);
        expect_refusal(f, "eve", -EDQUOT, "2 snapshots");
        for (size_t i = 6; i < 8; i++)
                assert_int_equal(snapshot_draft(f->store, NULL, 1, true, &d[i], NULL), 0);
        expect_refusal(f, "bob", -EDQUOT, "8 at a time");
        for (size_t i = 0; i < 8; i++)
                snapshot_draft_clear(&d[i]);
        assert_int_equal(snapshot_draft(f->store, "ali", 1, false, &d[0], NULL), 0);
        snapshot_draft_clear(&d[0]);
}

static void what_is_incomplete_is_dropped(void **state) {
        Fixture *f = *state;
        Snapshot *good = make(f, NULL, 10);
        char id[UUID_TEXT_MAX], name[64];
        SnapshotDraft d;

        memcpy(id, good->id, sizeof id);
        assert_int_equal(snapshot_draft(f->store, NULL, 1, false, &d, NULL), 0); /* the worker is killed meanwhile */
        (void) fd_close(d.fd);
        static const char *const rubbish[] = { "00000000-0000-4000-8000-000000000000.tar",
                "00000000-0000-4000-8000-000000000001.json", "lost+found", "notes.txt" };
        for (size_t i = 0; i < ELEMENTSOF(rubbish); i++)
                assert_true(fd_close(openat(f->folder, rubbish[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) < 0);
        (void) snprintf(name, sizeof name, "%s.tar", make(f, NULL, 20)->id);
        int fd = openat(f->folder, name, O_WRONLY | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, 5), 0); /* not what its description says */
        (void) fd_close(fd);

        assert_int_equal(open_store(f), 4);
        assert_string_equal(snapshots_next(f->store, NULL, NULL)->id, id);
        assert_null(snapshots_next(f->store, snapshots_next(f->store, NULL, NULL), NULL));
        assert_int_equal(faccessat(f->folder, "notes.txt", F_OK, 0), 0);
        assert_int_equal(faccessat(f->folder, name, F_OK, 0), -1);
        assert_int_equal(open_store(f), 0);
}

static void a_draft_without_a_name_is_gone_with_it(void **state) {
        Fixture *f = *state;
        SnapshotDraft d;

        assert_int_equal(snapshot_draft(f->store, NULL, 10, true, &d, NULL), 0);
        struct stat st;
        assert_int_equal(fstat(d.fd, &st), 0);
        assert_int_equal(st.st_nlink, 0);
        snapshot_draft_clear(&d);
        assert_null(snapshots_next(f->store, NULL, NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(one_outlives_its_worker, setup, teardown),
                cmocka_unit_test_setup_teardown(a_key_sees_its_own, setup, teardown),
                cmocka_unit_test_setup_teardown(there_are_limits, setup, teardown),
                cmocka_unit_test_setup_teardown(one_that_is_not_kept_takes_its_space_until_it_is_let_go, setup, teardown),
                cmocka_unit_test_setup_teardown(one_that_is_deleted_takes_its_space_while_it_is_open, setup, teardown),
                cmocka_unit_test_setup_teardown(a_key_leaves_room_for_the_others, setup, teardown),
                cmocka_unit_test_setup_teardown(what_is_incomplete_is_dropped, setup, teardown),
                cmocka_unit_test_setup_teardown(a_draft_without_a_name_is_gone_with_it, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
