/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/fd.h"

/* The spawner's loop waits for events: it is turned by hand instead. Its log goes nowhere. */
static char discarded[1024];
#define dprintf(fd, ...) snprintf(discarded, sizeof discarded, __VA_ARGS__)
#include "../../src/spawner/spawner.c"

/* The test plays the worker and the zygote. */

#define N_IDENTITIES 33U
#define MADE_MAX 64U

typedef struct Made {
        ZygoteMessage request;
        int control; /* owned: process 1's end */
        int life;    /* owned: its process ends with it */
} Made;

static int zygote = -EBADF, worker = -EBADF;
static Made made[MADE_MAX];
static unsigned n_made;
static uint64_t last_cookie;

int launch_program(int *ret_fd) {
        *ret_fd = eventfd(0, EFD_CLOEXEC);
        return 0;
}

int launch_zygote(int program, int userns, const char *images, int *ret_sock, int *ret_pidfd) {
        int ends[2];

        (void) program;
        (void) userns;
        (void) images;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        zygote = fd_close(zygote);
        zygote = ends[1];
        *ret_sock = ends[0];
        *ret_pidfd = eventfd(0, EFD_CLOEXEC);
        return 0;
}

static void answer(const ZygoteMessage *m, int fd) {
        struct iovec iov = { .iov_base = (void *) m, .iov_len = sizeof *m };

        assert_int_equal(message_send(zygote, &iov, 1, &fd, fd >= 0 ? 1 : 0), 0);
        (void) fd_close(fd);
}

/* Answers one request of the spawner. Returns false when there is none. */
static bool zygote_works(void) {
        int fds[MESSAGE_FDS_MAX], life[2];
        size_t n_fds;
        ZygoteMessage m;

        if (message_recv(zygote, &m, sizeof m, fds, &n_fds, MSG_DONTWAIT) != sizeof m)
                return false;
        if (m.type == ZYGOTE_CREATE) {
                assert_true(n_made < MADE_MAX && n_fds >= 2);
                assert_int_equal(pipe2(life, O_CLOEXEC), 0);
                made[n_made++] = (Made){ .request = m, .control = take_fd(fds[0]), .life = life[1] };
                answer(&(ZygoteMessage){ .type = ZYGOTE_DONE, .cookie = m.cookie, .pid = 100 + n_made }, life[0]);
        } else if (m.type == ZYGOTE_NETNS)
                answer(&m, eventfd(0, EFD_CLOEXEC));
        else if (m.type == ZYGOTE_CLEAR)
                answer(&m, -EBADF);
        fds_close(fds, n_fds);
        return true;
}

static void turn(Spawner *s) {
        bool worked;

        do {
                s->blanks.due = 0; /* no leisure here */
                (void) blank_tend(s);
                for (unsigned i = 0; i < 4; i++)
                        assert_int_equal(loop_once(s, 0), 0);
                worked = zygote_works();
        } while (worked);
}

static SpawnMessage heard(void) {
        SpawnMessage m = { 0 };
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds = 0;

        (void) message_recv(worker, &m, sizeof m, fds, &n_fds, MSG_DONTWAIT);
        fds_close(fds, n_fds);
        return m;
}

static void say(Spawner *s, SpawnMessage m) {
        struct iovec iov = { .iov_base = &m, .iov_len = sizeof m };

        assert_int_equal(message_send(worker, &iov, 1, NULL, 0), 0);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(loop_once(s, 0), 0);
}

static Limits limits_of(uint64_t disk, uint32_t pids) {
        return (Limits){ .memory = 64 * MIB, .disk = disk, .cpu_quota = 50000, .pids = pids };
}

static void ask(Spawner *s, uint64_t disk, uint32_t pids, uint32_t flags) {
        say(s, (SpawnMessage){ .type = SPAWN_CREATE,
                       .cookie = ++last_cookie,
                       .flags = flags,
                       .limits = limits_of(disk, pids),
                       .image = "base-1" });
}

/* What was asked for last is there, in its slot. */
static const Slot *expect_created(const Spawner *s) {
        SpawnMessage m = heard();

        assert_int_equal(m.type, SPAWN_CREATED);
        assert_int_equal(m.cookie, last_cookie);
        assert_int_equal(s->table.slots[m.slot].generation, m.generation);
        return &s->table.slots[m.slot];
}

static void expect_silence(void) {
        assert_int_equal(heard().type, 0);
}

static unsigned n_blanks_made(void) {
        unsigned n = 0;

        for (unsigned i = 0; i < n_made; i++)
                n += (made[i].request.flags & ZYGOTE_BLANK) != 0;
        return n;
}

/* The first thing that process 1 of what was made @i-th is told. */
static bool told_limits(unsigned i, Limits *ret) {
        struct {
                InitRequest head;
                Limits limits;
        } m;

        if (recv(made[i].control, &m, sizeof m, MSG_DONTWAIT) != sizeof m)
                return false;
        assert_int_equal(m.head.type, INIT_LIMIT);
        assert_int_equal(m.head.length, sizeof m.limits);
        *ret = m.limits;
        return true;
}

static void connect_worker(Spawner *s) {
        int ends[2];

        worker = fd_close(worker);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        worker = ends[1];
        s->held->worker = ends[0];
}

static int setup(void **state) {
        Spawner *s = calloc(1, sizeof *s);

        if (!s)
                return -1;
        *s = (Spawner) SPAWNER_INIT;
        assert_int_equal(state_new(&s->state), 0);
        s->held = s->state.head;
        connect_worker(s);
        assert_int_equal(prepare(s), 0);
        answer(&(ZygoteMessage){ .type = ZYGOTE_HELLO, .identity = N_IDENTITIES }, -EBADF);
        turn(s);
        say(s, (SpawnMessage){ .type = SPAWN_HELLO, .cookie = WIRE_VERSION, .flags = SPAWN_KNOWS_CLEARED });
        assert_int_equal(heard().type, SPAWN_WELCOME);
        assert_int_equal(heard().type, SPAWN_SYNCED);
        *state = s;
        return 0;
}

static int teardown(void **state) {
        Spawner *s = *state;
        int fds[] = { s->epoll, s->signals, s->program, s->zygote, s->zygote_pidfd, s->held->worker, worker, zygote };

        for (uint32_t i = 0; i < s->table.counters->n_used; i++) {
                Slot *slot = &s->table.slots[i];
                if (slot->state != SLOT_FREE)
                        slot_release(&s->table, slot);
                slot_close(&slot->netns);
        }
        for (unsigned i = 0; i < s->held->n_spares; i++)
                slot_close(&s->held->spares[i]);
        for (unsigned i = 0; i < n_made; i++) {
                (void) fd_close(made[i].control);
                (void) fd_close(made[i].life);
        }
        n_made = 0;
        free(s->table.identities);
        state_free(&s->state);
        fds_close(fds, ELEMENTSOF(fds));
        worker = zygote = -EBADF;
        free(s);
        return 0;
}

/* Two requests of a kind: blanks of it follow. */
static void stock(Spawner *s) {
        for (unsigned i = 0; i < 2; i++) {
                ask(s, MIB, 10, 0);
                turn(s);
                (void) expect_created(s);
        }
        assert_int_equal(n_blanks_made(), BLANKS_MAX);
        assert_int_equal(s->blanks.n, BLANKS_MAX);
        expect_silence();
}

static void test_kind_that_is_asked_for_twice_is_made_ahead(void **state) {
        Spawner *s = *state;

        ask(s, MIB, 10, 0);
        turn(s);
        assert_int_equal(n_blanks_made(), 0);
        (void) expect_created(s);
        ask(s, MIB, 10, 0);
        turn(s);
        assert_int_equal(n_blanks_made(), BLANKS_MAX);
        for (unsigned i = 0; i < n_made; i++) {
                Limits l;
                assert_string_equal(made[i].request.image, "base-1");
                assert_false(told_limits(i, &l));
        }
}

static void test_request_gets_a_blank_with_its_limits(void **state) {
        Spawner *s = *state;
        Limits l;

        stock(s);
        ask(s, MIB, 77, 0); /* answered before the zygote does anything */
        const Slot *slot = expect_created(s);
        assert_int_equal(slot->limits.pids, 77);
        assert_false(blank_is(slot));
        assert_true(told_limits(2, &l)); /* the oldest, after those that were asked for */
        assert_int_equal(l.pids, 77);
        assert_int_equal(l.disk, MIB);
        assert_int_equal(s->blanks.n, BLANKS_MAX - 1);
        turn(s);
        assert_int_equal(s->blanks.n, BLANKS_MAX);
}

static void test_no_blank_serves_twice(void **state) {
        Spawner *s = *state;
        bool used[N_IDENTITIES] = { false };

        stock(s);
        for (unsigned i = 0; i < 3 * BLANKS_MAX; i++) {
                ask(s, MIB, 10, 0);
                turn(s);
                const Slot *slot = expect_created(s);
                assert_false(used[slot_index(&s->table, slot)]);
                used[slot_index(&s->table, slot)] = true;
        }
}

static void test_other_size_is_made_from_the_start(void **state) {
        Spawner *s = *state;
        unsigned before;

        stock(s);
        before = n_made;
        ask(s, 2 * MIB, 10, 0);
        expect_silence();
        turn(s);
        (void) expect_created(s);
        assert_int_equal(n_made, before + 1); /* and once is by chance */
        assert_false(made[before].request.flags & ZYGOTE_BLANK);
        assert_int_equal(made[before].request.limits.disk, 2 * MIB);
}

static void test_stock_follows_what_is_asked_for(void **state) {
        Spawner *s = *state;

        stock(s);
        for (unsigned i = 0; i < 2; i++) {
                ask(s, 2 * MIB, 10, 0);
                turn(s);
                (void) expect_created(s);
        }
        close(take_fd(made[2].life)); /* the oldest was told to make room */
        turn(s);
        expect_silence();
        ask(s, 2 * MIB, 11, 0);
        (void) expect_created(s);
        ask(s, MIB, 11, 0);
        (void) expect_created(s);
}

static void test_pools_leave_blanks_to_those_who_wait(void **state) {
        Spawner *s = *state;

        stock(s);
        ask(s, MIB, 10, SPAWN_AHEAD);
        expect_silence();
        turn(s);
        (void) expect_created(s);
        assert_int_equal(s->blanks.n, BLANKS_MAX);
}

static void end_all_made(Spawner *s, unsigned from) {
        for (unsigned i = from; i < n_made; i++)
                made[i].life = fd_close(made[i].life);
        turn(s);
}

static void test_images_that_change_end_all(void **state) {
        Spawner *s = *state;

        stock(s);
        say(s, (SpawnMessage){ .type = SPAWN_FORGET });
        assert_int_equal(s->blanks.n, 0);
        end_all_made(s, 2);
        expect_silence(); /* nobody knew of them */
        assert_int_equal(s->table.n_busy, 2);
        assert_int_equal(n_blanks_made(), BLANKS_MAX);
}

static void test_blank_that_ends_is_not_made_again_and_again(void **state) {
        Spawner *s = *state;

        stock(s);
        end_all_made(s, 2);
        expect_silence();
        assert_int_equal(s->table.n_busy, 2);
        assert_int_equal(n_blanks_made(), BLANKS_MAX);
        ask(s, MIB, 10, 0);
        turn(s);
        (void) expect_created(s);
        assert_int_equal(n_blanks_made(), BLANKS_MAX);
}

static void test_blank_that_has_just_ended_is_not_given(void **state) {
        Spawner *s = *state;

        stock(s);
        made[2].control = fd_close(made[2].control);
        ask(s, MIB, 10, 0);
        const Slot *slot = expect_created(s);
        assert_int_equal(slot->pid, 100 + 4);
        assert_int_equal(s->blanks.n, BLANKS_MAX - 2);
}

static void test_next_worker_is_not_told_of_blanks(void **state) {
        Spawner *s = *state;

        stock(s);
        link_drop(s);
        connect_worker(s);
        assert_int_equal(spawner_watch(s, s->held->worker, SOURCE_WORKER, 0), 0);
        say(s, (SpawnMessage){ .type = SPAWN_HELLO, .cookie = WIRE_VERSION });
        assert_int_equal(heard().type, SPAWN_WELCOME);
        assert_int_equal(heard().type, SPAWN_SLOT);
        assert_int_equal(heard().type, SPAWN_SLOT);
        assert_int_equal(heard().type, SPAWN_SYNCED);
        expect_silence();
}

static void test_process_that_follows_ends_them(void **state) {
        Spawner *s = *state;
        unsigned dying = 0;

        stock(s);
        for (uint32_t i = 0; i < s->table.counters->n_used; i++)
                if (s->table.slots[i].pidfd >= 0)
                        assert_int_equal(epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->table.slots[i].pidfd, NULL), 0);
        free(s->table.identities);
        s->blanks.n = 0;
        assert_int_equal(resume_state(s), 0);
        for (uint32_t i = 0; i < s->table.counters->n_used; i++)
                dying += s->table.slots[i].state == SLOT_DYING && blank_is(&s->table.slots[i]);
        assert_int_equal(dying, BLANKS_MAX);
        assert_int_equal(s->table.n_busy, 2 + BLANKS_MAX);
}

static void test_places_are_for_those_who_ask(void **state) {
        Spawner *s = *state;

        for (unsigned i = 0; i < N_IDENTITIES - 1; i++) {
                ask(s, MIB, 10, 0);
                turn(s);
                (void) expect_created(s);
                for (unsigned k = 0; k < n_made; k++) /* what was told to end does */
                        if ((made[k].request.flags & ZYGOTE_BLANK) && i == (N_IDENTITIES - 1) / 4 * 3)
                                made[k].life = s->table.slots[made[k].request.cookie].state == SLOT_DYING
                                                       ? fd_close(made[k].life)
                                                       : made[k].life;
                turn(s);
        }
        assert_int_equal(s->blanks.n, 0);
        assert_int_equal(s->table.n_busy, N_IDENTITIES - 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_kind_that_is_asked_for_twice_is_made_ahead),
                TEST(test_request_gets_a_blank_with_its_limits),
                TEST(test_no_blank_serves_twice),
                TEST(test_other_size_is_made_from_the_start),
                TEST(test_stock_follows_what_is_asked_for),
                TEST(test_pools_leave_blanks_to_those_who_wait),
                TEST(test_images_that_change_end_all),
                TEST(test_blank_that_ends_is_not_made_again_and_again),
                TEST(test_blank_that_has_just_ended_is_not_given),
                TEST(test_next_worker_is_not_told_of_blanks),
                TEST(test_process_that_follows_ends_them),
                TEST(test_places_are_for_those_who_ask),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
