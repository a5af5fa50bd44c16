/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/redis-link.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "fetch/channel.h"
#include "store/redis-answer.h"

#define CONNECT_USEC (2 * USEC_PER_SEC)
#define RETRY_MIN_USEC (100 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (2 * USEC_PER_SEC)
#define FLAP_USEC (10 * USEC_PER_SEC)     /* a connection that breaks before that was none */
#define FLAP_MAX_USEC (30 * USEC_PER_SEC) /* between attempts, when all of them were such */
#define IDLE_USEC USEC_PER_SEC            /* without a command: is it still there? */
#define COMMANDS_MAX 65536U
#define OUT_MAX (16U * 1024U * 1024U) /* bytes that the server has not taken yet */
#define READ_SIZE (16U * 1024U)
#define READS_PER_TURN 64U

typedef enum LinkState {
        LINK_DOWN,
        LINK_CONNECTING,
        LINK_GREETING, /* log in, choose the database, see that it can be written to */
        LINK_READY,
} LinkState;

struct RedisCommand {
        RedisDone *done; /* NULL: nobody waits */
        void *userdata;
        usec_t deadline;
        bool greeting;
        TAILQ_ENTRY(RedisCommand) entry;
};

struct RedisLink {
        sd_event *event;               /* borrowed */
        const RedisSettings *settings; /* borrowed */
        Fetcher *fetcher; /* of its own: one with other connections closes those that seem idle to it */
        FetchServer *server;
        RedisNotify *notify;
        void *userdata;

        LinkState state;
        Channel *channel;
        RedisReader *reader;
        TAILQ_HEAD(, RedisCommand) commands;
        unsigned n_commands;
        char *out; /* owned */
        size_t out_used, out_sent, out_size;
        unsigned n_greetings; /* that are not answered yet */
        unsigned n_failures;  /* to connect, in a row */
        unsigned n_flaps;     /* connections that did not hold, in a row */
        usec_t ready_at, last_used;
        sd_event_source *flush, *clock, *retry;
        usec_t clock_at; /* monotonic: when it rings; 0: not at all */
        char address[INET6_ADDRSTRLEN];
        char reason[128];
};

/* --- going and coming back --- */

/* At the earlier of @at and what it is set to. */
static void arm_clock(RedisLink *l, usec_t at) {
        if (l->clock_at > 0 && l->clock_at <= at)
                return;
        l->clock_at = at;
        (void) sd_event_source_set_time(l->clock, at);
        (void) sd_event_source_set_enabled(l->clock, SD_EVENT_ONESHOT);
}

/* Twice as long each time, and not all coordinators at once. */
static usec_t retry_after(const RedisLink *l) {
        usec_t delay = l->n_flaps > 0 ? MIN(RETRY_MIN_USEC << MIN(l->n_flaps, 10U), FLAP_MAX_USEC)
                                      : MIN(RETRY_MIN_USEC << MIN(l->n_failures, 10U), RETRY_MAX_USEC);
        uint32_t random;

        if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
                random = (uint32_t) clock_realtime();
        return delay - delay / 4 + random % (delay / 2);
}

static void answer(RedisCommand *c, const redisReply *reply, int error) {
        RedisDone *done = c->done;
        void *userdata = c->userdata;

        free(c);
        if (done)
                done(reply, error, userdata);
}

static void close_channel(RedisLink *l) {
        l->channel = channel_free(l->channel);
        l->reader = redis_reader_free(l->reader);
        free(l->out);
        l->out = NULL;
        l->out_used = l->out_sent = l->out_size = 0;
        l->clock_at = 0;
        l->address[0] = '\0';
        (void) sd_event_source_set_enabled(l->clock, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(l->flush, SD_EVENT_OFF);
}

/* The connection is of no use, for @reason; all that wait for answers are told @error. */
static void fail(RedisLink *l, int error, const char *reason) {
        RedisCommand *c;
        TAILQ_HEAD(, RedisCommand) commands = TAILQ_HEAD_INITIALIZER(commands);

        (void) snprintf(l->reason, sizeof l->reason, "%s", reason[0] ? reason : "The server refuses");
        for (char *p = l->reason; *p; p++)
                if ((unsigned char) *p < ' ' || (unsigned char) *p >= 0x7f)
                        *p = '?';
        bool was_ready = l->state == LINK_READY;
        if (was_ready)
                l->n_flaps = clock_monotonic() < l->ready_at + FLAP_USEC ? l->n_flaps + 1 : 0;
        l->state = LINK_DOWN;
        close_channel(l);
        (void) sd_event_source_set_time_relative(l->retry, retry_after(l));
        (void) sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT);
        if (!was_ready) {
                l->n_failures++;
                l->n_flaps = 0;
        }
        TAILQ_CONCAT(&commands, &l->commands, entry);
        l->n_commands = 0;
        l->notify(l, false, l->reason, l->userdata);
        while ((c = TAILQ_FIRST(&commands))) {
                TAILQ_REMOVE(&commands, c, entry);
                answer(c, NULL, error);
        }
}

static void fail_errno(RedisLink *l, int error, const char *what) {
        char reason[128];

        (void) snprintf(reason, sizeof reason, "%s: %s", what, strerrordesc_np(-error));
        fail(l, -ENOTCONN, reason);
}

/* --- what goes out --- */

static void flush(RedisLink *l) {
        while (l->out_sent < l->out_used) {
                ssize_t n = channel_write(l->channel, l->out + l->out_sent, l->out_used - l->out_sent);
                if (n == -EAGAIN) {
                        channel_want_write(l->channel, true);
                        return;
                }
                if (n < 0) {
                        fail_errno(l, (int) n, "The connection broke");
                        return;
                }
                l->out_sent += (size_t) n;
        }
        l->out_used = l->out_sent = 0;
        channel_want_write(l->channel, false);
}

static int on_flush(sd_event_source *source, void *userdata) {
        RedisLink *l = userdata;

        (void) source;
        if (l->state >= LINK_GREETING)
                flush(l);
        return 0;
}

static int append(RedisLink *l, const char *bytes, size_t size) {
        if (l->out_sent > 0 && l->out_used + size > l->out_size) {
                memmove(l->out, l->out + l->out_sent, l->out_used - l->out_sent);
                l->out_used -= l->out_sent;
                l->out_sent = 0;
        }
        if (l->out_used + size > OUT_MAX)
                return -ENOBUFS;
        if (l->out_used + size > l->out_size) {
                size_t wanted = MAX(l->out_used + size, 2 * l->out_size);
                char *p = realloc(l->out, wanted);
                if (!p)
                        return -ENOMEM;
                l->out = p;
                l->out_size = wanted;
        }
        memcpy(l->out + l->out_used, bytes, size);
        l->out_used += size;
        return 0;
}

static int send_command(
        RedisLink *l, size_t argc, const char *const *argv, RedisDone *done, void *userdata, RedisCommand **ret) {
        char *text = NULL;

        if (l->n_commands >= COMMANDS_MAX)
                return -ENOBUFS;
        RedisCommand *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        int n = (int) redisFormatCommandArgv(&text, (int) argc, (const char **) argv, NULL);
        int r = n < 0 ? -ENOMEM : append(l, text, (size_t) n);
        redisFreeCommand(text);
        if (r < 0) {
                free(c);
                return r;
        }
        c->done = done;
        c->userdata = userdata;
        l->last_used = clock_monotonic();
        c->deadline = l->last_used + l->settings->timeout;
        TAILQ_INSERT_TAIL(&l->commands, c, entry);
        l->n_commands++;
        arm_clock(l, c->deadline);
        (void) sd_event_source_set_enabled(l->flush, SD_EVENT_ONESHOT);
        if (ret)
                *ret = c;
        return 0;
}

int redis_link_send(
        RedisLink *l, size_t argc, const char *const *argv, RedisDone *done, void *userdata, RedisCommand **ret) {
        return l->state == LINK_READY ? send_command(l, argc, argv, done, userdata, ret) : -ENOTCONN;
}

void redis_command_detach(RedisCommand *c) {
        c->done = NULL;
}

/* --- what comes in --- */

static void become_ready(RedisLink *l) {
        l->state = LINK_READY;
        l->ready_at = clock_monotonic();
        l->n_failures = 0;
        l->reason[0] = '\0';
        l->notify(l, true, "", l->userdata);
}

/* Returns false when the connection is not the one any more that it was. */
static bool take_reply(RedisLink *l, const redisReply *reply) {
        const Channel *channel = l->channel;
        RedisCommand *c = TAILQ_FIRST(&l->commands);

        if (!c) {
                fail(l, -ENOTCONN,
                        reply->type == REDIS_REPLY_ERROR ? reply->str : "The server answers what was not asked");
                return false;
        }
        bool refused = reply->type == REDIS_REPLY_ERROR && (c->greeting || redis_answer_is_failure(reply));
        TAILQ_REMOVE(&l->commands, c, entry);
        l->n_commands--;
        if (c->greeting && !refused && --l->n_greetings == 0)
                become_ready(l);
        if (l->channel == channel)
                answer(c, reply, 0);
        else
                free(c);
        if (refused && l->channel == channel)
                fail(l, -ENOTCONN, reply->str);
        return l->channel && l->channel == channel;
}

static bool take_replies(RedisLink *l) {
        redisReply *reply;
        int r;

        while ((r = redis_reader_next(l->reader, &reply)) > 0) {
                bool same = take_reply(l, reply);
                freeReplyObject(reply);
                if (!same)
                        return false;
        }
        if (r < 0)
                fail(l, -ENOTCONN, "The server does not speak the protocol of Redis");
        return r == 0;
}

static void on_readable(Channel *channel, void *userdata) {
        RedisLink *l = userdata;
        char buf[READ_SIZE];
        ssize_t n = 0;

        for (unsigned i = 0; i < READS_PER_TURN; i++) {
                n = channel_read(channel, buf, sizeof buf);
                if (n <= 0)
                        break;
                int r = redis_reader_feed(l->reader, buf, (size_t) n);
                if (r < 0) {
                        fail(l, -ENOTCONN, r == -EPROTO ? "The server's answer is too long" : "Out of memory");
                        return;
                }
                if (!take_replies(l))
                        return;
        }
        if (n == 0)
                fail(l, -ENOTCONN, "The server closed the connection");
        else if (n < 0 && n != -EAGAIN)
                fail_errno(l, (int) n, "The connection broke");
}

static void on_writable(Channel *channel, void *userdata) {
        (void) channel;
        flush(userdata);
}

/* --- time --- */

static void ping(RedisLink *l) {
        static const char *const command[] = { "PING" };

        if (send_command(l, ELEMENTSOF(command), command, NULL, NULL, NULL) < 0)
                arm_clock(l, clock_monotonic() + IDLE_USEC);
}

static int on_clock(sd_event_source *source, uint64_t usec, void *userdata) {
        RedisLink *l = userdata;
        RedisCommand *c = TAILQ_FIRST(&l->commands);
        usec_t now = clock_monotonic();

        (void) source;
        (void) usec;
        l->clock_at = 0;
        if (c && now >= c->deadline) { /* what came while we were busy came in time */
                const Channel *channel = l->channel;
                on_readable(l->channel, l);
                if (l->channel != channel)
                        return 0;
                c = TAILQ_FIRST(&l->commands);
        }
        if (c && now >= c->deadline)
                fail(l, -ETIMEDOUT, "The server does not answer in time");
        else if (c)
                arm_clock(l, c->deadline);
        else if (now >= l->last_used + IDLE_USEC)
                ping(l);
        else
                arm_clock(l, l->last_used + IDLE_USEC);
        return 0;
}

/* --- the connection --- */

static int greet(RedisLink *l, size_t argc, const char *const *argv) {
        RedisCommand *c = NULL;
        int r = send_command(l, argc, argv, NULL, NULL, &c);

        if (c) {
                c->greeting = true;
                l->n_greetings++;
        }
        return r;
}

static int greet_all(RedisLink *l) {
        const RedisSettings *s = l->settings;
        char database[16];
        /* what is needed later is tried now: a server that is read only, or full, is of no use */
        const char *const probe[] = { "EVAL", "redis.call('SET',KEYS[1],'1','PX','1000') return 1", "1",
                "sandboxd:probe" };
        int r = 0;

        l->n_greetings = 0;
        if (s->user[0])
                r = greet(l, 3, (const char *const[]){ "AUTH", s->user, s->password });
        else if (s->password[0])
                r = greet(l, 2, (const char *const[]){ "AUTH", s->password });
        if (r >= 0 && s->database > 0) {
                (void) snprintf(database, sizeof database, "%u", s->database);
                r = greet(l, 2, (const char *const[]){ "SELECT", database });
        }
        return r < 0 ? r : greet(l, ELEMENTSOF(probe), probe);
}

static void on_opened(Channel *channel, void *userdata) {
        RedisLink *l = userdata;
        int r = redis_reader_new(&l->reader);

        channel_local_address(channel, l->address);
        l->state = LINK_GREETING;
        if (r >= 0)
                r = greet_all(l);
        if (r < 0)
                fail_errno(l, r, "Cannot connect");
}

static void on_failed(Channel *channel, int error, void *userdata) {
        const char *trouble = channel_trouble(channel);
        char reason[128];

        if (!trouble) {
                fail_errno(userdata, error, "Cannot connect");
                return;
        }
        (void) snprintf(reason, sizeof reason, "Cannot connect: %s", trouble);
        fail(userdata, -ENOTCONN, reason);
}

static const ChannelOps channel_ops = {
        .opened = on_opened,
        .readable = on_readable,
        .writable = on_writable,
        .failed = on_failed,
};

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        RedisLink *l = userdata;

        (void) source;
        (void) usec;
        l->state = LINK_CONNECTING;
        int r = channel_open(l->server, l->settings->ca_file[0] ? l->settings->ca_file : NULL, CONNECT_USEC,
                &channel_ops, l, &l->channel);
        if (r < 0)
                fail_errno(l, r, "Cannot connect");
        return 0;
}

/* --- start and end --- */

static int make_server(RedisLink *l) {
        const RedisSettings *s = l->settings;
        _cleanup_free_ char *url = NULL;
        bool v6 = strchr(s->host, ':') != NULL;

        int n = s->host[0] == '/' ? asprintf(&url, "unix:%s", s->host)
                                  : asprintf(&url, "%s://%s%s%s:%u", s->tls ? "https" : "http", v6 ? "[" : "", s->host,
                                            v6 ? "]" : "", s->port);
        if (n < 0) {
                url = NULL;
                return -ENOMEM;
        }
        int r = fetcher_new(l->event, &l->fetcher);
        return r < 0 ? r : fetch_server_new(l->fetcher, url, &l->server);
}

static int make_sources(RedisLink *l) {
        int r = sd_event_add_defer(l->event, &l->flush, on_flush, l);

        if (r >= 0)
                r = sd_event_source_set_enabled(l->flush, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(l->event, &l->clock, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_clock, l);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->clock, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(l->event, &l->retry, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_retry, l);
        return r;
}

int redis_link_new(
        sd_event *event, const RedisSettings *settings, RedisNotify *notify, void *userdata, RedisLink **ret) {
        _cleanup_(redis_link_freep) RedisLink *l = calloc(1, sizeof *l);

        if (!l)
                return -ENOMEM;
        TAILQ_INIT(&l->commands);
        l->event = event;
        l->settings = settings;
        l->notify = notify;
        l->userdata = userdata;
        int r = make_server(l);
        if (r >= 0)
                r = make_sources(l);
        if (r < 0)
                return r;
        *ret = take_ptr(l);
        return 0;
}

RedisLink *redis_link_free(RedisLink *l) {
        RedisCommand *c;

        if (!l)
                return NULL;
        while ((c = TAILQ_FIRST(&l->commands))) {
                TAILQ_REMOVE(&l->commands, c, entry);
                free(c);
        }
        if (l->clock)
                close_channel(l);
        l->flush = sd_event_source_disable_unref(l->flush);
        l->clock = sd_event_source_disable_unref(l->clock);
        l->retry = sd_event_source_disable_unref(l->retry);
        l->server = fetch_server_free(l->server);
        l->fetcher = fetcher_free(l->fetcher);
        free(l);
        return NULL;
}

bool redis_link_is_ready(const RedisLink *l) {
        return l->state == LINK_READY;
}

const char *redis_link_local_address(const RedisLink *l) {
        return l->address;
}
