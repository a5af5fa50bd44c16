/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "daemon/config.h"

#define DIGEST_A "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"
#define DIGEST_B "81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9"

static char root[32];
static Config *config;
static char *detail; /* of the last refusal */

static int root_make(void **state) {
        const ConfTable *t = config_describe();

        (void) state;
        for (const ConfSetting *s = t->settings; s < t->settings + t->n; s++)
                if (s->environment)
                        (void) unsetenv(s->environment);
        (void) unsetenv("CREDENTIALS_DIRECTORY");
        (void) strcpy(root, "/tmp/test-config-XXXXXX");
        return mkdtemp(root) ? 0 : -1;
}

static int root_drop(void **state) {
        char command[64];

        (void) state;
        config = config_free(config);
        (void) snprintf(command, sizeof command, "rm -rf %s", root);
        return system(command);
}

static int group_teardown(void **state) {
        (void) state;
        free(detail);
        return 0;
}

/* Writes a file below the root, with the folders above it. */
static void put(const char *path, const char *text) {
        char full[PATH_MAX];

        (void) snprintf(full, sizeof full, "%s%s", root, path);
        for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
                *p = '\0';
                (void) mkdir(full, 0700); /* may be there */
                *p = '/';
        }
        FILE *f = fopen(full, "we");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static int load(const char *worker) {
        _cleanup_error_ Error e = { 0 };

        config = config_free(config);
        int r = config_load(root, worker, &config, &e);
        assert_int_equal(r < 0, e.kind != ERROR_NONE);
        assert_int_equal(r < 0, !config);
        free(detail);
        detail = take_ptr(e.detail);
        return r;
}

static void accepted(const char *worker) {
        if (load(worker) < 0)
                fail_msg("refused: %s", detail);
}

static void refused(const char *worker, const char *end) {
        assert_int_equal(load(worker), -EINVAL);
        if (strlen(detail) < strlen(end))
                fail_msg("%s", detail);
        assert_string_equal(detail + strlen(detail) - strlen(end), end);
}

#define MAIN SYSCONFDIR "/sandboxd/sandboxd.conf"
#define OWN SYSCONFDIR "/sandboxd/worker/worker1.conf"

static void without_anything_defaults_hold(void **state) {
        (void) state;
        accepted("worker1");
        assert_string_equal(config->worker_id, "worker1");
        assert_int_equal(config->pool_size, 5);
        assert_int_equal(config->pool_min, 2);
        assert_int_equal(config->pool_max, 20);
        assert_int_equal(config->pool_idle, 600 * USEC_PER_SEC);
        assert_true(config->session_timeout == 3600 * USEC_PER_SEC);
        assert_true(config->session_timeout_max == 86400 * USEC_PER_SEC);
        assert_int_equal(config->sessions_max, 0);
        assert_string_equal(config->backend, "native");
        assert_string_equal(config->image, "base");
        assert_true(config->limits.memory == 512 * MIB);
        assert_int_equal(config->limits.cpu_quota, 50000);
        assert_int_equal(config->limits.pids, 256);
        assert_true(config->limits.disk == 1 * GIB);
        assert_true(config->output_max == 1 * MIB);
        assert_int_equal(config->keys.n, 0);
        assert_false(config->allow_anonymous);
        assert_true(config->body_max == 16 * MIB);
        assert_int_equal(config->connections_max, 1024);
        assert_int_equal(config->port, 0);
}

static void later_sources_beat_earlier_ones(void **state) {
        (void) state;
        put(PKGLIBDIR "/sandboxd.conf", "[Pool]\nSize=6\n[Limits]\nTasks=10\n");
        accepted("worker1");
        assert_int_equal(config->pool_size, 6);
        put(MAIN, "[Pool]\nSize=7\n");
        accepted("worker1");
        assert_int_equal(config->pool_size, 7);
        put(MAIN ".d/10.conf", "[Pool]\nSize=8\n");
        accepted("worker1");
        assert_int_equal(config->pool_size, 8);
        put(OWN, "[Pool]\nSize=9\n");
        accepted("worker1");
        assert_int_equal(config->pool_size, 9);
        put(OWN ".d/10.conf", "[Pool]\nSize=10\n");
        accepted("worker1");
        assert_int_equal(config->pool_size, 10);
        (void) setenv("POOL_SIZE", "11", 1);
        accepted("worker1");
        assert_int_equal(config->pool_size, 11);
        assert_int_equal(config->limits.pids, 10);
}

static void files_of_other_workers_do_not_count(void **state) {
        (void) state;
        put(OWN, "[Pool]\nSize=9\n");
        accepted("worker2");
        assert_int_equal(config->pool_size, 5);
        assert_string_equal(config->worker_id, "worker2");
}

static void environment_has_the_guide_s_names(void **state) {
        (void) state;
        (void) setenv("POOL_SIZE", "4", 1);
        (void) setenv("MIN_POOL_SIZE", "3", 1);
        (void) setenv("MAX_POOL_SIZE", "30", 1);
        (void) setenv("SESSION_TIMEOUT", "1800", 1);
        (void) setenv("MEMORY_LIMIT", "256m", 1);
        (void) setenv("CPU_QUOTA", "75000", 1);
        (void) setenv("CONTAINER_IMAGE", "sandbox-secure:latest", 1);
        (void) setenv("NETWORK_MODE", "none", 1);
        (void) setenv("PORT", "5001", 1);
        accepted("worker1");
        assert_int_equal(config->pool_size, 4);
        assert_int_equal(config->pool_min, 3);
        assert_int_equal(config->pool_max, 30);
        assert_true(config->session_timeout == 1800 * USEC_PER_SEC);
        assert_true(config->limits.memory == 256 * MIB);
        assert_int_equal(config->limits.cpu_quota, 75000);
        assert_string_equal(config->image, "sandbox-secure:latest");
        assert_int_equal(config->port, 5001);
}

static void bad_variable_is_named(void **state) {
        static const char *const names[] = { "POOL_SIZE", "MIN_POOL_SIZE", "MAX_POOL_SIZE", "SESSION_TIMEOUT",
                "MEMORY_LIMIT", "CPU_QUOTA", "CONTAINER_IMAGE", "NETWORK_MODE", "PORT", "WORKER_ID" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                (void) setenv(names[i], "!", 1);
                assert_int_equal(load("worker1"), -EINVAL);
                assert_non_null(strstr(detail, names[i]));
                assert_non_null(strstr(detail, "=!: expected "));
                (void) unsetenv(names[i]);
        }
}

static void worker_is_named_by_caller_then_environment_then_default(void **state) {
        (void) state;
        accepted(NULL);
        assert_string_equal(config->worker_id, "worker1");
        (void) setenv("WORKER_ID", "worker7", 1);
        put(SYSCONFDIR "/sandboxd/worker/worker7.conf", "[Pool]\nSize=9\n");
        accepted(NULL);
        assert_string_equal(config->worker_id, "worker7");
        assert_int_equal(config->pool_size, 9);
        accepted("worker2");
        assert_string_equal(config->worker_id, "worker2");
}

static void worker_s_name_leads_nowhere_else(void **state) {
        (void) state;
        refused("../x", "Worker name \"../x\": expected at most 64 lower case letters, digits and \"-\".");
        refused("", "Worker name \"\": expected at most 64 lower case letters, digits and \"-\".");
}

static void image_s_name_leads_nowhere_else(void **state) {
        static const char *const bad[] = { "..", ".", "a/../b", "/etc", "-a", "a b", "\xC3\xA4" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                (void) setenv("CONTAINER_IMAGE", bad[i], 1);
                assert_int_equal(load("worker1"), -EINVAL);
        }
}

static void an_image_can_have_a_pool_of_its_own(void **state) {
        (void) state;
        put(MAIN, "[Pool]\nSize=3\n[Pool \"sandbox-secure\"]\nSize=7\nWarm=node\n[Pool   \"ghcr.io/acme/tools:1\"] ; x\n"
                  "[Sandbox]\nWarm=bash\n[Pool]\nMaxSize=9\n");
        put(SYSCONFDIR "/sandboxd/worker/worker1.conf", "[Pool \"sandbox-secure:latest\"]\nMaxSize=8\n");
        accepted("worker1");
        assert_int_equal(config->pool_size, 3);
        assert_int_equal(config->pool_max, 9);
        assert_int_equal(config->n_pools, 2);
        assert_string_equal(config->pools[0].image, "sandbox-secure");
        assert_int_equal(config->pools[0].size, 7);
        assert_int_equal(config->pools[0].min, 2);
        assert_int_equal(config->pools[0].max, 8);
        assert_string_equal(config->pools[0].warm, "node");
        assert_string_equal(config->pools[1].image, "ghcr.io/acme/tools:1");
        assert_int_equal(config->pools[1].size, 5);
        assert_string_equal(config->pools[1].warm, "");
}

static void pools_of_images_are_checked(void **state) {
        static const char *const files[][2] = {
                { "[Pool \"../x\"]\n", ":1: [Pool \"../x\"]: no name of an image" },
                { "[Pool \"\"]\n", ":1: [Pool \"\"]: no name of an image" },
                { "[Pool x]\n", ":1: expected [Pool \"NAME\"]" },
                { "[Pool \"x]\n", ":1: expected [Pool \"NAME\"]" },
                { "[Pool \"x\" y]\n", ":1: expected [Pool \"NAME\"]" },
                { "[Limits \"x\"]\n", ":1: there is no section [Limits \"x\"]" },
                { "[Pool \"x\"]\nSize=1\nSize=2\n", ":3: [Pool] Size= is set twice" },
                { "[Pool \"x\"]\nSize=3\n[Pool \"x:latest\"]\n", ":3: [Pool \"x:latest\"] is in this file twice" },
                { "[Pool \"x\"]\nMemory=1G\n", ":2: [Pool] has no setting Memory=; expected one of: Size MinSize MaxSize IdleTime Warm SystemCalls" },
                { "[Pool \"x\"]\nWarm=perl\n", ":2: [Pool] Warm=perl: expected python3, bash or node, or nothing." },
                { "[Pool \"x\"]\nSystemCalls=@keyring\n", ":2: [Pool] SystemCalls=@keyring: expected @aio, @debug and @numa, " },
                { "[Pool \"x\"]\nSystemCalls=@aio,@numa\n", ":2: [Pool] SystemCalls=@aio,@numa: expected @aio, " },
                { "[Pool \"x\"]\nSystemCalls=aio\n", ":2: [Pool] SystemCalls=aio: expected @aio, @debug and @numa, " },
                { "[Sandbox]\nSystemCalls=@aio mount\n", ":2: [Sandbox] SystemCalls=@aio mount: expected @aio, @debug" },
                { "[Pool \"x\"]\nMinSize=6\n", "[Pool \"x\"] MinSize=6 is above Size=5" },
                { "[Pool \"x\"]\nMaxSize=4\n", "[Pool \"x\"] Size=5 is above MaxSize=4" },
                { "[Pool \"base\"]\n", "[Pool \"base\"]: this is the image of [Sandbox] Image=" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                put(MAIN, files[i][0]);
                assert_int_equal(load("worker1"), -EINVAL);
                if (!strstr(detail, files[i][1]))
                        fail_msg("\"%s\" lacks \"%s\"", detail, files[i][1]);
        }
}

static void system_calls_are_given_to_one_image(void **state) {
        (void) state;
        put(MAIN, "[Sandbox]\nImage=base\n[Pool \"tools\"]\nSystemCalls=@numa  @aio\n[Pool \"plain\"]\nSize=2\n");
        accepted("worker1");
        assert_int_equal(config_calls(config, "tools"), CALLS_AIO | CALLS_NUMA);
        assert_int_equal(config_calls(config, "docker.io/library/tools:latest"), CALLS_AIO | CALLS_NUMA);
        assert_int_equal(config_calls(config, "tools:2"), 0);
        assert_int_equal(config_calls(config, "plain"), 0);
        assert_int_equal(config_calls(config, "base"), 0);
        assert_int_equal(config_calls(config, "other"), 0);
        assert_int_equal(config_calls(config, "../tools"), 0);
        assert_int_equal(config_calls(config, ""), 0);

        put(MAIN, "[Sandbox]\nImage=base\nSystemCalls=@debug\n[Pool \"tools\"]\n");
        put(SYSCONFDIR "/sandboxd/worker/worker1.conf", "[Pool \"tools\"]\nSize=2\n");
        accepted("worker1");
        assert_int_equal(config_calls(config, "base"), CALLS_DEBUG);
        assert_int_equal(config_calls(config, "tools"), 0);

        put(SYSCONFDIR "/sandboxd/worker/worker1.conf", "[Sandbox]\nSystemCalls=\n"); /* taken back */
        accepted("worker1");
        assert_int_equal(config_calls(config, "base"), 0);
}

static void there_are_no_more_than_32_pools_of_images(void **state) {
        char text[4096];
        size_t used = 0;

        (void) state;
        for (unsigned i = 0; i < 33; i++)
                used += (size_t) snprintf(text + used, sizeof text - used, "[Pool \"x%u\"]\nSize=2\n", i);
        put(MAIN, text);
        assert_int_equal(load("worker1"), -EINVAL);
        assert_non_null(strstr(detail, "there may be 32 such sections"));
}

static void error_names_file_line_section_and_key(void **state) {
        char expected[PATH_MAX];

        (void) state;
        put(MAIN, "# mine\n[Pool]\nSize=many\n");
        assert_int_equal(load("worker1"), -EINVAL);
        (void) snprintf(expected, sizeof expected,
                "%s" MAIN ":3: [Pool] Size=many: expected a whole number from 0 to 4096.", root);
        assert_string_equal(detail, expected);
}

static void settings_that_are_not_there_are_refused(void **state) {
        static const char *const files[] = { "[Redis]\nNode=x\n", "[Coordinator]\nWorkers=x\n",
                "[Auth]\nToken=1\n" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                put(MAIN, files[i]);
                assert_int_equal(load("worker1"), -EINVAL);
                assert_non_null(strstr(detail, "expected one of: "));
        }
}

static void redis_is_a_host_or_a_socket_without_a_port(void **state) {
        static const char *const good[] = { "", "localhost", "redis-1.example.com", "10.0.0.1", "::1", "fe80::1",
                "/run/redis/redis.sock", "a_b" },
                                *const bad[] = { "localhost:6379", ":::::", "-", "...", "[::1]", "redis://localhost", "a/b",
                                        "1.2.3.4:1", ":" };
        char text[512], expected[512];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                (void) snprintf(text, sizeof text, "[Redis]\nHost=%s\n", good[i]);
                put(MAIN, text);
                accepted("worker1");
                assert_string_equal(config->redis.host, good[i]);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                (void) snprintf(text, sizeof text, "[Redis]\nHost=%s\n", bad[i]);
                (void) snprintf(expected, sizeof expected,
                        "[Redis] Host=%s: expected a host name, an address, or the path of a socket.", bad[i]);
                put(MAIN, text);
                refused("worker1", expected);
        }
        (void) snprintf(text, sizeof text, "[Redis]\nHost=/%0108u\n", 0U); /* a socket's path is shorter */
        put(MAIN, text);
        assert_int_equal(load("worker1"), -EINVAL);
}

static void warm_is(const char *text, const char *image, const char *wanted) {
        char file[256];

        (void) snprintf(file, sizeof file, "[Sandbox]\nImage=%s\nWarm=%s\n", image, text);
        put(MAIN, file);
        accepted("worker1");
        _cleanup_free_ char *got = config_warm(config);
        if (wanted)
                assert_string_equal(got, wanted);
        else
                assert_null(got);
}

static void warm_names_the_interpreter_of_the_image(void **state) {
        (void) state;
        warm_is("", "base", NULL);
        warm_is("python3", "base", "python3");
        warm_is("base:node", "base", "node");
        warm_is("other:node", "base", NULL);
        warm_is("python3 other:node", "base", "python3");
        warm_is("python3 base:node", "base", "node");
        warm_is("base:node  python3", "base", "node");
        warm_is("a:b:bash python3", "a:b", "bash");
        warm_is("python3\n  base:bash", "base", "bash");
        put(MAIN, "[Sandbox]\nWarm=perl\n");
        refused("worker1",
                "[Sandbox] Warm=perl: expected python3, bash or node, or IMAGE:python3 and so on, separated by "
                "spaces.");
        put(MAIN, "[Sandbox]\nWarm=base:\n");
        assert_int_equal(load("worker1"), -EINVAL);
        put(MAIN, "[Sandbox]\nWarm=python\n");
        assert_int_equal(load("worker1"), -EINVAL);
}

static void choices_of_one_are_accepted_and_checked(void **state) {
        (void) state;
        put(MAIN, "[Sandbox]\nBackend=native\nUser=sandboxuser\nNetwork=none\nRoot=readonly\n");
        accepted("worker1");
        put(MAIN, "[Sandbox]\nBackend=docker\n");
        refused("worker1", "[Sandbox] Backend=docker: expected native.");
        put(MAIN, "[Sandbox]\nUser=root\n");
        refused("worker1", "[Sandbox] User=root: expected sandboxuser.");
        put(MAIN, "[Sandbox]\nNetwork=bridge\n");
        refused("worker1", "[Sandbox] Network=bridge: expected none.");
        put(MAIN, "[Sandbox]\nRoot=writable\n");
        refused("worker1", "[Sandbox] Root=writable: expected readonly.");
}

static void pool_sizes_must_be_in_order(void **state) {
        (void) state;
        (void) setenv("POOL_SIZE", "30", 1);
        refused("worker1",
                "[Pool] Size=30 (POOL_SIZE) is above MaxSize=20 (MAX_POOL_SIZE): lower Size or raise MaxSize.");
        (void) setenv("POOL_SIZE", "1", 1);
        refused("worker1",
                "[Pool] MinSize=2 (MIN_POOL_SIZE) is above Size=1 (POOL_SIZE): lower MinSize or raise Size.");
        (void) setenv("MIN_POOL_SIZE", "0", 1);
        (void) setenv("POOL_SIZE", "0", 1);
        accepted("worker1");
}

static void timeout_must_not_exceed_its_maximum(void **state) {
        (void) state;
        put(MAIN, "[Session]\nTimeout=2h\nMaxTimeout=1h\n");
        refused("worker1",
                "[Session] Timeout=7200s (SESSION_TIMEOUT) is above MaxTimeout=3600s: lower Timeout or raise "
                "MaxTimeout.");
}

static void bounds_are_those_of_the_expected_text(void **state) {
        static const struct {
                const char *file;
                bool good;
        } cases[] = {
                { "[Pool]\nMaxSize=4096\n", true },
                { "[Pool]\nIdleTime=1s\n", true },
                { "[Pool]\nIdleTime=999ms\n", false },
                { "[Pool]\nIdleTime=367d\n", false },
                { "[Pool]\nMaxSize=4097\n", false },
                { "[Session]\nTimeout=1s\n", true },
                { "[Session]\nTimeout=999ms\n", false },
                { "[Session]\nMaxTimeout=366d\n", true },
                { "[Session]\nMaxTimeout=367d\n", false },
                { "[Session]\nMax=100000\n", true },
                { "[Session]\nMax=100001\n", false },
                { "[Limits]\nMemory=8M\n", true },
                { "[Limits]\nMemory=7M\n", false },
                { "[Limits]\nMemory=64T\n", true },
                { "[Limits]\nMemory=65T\n", false },
                { "[Limits]\nCPUQuota=1%\n", true },
                { "[Limits]\nCPUQuota=999\n", false },
                { "[Limits]\nCPUQuota=102400%\n", true },
                { "[Limits]\nCPUQuota=102401%\n", false },
                { "[Limits]\nTasks=4\n", true },
                { "[Limits]\nTasks=3\n", false },
                { "[Limits]\nTasks=65536\n", true },
                { "[Limits]\nTasks=65537\n", false },
                { "[Limits]\nDisk=1M\n", true },
                { "[Limits]\nDisk=1023K\n", false },
                { "[Limits]\nDisk=64T\n", true },
                { "[Limits]\nDisk=65T\n", false },
                { "[Limits]\nOutput=1K\n", true },
                { "[Limits]\nOutput=1023\n", false },
                { "[Limits]\nOutput=64M\n", true },
                { "[Limits]\nOutput=65M\n", false },
                { "[Http]\nMaxBody=64K\n", true },
                { "[Http]\nMaxBody=63K\n", false },
                { "[Http]\nMaxBody=1G\n", true },
                { "[Http]\nMaxBody=1025M\n", false },
                { "[Http]\nMaxConnections=1\n", true },
                { "[Http]\nMaxConnections=0\n", false },
                { "[Http]\nMaxConnections=65536\n", true },
                { "[Http]\nMaxConnections=65537\n", false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                put(MAIN, cases[i].file);
                if ((load("worker1") >= 0) != cases[i].good)
                        fail_msg("%s: %s", cases[i].file, detail);
        }
}

static void keys_come_from_the_file(void **state) {
        (void) state;
        put(MAIN, "[Auth]\nKeys=alice:" DIGEST_A "\n     bob_2.x:" DIGEST_B "\nAllowAnonymous=yes\n");
        accepted("worker1");
        assert_int_equal(config->keys.n, 2);
        assert_string_equal(config->keys.list[0].name, "alice");
        assert_int_equal(config->keys.list[0].digest[0], 0x2b);
        assert_int_equal(config->keys.list[0].digest[31], 0x90);
        assert_string_equal(config->keys.list[1].name, "bob_2.x");
        assert_true(config->allow_anonymous);
}

static void later_keys_replace_earlier_ones(void **state) {
        (void) state;
        put(MAIN, "[Auth]\nKeys=alice:" DIGEST_A "\n");
        put(MAIN ".d/10.conf", "[Auth]\nKeys=bob:" DIGEST_B "\n");
        accepted("worker1");
        assert_int_equal(config->keys.n, 1);
        assert_string_equal(config->keys.list[0].name, "bob");
        put(MAIN ".d/10.conf", "[Auth]\nKeys=\n");
        accepted("worker1");
        assert_int_equal(config->keys.n, 0);
}

static void bad_keys_are_refused_and_not_shown(void **state) {
        static const char *const bad[] = { "secret", "alice:", ":" DIGEST_A, "alice:secret", "alice:" DIGEST_A "0",
                "alice:2BD806C97F0E00AF1A1FC3328FA763A9269723C8DB8FAC4F93AF71DB186D6E90", "a/b:" DIGEST_A };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                char text[256];

                (void) snprintf(text, sizeof text, "[Auth]\nKeys=%s\n", bad[i]);
                put(MAIN, text);
                assert_int_equal(load("worker1"), -EINVAL);
                assert_non_null(strstr(detail, ":2: [Auth] Keys=...: "));
                assert_non_null(strstr(detail, "expected "));
                assert_null(strstr(detail, "secret"));
                assert_null(strstr(detail, "2bd806"));
        }
}

static void keys_differ_in_name_and_value(void **state) {
        (void) state;
        put(MAIN, "[Auth]\nKeys=alice:" DIGEST_A "\n alice:" DIGEST_B "\n");
        refused("worker1", ":3: [Auth] Keys=...: two keys are named alice.");
        put(MAIN, "[Auth]\nKeys=alice:" DIGEST_A "\n bob:" DIGEST_A "\n");
        refused("worker1", ":3: [Auth] Keys=...: alice and bob are the same key.");
}

static void credential_adds_keys(void **state) {
        (void) state;
        put(MAIN, "[Auth]\nKeys=alice:" DIGEST_A "\n");
        put("/api-keys", "# rotated monthly\n\n  bob:" DIGEST_B "\r\n");
        (void) setenv("CREDENTIALS_DIRECTORY", root, 1);
        accepted("worker1");
        assert_int_equal(config->keys.n, 2);
        assert_string_equal(config->keys.list[1].name, "bob");
}

static void copy_that_follows_changes_goes_before_the_credential(void **state) {
        (void) state;
        put("/api-keys", "bob:" DIGEST_B "\n");
        put("/run/sandboxd/api-keys", "carol:" DIGEST_A "\n");
        accepted("worker1");
        assert_int_equal(config->keys.n, 0); /* no service */
        (void) setenv("CREDENTIALS_DIRECTORY", root, 1);
        accepted("worker1");
        assert_int_equal(config->keys.n, 1);
        assert_string_equal(config->keys.list[0].name, "carol");
        put("/run/sandboxd/api-keys", "");
        accepted("worker1");
        assert_int_equal(config->keys.n, 0);
}

static void last_key_that_goes_lets_nobody_in(void **state) {
        ApiKeys none = { 0 }, one = { 0 }, later = { 0 }, again = { 0 };
        Error error = { 0 };

        (void) state;
        assert_int_equal(api_keys_add(&one, "bob:" DIGEST_B, strlen("bob:" DIGEST_B), &error), 0);
        api_keys_follow(&none, &later);
        assert_false(api_keys_are_needed(&none)); /* there never was one */
        api_keys_follow(&later, &one);
        assert_true(api_keys_are_needed(&later));
        assert_null(api_keys_find(&later, "anything"));
        api_keys_follow(&again, &later);
        assert_true(api_keys_are_needed(&again));
        api_keys_follow(&one, &again);
        assert_false(one.needed);
        assert_true(api_keys_are_needed(&one));
        api_keys_clear(&one);
}

static void keys_are_compared_by_name_and_digest(void **state) {
        ApiKeys a = { 0 }, b = { 0 };
        Error error = { 0 };

        (void) state;
        assert_int_equal(api_keys_add(&a, "bob:" DIGEST_B, strlen("bob:" DIGEST_B), &error), 0);
        assert_true(api_keys_agree(&a, &a, "bob"));
        assert_true(api_keys_agree(&a, &b, "alice")); /* in neither */
        assert_false(api_keys_agree(&a, &b, "bob"));
        assert_false(api_keys_agree(&b, &a, "bob"));
        assert_int_equal(api_keys_add(&b, "bob:" DIGEST_A, strlen("bob:" DIGEST_A), &error), 0);
        assert_false(api_keys_agree(&a, &b, "bob"));
        api_keys_clear(&a);
        api_keys_clear(&b);
}

static void missing_credential_is_fine(void **state) {
        (void) state;
        (void) setenv("CREDENTIALS_DIRECTORY", root, 1);
        accepted("worker1");
        assert_int_equal(config->keys.n, 0);
}

static void bad_credential_is_refused_by_line(void **state) {
        (void) state;
        (void) setenv("CREDENTIALS_DIRECTORY", root, 1);
        put("/api-keys", "# mine\nsecret\n");
        assert_int_equal(load("worker1"), -EINVAL);
        assert_non_null(strstr(detail, "/api-keys:2: expected NAME:SHA256"));
        assert_null(strstr(detail, "secret"));
}

#define WITH_ROOT(f) cmocka_unit_test_setup_teardown(f, root_make, root_drop)

int main(void) {
        static const struct CMUnitTest tests[] = {
                WITH_ROOT(without_anything_defaults_hold),
                WITH_ROOT(later_sources_beat_earlier_ones),
                WITH_ROOT(files_of_other_workers_do_not_count),
                WITH_ROOT(environment_has_the_guide_s_names),
                WITH_ROOT(bad_variable_is_named),
                WITH_ROOT(worker_is_named_by_caller_then_environment_then_default),
                WITH_ROOT(worker_s_name_leads_nowhere_else),
                WITH_ROOT(image_s_name_leads_nowhere_else),
                WITH_ROOT(an_image_can_have_a_pool_of_its_own),
                WITH_ROOT(pools_of_images_are_checked),
                WITH_ROOT(system_calls_are_given_to_one_image),
                WITH_ROOT(there_are_no_more_than_32_pools_of_images),
                WITH_ROOT(error_names_file_line_section_and_key),
                WITH_ROOT(redis_is_a_host_or_a_socket_without_a_port),
                WITH_ROOT(settings_that_are_not_there_are_refused),
                WITH_ROOT(warm_names_the_interpreter_of_the_image),
                WITH_ROOT(choices_of_one_are_accepted_and_checked),
                WITH_ROOT(pool_sizes_must_be_in_order),
                WITH_ROOT(timeout_must_not_exceed_its_maximum),
                WITH_ROOT(bounds_are_those_of_the_expected_text),
                WITH_ROOT(keys_come_from_the_file),
                WITH_ROOT(later_keys_replace_earlier_ones),
                WITH_ROOT(bad_keys_are_refused_and_not_shown),
                WITH_ROOT(keys_differ_in_name_and_value),
                WITH_ROOT(credential_adds_keys),
                WITH_ROOT(copy_that_follows_changes_goes_before_the_credential),
                WITH_ROOT(last_key_that_goes_lets_nobody_in),
                WITH_ROOT(keys_are_compared_by_name_and_digest),
                WITH_ROOT(missing_credential_is_fine),
                WITH_ROOT(bad_credential_is_refused_by_line),
        };

        return cmocka_run_group_tests(tests, NULL, group_teardown);
}
