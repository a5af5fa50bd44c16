/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "redis-fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define PATIENCE_USEC (20 * USEC_PER_SEC)

void redis_fixture_init(RedisFixture *f) {
        *f = (RedisFixture){ .fake = -EBADF, .client = -EBADF };
        (void) snprintf(f->folder, sizeof f->folder, "/tmp/sandboxd-redis-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        (void) snprintf(f->socket, sizeof f->socket, "%s/s", f->folder);
        assert_true(sd_event_new(&f->event) >= 0);
        f->settings = (RedisSettings){
                .host = strdup(f->socket),
                .port = 6379,
                .user = strdup(""),
                .password = strdup(""),
                .ca_file = strdup(""),
                .timeout = 10 * USEC_PER_SEC, /* a busy machine is slow, which is for few tests to notice */
        };
}

void redis_fixture_done(RedisFixture *f) {
        char command[128];

        f->store = store_free(f->store);
        redis_fixture_stop_server(f);
        f->fake = fd_close(f->fake);
        f->client = fd_close(f->client);
        redis_settings_clear(&f->settings);
        f->event = sd_event_unref(f->event);
        (void) snprintf(command, sizeof command, "rm -rf %s", f->folder);
        assert_int_equal(system(command), 0);
}

/* --- the server --- */

/* The socket is there a moment before anybody can connect to it. */
static bool accepts(const RedisFixture *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof address.sun_path, "%s", f->socket);
        return fd >= 0 && connect(fd, (struct sockaddr *) &address, sizeof address) == 0;
}

void redis_fixture_start_server(RedisFixture *f, const char *const *options) {
        const char *argv[32] = { "redis-server", "--unixsocket", f->socket, "--port", "0", "--save", "", "--dir",
                f->folder, "--enable-debug-command", "yes" };
        size_t n = 11;

        while (options && *options)
                argv[n++] = *options++;
        f->server = fork();
        if (f->server == 0) {
                int null = open("/dev/null", O_RDWR | O_CLOEXEC);
                (void) dup2(null, STDOUT_FILENO);
                (void) execvp(argv[0], (char **) argv);
                _exit(77);
        }
        assert_true(f->server > 0);
        for (usec_t end = clock_monotonic() + PATIENCE_USEC; !accepts(f);) {
                int status;
                if (waitpid(f->server, &status, WNOHANG) > 0) {
                        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
                                exit(77); /* there is no redis-server here */
                        fail_msg("redis-server ended");
                }
                assert_true(clock_monotonic() < end);
                (void) poll(NULL, 0, 10);
        }
}

void redis_fixture_stop_server(RedisFixture *f) {
        if (f->server <= 0)
                return;
        (void) kill(f->server, SIGKILL);
        (void) waitpid(f->server, NULL, 0);
        f->server = 0;
        (void) unlink(f->socket);
}

void redis_fixture_freeze_server(RedisFixture *f) {
        int status;

        assert_int_equal(kill(f->server, SIGSTOP), 0);
        assert_int_equal(waitpid(f->server, &status, WUNTRACED), f->server); /* until then it may still answer */
        assert_true(WIFSTOPPED(status));
}

char *redis_fixture_cli(RedisFixture *f, const char *command) {
        char line[1024], *text = calloc(1, 65536);
        size_t n = 0, got;

        assert_non_null(text);
        (void) snprintf(line, sizeof line, "redis-cli -s %s %s 2>&1", f->socket, command);
        FILE *p = popen(line, "r");
        assert_non_null(p);
        while (n < 65535 && (got = fread(text + n, 1, 65535 - n, p)) > 0)
                n += got;
        (void) pclose(p);
        while (n > 0 && text[n - 1] == '\n')
                text[--n] = '\0';
        return text;
}

/* Returns the port, or 0 when it is not free. */
static unsigned try_port(unsigned port) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof a;
        _cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        a.sin_port = htons((uint16_t) port);
        if (fd < 0 || bind(fd, (struct sockaddr *) &a, sizeof a) < 0 ||
                getsockname(fd, (struct sockaddr *) &a, &size) < 0)
                return 0;
        return ntohs(a.sin_port);
}

unsigned redis_fixture_port(void) {
        for (;;) {
                unsigned port = try_port(0);
                if (port > 0 && port < 55000 && try_port(port + 10000) > 0)
                        return port;
        }
}

/* --- the store --- */

static void on_store(Store *s, bool available, const char *reason, void *userdata) {
        RedisFixture *f = userdata;

        assert_int_equal(s->available, available);
        assert_int_equal(available, reason[0] == '\0');
        if (available)
                f->n_ready++;
        else
                f->n_away++;
}

void redis_fixture_connect(RedisFixture *f) {
        assert_int_equal(store_redis_new(f->event, &f->settings, &f->store), 0);
        f->store->notify = on_store;
        f->store->userdata = f;
}

void redis_fixture_run(RedisFixture *f, usec_t usec) {
        usec_t end = clock_monotonic() + usec, now;

        while ((now = clock_monotonic()) < end)
                assert_true(sd_event_run(f->event, MIN(end - now, 10 * USEC_PER_MSEC)) >= 0);
}

void redis_fixture_wait(RedisFixture *f, bool available) {
        usec_t end = clock_monotonic() + PATIENCE_USEC;

        while (f->store->available != available) {
                if (clock_monotonic() > end)
                        fail_msg("the store is %s: %s", f->store->available ? "there" : "away", f->store->reason);
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        }
}

/* --- the fake --- */

void redis_fixture_fake(RedisFixture *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void) snprintf(address.sun_path, sizeof address.sun_path, "%s", f->socket);
        f->fake = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(f->fake >= 0);
        assert_int_equal(bind(f->fake, (struct sockaddr *) &address, sizeof address), 0);
        assert_int_equal(listen(f->fake, 8), 0);
}

void redis_fixture_fake_accept(RedisFixture *f) {
        usec_t end = clock_monotonic() + PATIENCE_USEC;
        char buf[65536];
        ssize_t n = -1;

        f->client = fd_close(f->client);
        while (f->client < 0) {
                assert_true(clock_monotonic() < end);
                assert_true(sd_event_run(f->event, 5 * USEC_PER_MSEC) >= 0);
                f->client = accept4(f->fake, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        }
        while (n <= 0) {
                assert_true(clock_monotonic() < end);
                assert_true(sd_event_run(f->event, 5 * USEC_PER_MSEC) >= 0);
                n = recv(f->client, buf, sizeof buf, 0);
        }
}

void redis_fixture_fake_say(RedisFixture *f, const char *text) {
        assert_int_equal(send(f->client, text, strlen(text), MSG_NOSIGNAL), (ssize_t) strlen(text));
}
