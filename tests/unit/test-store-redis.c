/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "redis-fixture.h"

#define LONG_USEC (60 * USEC_PER_SEC)

typedef struct Answer {
        bool done;
        int result;
        char text[128];
        char members[8][64];
        size_t n_members;
        usec_t at;
} Answer;

static void on_answer(const StoreReply *reply, void *userdata) {
        Answer *a = userdata;

        assert_false(a->done);
        a->done = true;
        a->result = reply->result;
        a->at = clock_monotonic();
        (void) snprintf(a->text, sizeof a->text, "%s", reply->text ? reply->text : "");
        a->n_members = reply->n_members;
        for (size_t i = 0; i < MIN(reply->n_members, ELEMENTSOF(a->members)); i++)
                (void) snprintf(a->members[i], sizeof a->members[i], "%s", reply->members[i]);
}

static void wait_for(RedisFixture *f, Answer *a) {
        usec_t end = clock_monotonic() + 20 * USEC_PER_SEC;

        assert_false(a->done); /* not from within the call */
        while (!a->done) {
                assert_true(clock_monotonic() < end);
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        }
}

static Answer get(RedisFixture *f, const char *name) {
        Answer a = { 0 };

        assert_int_equal(f->store->ops->get(f->store, name, on_answer, &a, NULL), 0);
        wait_for(f, &a);
        return a;
}

static Answer put(RedisFixture *f, const char *name, const char *text, usec_t life) {
        Answer a = { 0 };

        assert_int_equal(f->store->ops->put(f->store, name, text, life, on_answer, &a, NULL), 0);
        wait_for(f, &a);
        return a;
}

static Answer swap(RedisFixture *f, const char *name, const char *expected, const char *text) {
        Answer a = { 0 };

        assert_int_equal(f->store->ops->swap(f->store, name, expected, text, LONG_USEC, on_answer, &a, NULL), 0);
        wait_for(f, &a);
        return a;
}

static Answer add(RedisFixture *f, const char *set, const char *member, usec_t life, unsigned max) {
        Answer a = { 0 };

        assert_int_equal(f->store->ops->add(f->store, set, &(StoreMembers){ &member, 1, NULL, life, max }, on_answer, &a, NULL), 0);
        wait_for(f, &a);
        return a;
}

static Answer members(RedisFixture *f, const char *set) {
        Answer a = { 0 };

        assert_int_equal(f->store->ops->members(f->store, set, on_answer, &a, NULL), 0);
        wait_for(f, &a);
        return a;
}

static void cli(RedisFixture *f, const char *command, const char *expected) {
        _cleanup_free_ char *text = redis_fixture_cli(f, command);

        if (expected)
                assert_string_equal(text, expected);
}

static int setup(void **state) {
        RedisFixture *f = malloc(sizeof *f);

        assert_non_null(f);
        redis_fixture_init(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        redis_fixture_done(*state);
        free(*state);
        return 0;
}

/* --- what it does --- */

static void start(RedisFixture *f) {
        redis_fixture_start_server(f, NULL);
        redis_fixture_connect(f);
        assert_false(f->store->available);
        redis_fixture_wait(f, true);
}

static void test_text_has_its_life(void **state) {
        RedisFixture *f = *state;

        start(f);
        assert_int_equal(get(f, "session:1").result, -ENOENT);
        assert_int_equal(put(f, "session:1", "{\"a\": \"b c\r\n\"}", LONG_USEC).result, 0);
        assert_string_equal(get(f, "session:1").text, "{\"a\": \"b c\r\n\"}");
        cli(f, "KEYS 'session:*'", "session:1");
        cli(f, "TTL session:1", "60");
        assert_int_equal(put(f, "short", "x", 30 * USEC_PER_MSEC).result, 0);
        redis_fixture_run(f, 100 * USEC_PER_MSEC);
        assert_int_equal(get(f, "short").result, -ENOENT);
        assert_int_equal(f->store->ops->drop(f->store, "session:1"), 0);
        assert_int_equal(get(f, "session:1").result, -ENOENT);
}

static void test_swap_is_of_what_was_seen(void **state) {
        RedisFixture *f = *state;

        start(f);
        assert_int_equal(swap(f, "k", "old", "new").result, -ENOENT);
        assert_int_equal(swap(f, "k", NULL, "one").result, 0);
        Answer a = swap(f, "k", NULL, "two");
        assert_int_equal(a.result, -EEXIST);
        assert_string_equal(a.text, "one");
        assert_int_equal(swap(f, "k", "one", "two").result, 0);
        assert_int_equal(swap(f, "k", "one", NULL).result, -EEXIST);
        assert_int_equal(swap(f, "k", "two", NULL).result, 0);
        assert_int_equal(get(f, "k").result, -ENOENT);
}

static void test_sets_have_members_with_lives(void **state) {
        RedisFixture *f = *state;

        start(f);
        assert_int_equal(members(f, "s").n_members, 0);
        assert_int_equal(add(f, "s", "one", LONG_USEC, 2).result, 0);
        assert_int_equal(add(f, "s", "short", 50 * USEC_PER_MSEC, 2).result, 0);
        assert_int_equal(add(f, "s", "two", LONG_USEC, 2).result, -EDQUOT);
        assert_int_equal(add(f, "s", "one", LONG_USEC, 2).result, 0);
        redis_fixture_run(f, 100 * USEC_PER_MSEC);
        assert_int_equal(add(f, "s", "two", LONG_USEC, 2).result, 0);
        assert_int_equal(members(f, "s").n_members, 2);
        assert_int_equal(f->store->ops->remove(f->store, "s", "one"), 0);
        Answer a = members(f, "s");
        assert_int_equal(a.n_members, 1);
        assert_string_equal(a.members[0], "two");
        cli(f, "TTL s", "60");
}

static Answer add_all(RedisFixture *f, const char *set, const StoreMembers *m) {
        Answer a = { 0 };

        assert_int_equal(f->store->ops->add(f->store, set, m, on_answer, &a, NULL), 0);
        wait_for(f, &a);
        return a;
}

static void test_members_are_added_all_or_none(void **state) {
        static const char *const three[] = { "one", "two", "three" }, *const last[] = { "four" };
        RedisFixture *f = *state;

        start(f);
        assert_int_equal(add(f, "s", "one", LONG_USEC, 3).result, 0);
        assert_int_equal(add(f, "s", "zero", LONG_USEC, 3).result, 0);
        assert_int_equal(add_all(f, "s", &(StoreMembers){ three, 3, NULL, LONG_USEC, 3 }).result, -EDQUOT);
        assert_int_equal(members(f, "s").n_members, 2);
        assert_int_equal(add_all(f, "s", &(StoreMembers){ three, 3, NULL, LONG_USEC, 4 }).result, 0);
        assert_int_equal(members(f, "s").n_members, 4);
        /* one goes, another comes: there are never more, or less */
        assert_int_equal(add_all(f, "s", &(StoreMembers){ last, 1, "two", LONG_USEC, 0 }).result, 0);
        cli(f, "ZSCORE s two", "");
        cli(f, "ZCARD s", "4");
        assert_int_equal(add(f, "s", "five", LONG_USEC, 4).result, -EDQUOT);
}

/* Many calls go out before the first is answered, and are answered in order. */
static void test_calls_are_pipelined(void **state) {
        RedisFixture *f = *state;
        enum { N = 5000 };
        Answer *a = calloc(N, sizeof *a);
        char name[32];

        start(f);
        assert_non_null(a);
        for (unsigned i = 0; i < N; i++) {
                (void) snprintf(name, sizeof name, "n%u", i);
                assert_int_equal(f->store->ops->put(f->store, name, name, LONG_USEC, NULL, NULL, NULL), 0);
                assert_int_equal(f->store->ops->get(f->store, name, on_answer, a + i, NULL), 0);
        }
        wait_for(f, a + N - 1);
        for (unsigned i = 0; i < N; i++) {
                (void) snprintf(name, sizeof name, "n%u", i);
                assert_int_equal(a[i].result, 0);
                assert_string_equal(a[i].text, name);
        }
        free(a);
}

static void test_given_up_call_is_not_told(void **state) {
        RedisFixture *f = *state;
        Answer a = { 0 };
        StoreCall *c;

        start(f);
        assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &a, &c), 0);
        assert_null(store_call_cancel(c));
        assert_int_equal(get(f, "y").result, -ENOENT);
        assert_false(a.done);
        /* and one that goes on when all ends */
        assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &a, &c), 0);
}

/* --- what is there --- */

static void test_wrong_type_reads_as_garbage_and_is_replaced(void **state) {
        RedisFixture *f = *state;

        start(f);
        cli(f, "RPUSH l a b", "2");
        Answer a = get(f, "l");
        assert_int_equal(a.result, -EIO);
        assert_non_null(strstr(a.text, "WRONGTYPE"));
        a = swap(f, "l", NULL, "x");
        assert_int_equal(a.result, -EEXIST);
        assert_string_equal(a.text, "");
        assert_int_equal(swap(f, "l", "", "x").result, 0);
        assert_string_equal(get(f, "l").text, "x");
        cli(f, "SET s text", "OK");
        assert_int_equal(members(f, "s").result, -EIO);
        assert_int_equal(add(f, "s", "one", LONG_USEC, 1).result, 0);
        assert_int_equal(members(f, "s").n_members, 1);
        cli(f, "RPUSH p a", "1");
        assert_int_equal(put(f, "p", "x", LONG_USEC).result, 0);
        assert_true(f->store->available);
        assert_int_equal(f->n_away, 0);
}

static void test_huge_text_is_not_taken(void **state) {
        RedisFixture *f = *state;

        start(f);
        cli(f, "SETRANGE huge 50000000 x", "50000001");
        assert_int_equal(get(f, "huge").result, -EIO);
        assert_int_equal(swap(f, "huge", NULL, "x").result, -EEXIST);
        assert_int_equal(swap(f, "huge", "", "x").result, 0);
        assert_string_equal(get(f, "huge").text, "x");
        assert_int_equal(f->n_away, 0);
}

/* --- logging in --- */

static void set(char **field, const char *text) {
        free(*field);
        *field = strdup(text);
}

static void away(RedisFixture *f, const char *reason) {
        usec_t end = clock_monotonic() + 20 * USEC_PER_SEC;

        while (!strstr(f->store->reason, reason)) {
                if (clock_monotonic() > end)
                        fail_msg("\"%s\" is not \"%s\"", f->store->reason, reason);
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        }
        assert_false(f->store->available);
        assert_int_equal(f->store->ops->get(f->store, "x", on_answer, NULL, NULL), -ENOTCONN);
}

static void test_password_user_and_database(void **state) {
        RedisFixture *f = *state;

        redis_fixture_start_server(f, (const char *const[]){ "--requirepass", "secret", NULL });
        set(&f->settings.password, "secret");
        f->settings.database = 3;
        redis_fixture_connect(f);
        redis_fixture_wait(f, true);
        assert_int_equal(put(f, "a", "x", LONG_USEC).result, 0);
        cli(f, "--no-auth-warning -a secret -n 3 GET a", "x");
        cli(f, "--no-auth-warning -a secret ACL SETUSER bob on '>word' '~*' +@all", "OK");
        f->store = store_free(f->store);
        set(&f->settings.user, "bob");
        set(&f->settings.password, "word");
        redis_fixture_connect(f);
        redis_fixture_wait(f, true);
        assert_string_equal(get(f, "a").text, "x");
}

static void test_wrong_password_is_the_reason(void **state) {
        RedisFixture *f = *state;

        redis_fixture_start_server(f, (const char *const[]){ "--requirepass", "secret", NULL });
        redis_fixture_connect(f);
        away(f, "NOAUTH");
        f->store = store_free(f->store);
        set(&f->settings.password, "wrong");
        redis_fixture_connect(f);
        away(f, "WRONGPASS");
        redis_fixture_run(f, 500 * USEC_PER_MSEC);
        assert_int_equal(f->n_away, 2); /* told once each */
}

/* Over TCP, by name and with TLS: the certificate has to be one that is trusted, and of that name. */
static void test_tls_by_name(void **state) {
        RedisFixture *f = *state;
        char certificate[96], key[96], port[16], command[512];

        (void) snprintf(certificate, sizeof certificate, "%s/cert.pem", f->folder);
        (void) snprintf(key, sizeof key, "%s/key.pem", f->folder);
        unsigned number = redis_fixture_port();
        (void) snprintf(port, sizeof port, "%u", number);
        (void) snprintf(command, sizeof command,
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
                "-addext subjectAltName=DNS:localhost -keyout %s -out %s 2>/dev/null",
                key, certificate);
        assert_int_equal(system(command), 0);
        redis_fixture_start_server(f,
                (const char *const[]){ "--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key,
                        "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no", "--bind", "127.0.0.1", NULL });
        set(&f->settings.host, "localhost");
        set(&f->settings.ca_file, certificate);
        f->settings.tls = true;
        f->settings.port = number;
        redis_fixture_connect(f);
        redis_fixture_wait(f, true);
        assert_string_equal(store_redis_local_address(f->store), "127.0.0.1");
        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(f->store->ops->put(f->store, "x", "y", LONG_USEC, NULL, NULL, NULL), 0);
        assert_string_equal(get(f, "x").text, "y");

        f->store = store_free(f->store);
        set(&f->settings.host, "127.0.0.1"); /* not the certificate's */
        redis_fixture_connect(f);
        away(f, "of another name");
        f->store = store_free(f->store);
        set(&f->settings.host, "localhost");
        set(&f->settings.ca_file, "");
        redis_fixture_connect(f);
        away(f, "is not trusted");
        f->store = store_free(f->store);
        set(&f->settings.ca_file, "/nonexistent/ca.pem");
        redis_fixture_connect(f);
        away(f, "cannot be read");
}

static void test_name_that_is_none(void **state) {
        RedisFixture *f = *state;

        set(&f->settings.host, "no-such-host.invalid");
        redis_fixture_connect(f);
        away(f, "has no address");
}

static void test_database_that_is_not_there(void **state) {
        RedisFixture *f = *state;

        redis_fixture_start_server(f, NULL);
        f->settings.database = 99;
        redis_fixture_connect(f);
        away(f, "DB index is out of range");
}

static void test_what_may_not_be_done_is_the_reason(void **state) {
        RedisFixture *f = *state;

        redis_fixture_start_server(f, NULL);
        cli(f, "ACL SETUSER default resetkeys '~sandboxd:*'", "OK");
        redis_fixture_connect(f);
        redis_fixture_wait(f, true);
        assert_int_equal(put(f, "a", "x", LONG_USEC).result, -EIO);
        away(f, "NOPERM");
        cli(f, "ACL SETUSER default allkeys", "OK");
        redis_fixture_wait(f, true);
        assert_int_equal(put(f, "a", "x", LONG_USEC).result, 0);
}

/* --- a server in trouble --- */

static void test_server_that_is_not_there_yet(void **state) {
        RedisFixture *f = *state;

        redis_fixture_connect(f);
        redis_fixture_run(f, 300 * USEC_PER_MSEC);
        assert_false(f->store->available);
        assert_int_equal(f->n_away, 1);
        redis_fixture_start_server(f, NULL);
        redis_fixture_wait(f, true);
        assert_int_equal(f->n_ready, 1);
}

static void test_server_that_dies_and_comes_back(void **state) {
        RedisFixture *f = *state;
        Answer a = { 0 };

        start(f);
        redis_fixture_freeze_server(f); /* it has not answered yet when it dies */
        assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &a, NULL), 0);
        redis_fixture_run(f, 20 * USEC_PER_MSEC);
        redis_fixture_stop_server(f);
        wait_for(f, &a);
        assert_true(a.result == -ENOTCONN || a.result == -ETIMEDOUT);
        assert_false(f->store->available);
        redis_fixture_start_server(f, NULL);
        redis_fixture_wait(f, true);
        assert_int_equal(put(f, "x", "y", LONG_USEC).result, 0);
        /* each time once; a busy machine may stall the server for long enough to be away again */
        assert_true(f->n_away >= 1);
        assert_int_equal(f->n_ready, f->n_away + 1);
}

static void test_nobody_waits_longer_for_a_slow_server(void **state) {
        RedisFixture *f = *state;
        Answer a = { 0 }, b = { 0 };

        f->settings.timeout = REDIS_TIMEOUT_FALLBACK;
        start(f);
        redis_fixture_freeze_server(f);
        usec_t begun = clock_monotonic();
        assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &a, NULL), 0);
        assert_int_equal(f->store->ops->put(f->store, "x", "y", LONG_USEC, on_answer, &b, NULL), 0);
        wait_for(f, &a);
        assert_int_equal(a.result, -ETIMEDOUT);
        assert_true(a.at >= begun + REDIS_TIMEOUT_FALLBACK && a.at < begun + 20 * REDIS_TIMEOUT_FALLBACK);
        assert_int_equal(b.result, -ETIMEDOUT);
        away(f, "does not answer in time");
        redis_fixture_run(f, USEC_PER_SEC);
        assert_false(f->store->available); /* whoever connects finds it as slow */
        (void) kill(f->server, SIGCONT);
        redis_fixture_wait(f, true);
        /* each time once: a busy machine may be as slow once more */
        assert_true(f->n_away >= 1);
        assert_int_equal(f->n_ready, f->n_away + 1);
}

/* Nor when nothing was asked for a while, and the next question whether it is there is far. */
static void test_nobody_waits_longer_after_a_pause(void **state) {
        RedisFixture *f = *state;
        usec_t took = USEC_INFINITY;

        f->settings.timeout = 100 * USEC_PER_MSEC;
        start(f);
        for (unsigned i = 0; i < 5 && took > 4 * f->settings.timeout; i++) { /* the machine may be busy */
                Answer a = { 0 };
                redis_fixture_wait(f, true);
                redis_fixture_run(f, 2 * f->settings.timeout);
                if (f->store->ops->get(f->store, "x", NULL, NULL, NULL) < 0)
                        continue;
                redis_fixture_run(f, 2 * f->settings.timeout);
                redis_fixture_freeze_server(f);
                usec_t begun = clock_monotonic();
                if (f->store->ops->get(f->store, "x", on_answer, &a, NULL) == 0) {
                        wait_for(f, &a);
                        took = a.at - begun;
                }
                (void) kill(f->server, SIGCONT);
        }
        assert_true(took <= 4 * f->settings.timeout);
}

/* It is found out without anybody asking. */
static void test_silent_server_is_noticed(void **state) {
        RedisFixture *f = *state;

        f->settings.timeout = REDIS_TIMEOUT_FALLBACK;
        start(f);
        redis_fixture_freeze_server(f);
        redis_fixture_wait(f, false);
        (void) kill(f->server, SIGCONT);
        redis_fixture_wait(f, true);
}

static void test_full_server_is_away_for_writing(void **state) {
        RedisFixture *f = *state;

        start(f);
        cli(f, "CONFIG SET maxmemory 1", "OK");
        Answer a = put(f, "a", "x", LONG_USEC);
        assert_int_equal(a.result, -EIO);
        assert_non_null(strstr(a.text, "OOM"));
        away(f, "OOM");
        redis_fixture_run(f, USEC_PER_SEC);
        away(f, "OOM");
        assert_int_equal(f->n_away, 1);
        cli(f, "CONFIG SET maxmemory 0", "OK");
        redis_fixture_wait(f, true);
}

static void test_script_on_a_full_server_fails_as_well(void **state) {
        RedisFixture *f = *state;

        start(f);
        cli(f, "CONFIG SET maxmemory 1", "OK");
        assert_int_equal(swap(f, "a", NULL, "x").result, -EIO);
        away(f, "OOM");
}

static void test_replica_is_not_written_to(void **state) {
        RedisFixture *f = *state;

        start(f);
        cli(f, "REPLICAOF 127.0.0.1 1", "OK");
        assert_int_equal(put(f, "a", "x", LONG_USEC).result, -EIO);
        away(f, "READONLY");
        cli(f, "CONFIG SET replica-serve-stale-data no", "OK");
        away(f, "MASTERDOWN");
        cli(f, "REPLICAOF NO ONE", "OK");
        redis_fixture_wait(f, true);
}

static void test_part_of_a_cluster_is_refused(void **state) {
        RedisFixture *f = *state;

        char port[16];

        (void) snprintf(port, sizeof port, "%u", redis_fixture_port());
        redis_fixture_start_server(f, (const char *const[]){ "--cluster-enabled", "yes", "--port", port,
                                              "--cluster-config-file", "nodes.conf", "--bind", "127.0.0.1", NULL });
        redis_fixture_connect(f);
        away(f, "CLUSTERDOWN");
}

/* --- answers that no server in its right mind gives --- */

static void fake(RedisFixture *f) {
        redis_fixture_fake(f);
        redis_fixture_connect(f);
        redis_fixture_fake_accept(f);
}

static void fake_ready(RedisFixture *f) {
        fake(f);
        redis_fixture_fake_say(f, ":1\r\n");
        redis_fixture_wait(f, true);
}

static void test_errors_while_greeting(void **state) {
        static const char *const errors[] = { "-LOADING Redis is loading the dataset in memory\r\n",
                "-MOVED 3999 127.0.0.1:6381\r\n", "-MISCONF Redis is configured to save RDB snapshots\r\n",
                "-BUSY Redis is busy running a script\r\n", "-ERR max number of clients reached\r\n",
                "-NOREPLICAS Not enough good replicas to write.\r\n",
                "-DENIED Redis is running in protected mode\r\n" };
        RedisFixture *f = *state;
        char word[16];

        redis_fixture_fake(f);
        redis_fixture_connect(f);
        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                redis_fixture_fake_accept(f);
                redis_fixture_fake_say(f, errors[i]);
                (void) snprintf(word, sizeof word, "%.*s", (int) strcspn(errors[i] + 1, " "), errors[i] + 1);
                away(f, word);
        }
        redis_fixture_fake_accept(f);
        redis_fixture_fake_say(f, ":1\r\n");
        redis_fixture_wait(f, true);
        assert_int_equal(f->n_away, 1);
}

static void test_errors_while_in_use(void **state) {
        static const char *const errors[] = { "-LOADING Redis is loading\r\n", "-MOVED 1 127.0.0.1:1\r\n",
                "-ASK 1 127.0.0.1:1\r\n", "-MISCONF no\r\n", "-BUSY no\r\n", "-TRYAGAIN no\r\n", "-UNKILLABLE no\r\n",
                "-\r\n" };
        RedisFixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                Answer a = { 0 }, b = { 0 };
                fake_ready(f);
                assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &a, NULL), 0);
                assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &b, NULL), 0);
                redis_fixture_fake_say(f, errors[i]);
                wait_for(f, &a);
                assert_int_equal(a.result, -EIO);
                if (!b.done)
                        wait_for(f, &b);
                assert_int_equal(b.result, -ENOTCONN);
                assert_false(f->store->available);
                redis_fixture_done(f);
                redis_fixture_init(f);
        }
}

static void test_nonsense_ends_the_connection(void **state) {
        static const char *const texts[] = { "HTTP/1.1 400 Bad Request\r\n\r\n", "*1000000000\r\n", "$-5\r\n",
                "*-7\r\n", "$99999999999999999999\r\n", ":1\r\n:2\r\n:3\r\n",
                "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "\r\n", ":x\r\n", "$1\r\nab\r\n" };
        RedisFixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                Answer a = { 0 };
                fake_ready(f);
                assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &a, NULL), 0);
                redis_fixture_fake_say(f, texts[i]);
                redis_fixture_wait(f, false);
                assert_true(a.done); /* of some an element is an answer */
                redis_fixture_done(f);
                redis_fixture_init(f);
        }
}

static void test_answer_in_pieces_and_its_end(void **state) {
        RedisFixture *f = *state;
        Answer a = { 0 };

        fake_ready(f);
        assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &a, NULL), 0);
        for (const char *p = "$5\r\nhel"; *p; p++) {
                redis_fixture_fake_say(f, (const char[]){ *p, '\0' });
                redis_fixture_run(f, USEC_PER_MSEC);
        }
        assert_false(a.done);
        redis_fixture_fake_say(f, "lo\r\n");
        wait_for(f, &a);
        assert_string_equal(a.text, "hello");
        memset(&a, 0, sizeof a);
        assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &a, NULL), 0);
        redis_fixture_fake_say(f, "$5\r\nhel");
        redis_fixture_run(f, 20 * USEC_PER_MSEC);
        assert_int_equal(shutdown(f->client, 2), 0);
        wait_for(f, &a);
        assert_int_equal(a.result, -ENOTCONN);
}

/* We were the slow one: it was there in time. */
static void test_answer_that_was_not_looked_at_counts(void **state) {
        RedisFixture *f = *state;
        Answer a = { 0 }, b = { 0 }, c = { 0 };

        f->settings.timeout = USEC_PER_SEC;
        fake_ready(f);
        clock_shift_for_test(-(1100 * USEC_PER_MSEC)); /* asked so long ago */
        assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &a, NULL), 0);
        assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &b, NULL), 0);
        clock_shift_for_test(0);
        redis_fixture_fake_say(f, "$1\r\ny\r\n$1\r\nz\r\n");
        wait_for(f, &a);
        assert_int_equal(a.result, 0);
        assert_string_equal(b.text, "z");
        assert_true(f->store->available);
        assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &c, NULL), 0);
        wait_for(f, &c);
        assert_int_equal(c.result, -ETIMEDOUT);
}

static void test_answers_of_another_shape(void **state) {
        RedisFixture *f = *state;
        Answer a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
        const char *member = "y";

        fake_ready(f);
        assert_int_equal(f->store->ops->get(f->store, "x", on_answer, &a, NULL), 0);
        assert_int_equal(f->store->ops->swap(f->store, "x", NULL, "y", 1, on_answer, &b, NULL), 0);
        assert_int_equal(f->store->ops->add(f->store, "x", &(StoreMembers){ &member, 1, NULL, 1, 0 }, on_answer, &c, NULL), 0);
        assert_int_equal(f->store->ops->members(f->store, "x", on_answer, &d, NULL), 0);
        redis_fixture_fake_say(f, "*0\r\n:7\r\n$1\r\nx\r\n*3\r\n:1\r\n$-1\r\n$2\r\nok\r\n");
        wait_for(f, &d);
        assert_int_equal(a.result, -EIO);
        assert_int_equal(b.result, -EIO);
        assert_int_equal(c.result, -EIO);
        assert_int_equal(d.result, 0);
        assert_int_equal(d.n_members, 1);
        assert_string_equal(d.members[0], "ok");
        assert_true(f->store->available);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_text_has_its_life),
                TEST(test_swap_is_of_what_was_seen),
                TEST(test_sets_have_members_with_lives),
                TEST(test_members_are_added_all_or_none),
                TEST(test_calls_are_pipelined),
                TEST(test_given_up_call_is_not_told),
                TEST(test_wrong_type_reads_as_garbage_and_is_replaced),
                TEST(test_huge_text_is_not_taken),
                TEST(test_password_user_and_database),
                TEST(test_wrong_password_is_the_reason),
                TEST(test_tls_by_name),
                TEST(test_name_that_is_none),
                TEST(test_database_that_is_not_there),
                TEST(test_what_may_not_be_done_is_the_reason),
                TEST(test_server_that_is_not_there_yet),
                TEST(test_server_that_dies_and_comes_back),
                TEST(test_nobody_waits_longer_for_a_slow_server),
                TEST(test_nobody_waits_longer_after_a_pause),
                TEST(test_silent_server_is_noticed),
                TEST(test_full_server_is_away_for_writing),
                TEST(test_script_on_a_full_server_fails_as_well),
                TEST(test_replica_is_not_written_to),
                TEST(test_part_of_a_cluster_is_refused),
                TEST(test_errors_while_greeting),
                TEST(test_errors_while_in_use),
                TEST(test_nonsense_ends_the_connection),
                TEST(test_answer_in_pieces_and_its_end),
                TEST(test_answer_that_was_not_looked_at_counts),
                TEST(test_answers_of_another_shape),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
