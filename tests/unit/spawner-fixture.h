/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/fd.h"

/* A spawner whose worker and zygote are played by the test, which includes this once. */

/* The spawner's loop waits for events: it is turned by hand instead. Its log goes nowhere. */
static char discarded[1024];
#define dprintf(fd, ...) snprintf(discarded, sizeof discarded, __VA_ARGS__)
#include "../../src/spawner/spawner.c"

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
static bool zygote_refuses; /* to make any sandbox */

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
        if (m.type == ZYGOTE_CREATE && zygote_refuses)
                answer(&(ZygoteMessage){ .type = ZYGOTE_DONE, .cookie = m.cookie, .error = EIO }, -EBADF);
        else if (m.type == ZYGOTE_CREATE) {
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
