/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-fixture.h"

#include "base/fd.h"
#include "session/record.h"

/* Records of sessions that another version of the worker left. The tags are those of src/session/restore.c. */

#define GENERATION 7U
#define SLOT 3U

typedef struct Bytes {
        char data[4096];
        size_t used;
} Bytes;

static void put(Bytes *b, uint32_t tag, const void *bytes, uint32_t length) {
        uint32_t head[2] = { tag, length };

        memcpy(b->data + b->used, head, sizeof head);
        memcpy(b->data + b->used + sizeof head, bytes, length);
        b->used += sizeof head + length;
}

static const char id[] = "6b5f2d0e-0000-4000-8000-000000000001";

static void put_known(Bytes *b) {
        put(b, 1, id, sizeof id - 1);
        put(b, 4, "base", 4);
}

/* @left: 0, or it is paused and its clock stands still. */
static void put_times_of(Bytes *b, uint32_t length, bool paused, usec_t left) {
        uint64_t times[6] = { 1, 3600 * USEC_PER_SEC, clock_monotonic() + 1800 * USEC_PER_SEC, 42, 1, left };
        uint32_t flags[2] = { 1, paused };
        char room[128] = { 0 };

        memcpy(times + 4, flags, sizeof flags);
        memcpy(room, times, sizeof times);
        memset(room + sizeof times, 0xff, sizeof room - sizeof times); /* of a later version */
        put(b, 8, room, length);
}

static void put_times(Bytes *b, uint32_t length) {
        put_times_of(b, length, false, 0);
}

/* What a worker that follows makes of the record. Returns whether the sandbox is kept. */
static bool take_over(Fixture *f, const Bytes *b) {
        RecordTable *t;
        Sandbox *s;
        SandboxSpec spec = { .image = "base-1" };

        assert_int_equal(record_table_new(8, &t), 0);
        assert_int_equal(record_write(t, SLOT, GENERATION, b->data, b->used), 0);
        session_manager_inherit(f->manager, t, NULL);
        f->backend->automatic_ready = false;
        assert_int_equal(backend_start(&f->backend->backend, &spec, NULL, NULL, &s), 0);
        s->slot = SLOT;
        s->generation = GENERATION;
        bool kept = f->backend->backend.heir.adopt(s, f->manager);
        if (kept)
                fake_ready(f->backend, fake_sandbox_of(f->backend, s));
        run_ready(f->event);
        f->backend->backend.heir.done(f->manager);
        (void) sandbox_unref(s);
        session_manager_set_records(f->manager, NULL);
        (void) record_table_free(t);
        return kept;
}

static Session *found(Fixture *f) {
        _cleanup_error_ Error error = { 0 };
        Session *s = NULL;

        assert_int_equal(session_find(f->manager, id, NULL, &s, &error), 0);
        return s;
}

static void test_of_this_version(void **state) {
        Fixture *f = *state;
        Bytes b = { .used = 0 };

        put_known(&b);
        put_times(&b, 48);
        put(&b, 6, "{\"a\":\"b\"}", 9);
        assert_true(take_over(f, &b));
        Session *s = found(f);
        assert_string_equal(s->image, "base");
        assert_int_equal(s->sequence, 42);
        assert_true(s->deadline > clock_monotonic() + 1700 * USEC_PER_SEC);
        assert_string_equal(json_string_value(json_object_get(s->metadata, "a")), "b");
        assert_int_equal(session_n_inherited(f->manager), 1);
}

static void test_of_a_later_version(void **state) {
        Fixture *f = *state;
        Bytes b = { .used = 0 };
        char more[200];

        memset(more, 0xee, sizeof more);
        put(&b, 1000, more, sizeof more);
        put_known(&b);
        put_times(&b, 100); /* longer than it is known */
        put(&b, 7, more, 100);
        put(&b, 1001, "", 0);
        assert_true(take_over(f, &b));
        assert_int_equal(found(f)->sequence, 42);
}

static void test_of_a_former_version(void **state) {
        Fixture *f = *state;
        Bytes b = { .used = 0 };

        put_known(&b);
        put_times(&b, 32); /* neither where it came from, nor whether it is paused */
        assert_true(take_over(f, &b));
        assert_int_equal(found(f)->sequence, 42);
        assert_false(found(f)->paused);
}

static void test_one_that_was_paused(void **state) {
        const usec_t left[] = { 0, 60 * USEC_PER_SEC };

        for (size_t i = 0; i < ELEMENTSOF(left); i++) {
                Fixture *f = *state;
                Bytes b = { .used = 0 };

                f->backend->backend.can_freeze = true;
                put_known(&b);
                put_times_of(&b, 48, true, left[i]);
                assert_true(take_over(f, &b));
                Session *s = found(f);
                assert_true(s->paused);
                FakeSandbox *sandbox = fake_sandbox_of(f->backend, s->sandbox);
                assert_int_equal(sandbox->n_thawed, 1); /* or process 1 could not have answered */
                assert_true(sandbox->frozen);
                assert_int_equal(s->left, left[i]);
                int enabled;
                assert_true(sd_event_source_get_enabled(s->deadline_source, &enabled) >= 0);
                assert_int_equal(enabled, left[i] > 0 ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
                assert_int_equal(session_resume(s), 0);
                assert_false(sandbox->frozen);
                assert_int_equal(session_expires(s) > clock_realtime() + 70 * USEC_PER_SEC, left[i] == 0);
                assert_true(sd_event_source_get_enabled(s->deadline_source, &enabled) > 0);
                if (i + 1 < ELEMENTSOF(left)) {
                        assert_int_equal(teardown(state), 0);
                        assert_int_equal(setup(state), 0);
                }
        }
}

static void test_one_that_was_paused_where_that_cannot_be_any_more(void **state) {
        Fixture *f = *state;
        Bytes b = { .used = 0 };

        put_known(&b);
        put_times_of(&b, 48, true, 60 * USEC_PER_SEC);
        assert_true(take_over(f, &b));
        Session *s = found(f);
        assert_false(s->paused);
        assert_int_equal(s->left, 0);
        assert_false(fake_sandbox_of(f->backend, s->sandbox)->frozen);
        assert_true(s->deadline < clock_monotonic() + 61 * USEC_PER_SEC);
}

static void test_damaged(void **state) {
        Fixture *f = *state;
        Bytes no_id = { .used = 0 }, cut = { .used = 0 }, no_image = { .used = 0 }, bad_json = { .used = 0 },
              long_id = { .used = 0 };
        char text[200];

        put(&no_id, 4, "base", 4);
        put_known(&cut);
        put_times(&cut, 48);
        cut.used -= 3;
        put(&no_image, 1, id, sizeof id - 1);
        put_known(&bad_json);
        put(&bad_json, 5, "{\"a\":", 5);
        memset(text, 'a', sizeof text);
        put(&long_id, 1, text, sizeof text);
        put(&long_id, 4, "base", 4);
        const Bytes *all[] = { &no_id, &cut, &no_image, &bad_json, &long_id };
        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                assert_false(take_over(f, all[i]));
        assert_int_equal(session_count(f->manager), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_of_this_version),
                TEST(test_of_a_later_version),
                TEST(test_of_a_former_version),
                TEST(test_one_that_was_paused),
                TEST(test_one_that_was_paused_where_that_cannot_be_any_more),
                TEST(test_damaged),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
