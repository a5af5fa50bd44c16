/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/fd.h"

/* The spawner's loop waits for events: the steps are made one by one instead. Its log goes nowhere. */
static char discarded[1024];
#define dprintf(fd, ...) snprintf(discarded, sizeof discarded, __VA_ARGS__)
#include "../../src/spawner/spawner.c"

/* What the worker and the zygote send to the spawner. The input is a list of steps of 8 bytes. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEP 8U

static int zygote = -EBADF, zygote_life = -EBADF; /* the zygote's ends */
static unsigned n_zygotes;

static void check(bool condition) {
        if (!condition)
                abort();
}

int launch_program(int *ret_fd) {
        *ret_fd = eventfd(0, EFD_CLOEXEC);
        return *ret_fd < 0 ? -errno : 0;
}

int launch_zygote(int program, int userns, const char *images, int *ret_sock, int *ret_pidfd) {
        int ends[2], life[2];

        (void) program;
        (void) userns;
        (void) images;
        if (++n_zygotes > 8)
                return -EAGAIN;
        zygote = fd_close(zygote);
        zygote_life = fd_close(zygote_life);
        check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        check(pipe2(life, O_CLOEXEC) == 0);
        *ret_sock = ends[0];
        zygote = ends[1];
        *ret_pidfd = life[0]; /* like that of a process: readable at its end */
        zygote_life = life[1];
        return 0;
}

static void send_as(int sock, const void *data, size_t size, unsigned n_fds) {
        struct iovec iov = { .iov_base = (void *) data, .iov_len = size };
        int fds[3];

        if (sock < 0)
                return;
        for (unsigned i = 0; i < n_fds; i++) {
                fds[i] = eventfd(i & 1, EFD_CLOEXEC); /* a process that has ended, or one that lives */
                check(fds[i] >= 0);
        }
        (void) message_send(sock, &iov, 1, fds, n_fds);
        fds_close(fds, n_fds);
}

static void tell_as_worker(int worker, const uint8_t s[static STEP], const Spawner *spawner) {
        static const Limits good = { LIMIT_MEMORY_MIN, LIMIT_DISK_MIN, LIMIT_CPU_QUOTA_MIN, LIMIT_PIDS_MIN };
        SpawnMessage m = {
                .type = s[1] % (SPAWN_TYPE_MAX_ + 1),
                .flags = s[2],
                .cookie = s[3],
                .slot = s[4] >= 0xf0 ? UINT32_MAX - (s[4] & 0xf) : s[4] % 8,
                .limits = good,
                .image = "base",
        };

        if (m.type == SPAWN_HELLO)
                m.cookie = s[3] ? WIRE_VERSION : 0;
        if (spawner->table.slots && m.slot < spawner->table.counters->n_used)
                m.generation = spawner->table.slots[m.slot].generation - (s[5] == 1);
        if (s[6] & 1)
                memset(m.image, s[7], sizeof m.image);
        if (s[6] & 2)
                memset(&m.limits, s[7], sizeof m.limits);
        if (s[6] & 4)
                m.calls = s[7];
        send_as(worker, &m, sizeof m, (s[0] >> 3) & 3);
}

static void tell_as_zygote(const uint8_t s[static STEP]) {
        ZygoteMessage m = {
                .type = s[1] % (ZYGOTE_DONE + 2),
                .error = (int8_t) s[2],
                .cookie = s[3],
                .identity = s[4] == 0xff ? UINT32_MAX : s[4] % 12,
                .pid = s[5],
                .flags = s[6],
        };

        memset(m.text, s[7], sizeof m.text);
        send_as(zygote, &m, sizeof m, (s[0] >> 3) & 1);
}

static void turn(Spawner *s) {
        for (unsigned i = 0; i < 4 && !s->stopping; i++)
                if (loop_once(s, 0) < 0)
                        s->stopping = true;
                else
                        (void) blank_tend(s);
}

static void drain(int fd) {
        char buf[1024];
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds;

        while (fd >= 0 && message_recv(fd, buf, sizeof buf, fds, &n_fds, MSG_DONTWAIT) > 0)
                fds_close(fds, n_fds);
}

static void spawner_clear(Spawner *s) {
        for (uint32_t i = 0; s->table.slots && i < s->table.counters->n_used; i++) {
                Slot *slot = &s->table.slots[i];
                if (slot->state != SLOT_FREE)
                        slot_release(&s->table, slot);
                slot_close(&slot->netns);
        }
        check(s->table.n_busy == 0);
        for (unsigned i = 0; i < s->held->n_spares; i++)
                slot_close(&s->held->spares[i]);
        int fds[] = { s->epoll, s->signals, s->program, s->zygote, s->zygote_pidfd, s->held->worker };
        free(s->table.identities);
        state_free(&s->state);
        fds_close(fds, ELEMENTSOF(fds));
        zygote = fd_close(zygote);
        zygote_life = fd_close(zygote_life);
        n_zygotes = 0;
}

static unsigned count_descriptors(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Spawner s = SPAWNER_INIT;
        unsigned n_open = count_descriptors();
        int ends[2];

        check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        check(state_new(&s.state) == 0);
        s.held = s.state.head;
        s.held->worker = ends[0];
        s.held->exit_with_worker = true;
        check(prepare(&s) == 0);
        for (unsigned n = 0; size >= STEP && n < 64 && !s.stopping; n++, data += STEP, size -= STEP) {
                if ((data[0] & 7) == 6)
                        send_as(data[1] & 1 ? zygote : ends[1], data, MIN(size, (size_t) data[2] << 2), data[3] & 3);
                else if ((data[0] & 7) == 7 && data[1] == 0)
                        zygote_life = fd_close(zygote_life); /* it ends */
                else if (data[0] & 1)
                        tell_as_worker(ends[1], data, &s);
                else
                        tell_as_zygote(data);
                turn(&s);
                drain(ends[1]);
                drain(zygote);
        }
        (void) close(ends[1]);
        if (s.held->worker >= 0) { /* it sees the end, and drops what waited */
                s.stopping = false;
                turn(&s);
        }
        check(s.held->worker < 0 && !s.outgoing);
        spawner_clear(&s);
        check(count_descriptors() == n_open);
        return 0;
}
