/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/backend.h"
#include "session/exec.h"

/* What process 1 sends to the worker, which meanwhile runs commands, kills them and lets go of them. The input is a
 * list of steps of 8 bytes. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEP 8U
#define N_EXECS 4U

typedef struct World {
        sd_event *event;
        Backend backend;
        Sandbox *sandbox;
        int init; /* process 1's end */
        Exec *execs[N_EXECS];
        bool killed;
} World;

static int refuse_start(Backend *b, Sandbox *s) {
        (void) b;
        (void) s;
        return -EAGAIN;
}

static void note_kill(Backend *b, Sandbox *s) {
        (void) s;
        CONTAINER_OF(b, World, backend)->killed = true;
}

static int no_usage(Backend *b, const Sandbox *s, BackendUsage *ret) {
        (void) b;
        (void) s;
        (void) ret;
        return -EOPNOTSUPP;
}

static int no_cgroup(Backend *b, const Sandbox *s, char *buf, size_t size) {
        (void) b;
        (void) s;
        (void) buf;
        (void) size;
        return -ENOENT;
}

static const BackendOps ops = { .start = refuse_start, .kill = note_kill, .usage = no_usage, .cgroup = no_cgroup };

static void check(bool condition) {
        if (!condition)
                abort();
}

static void world_begin(World *w) {
        static const SandboxSpec spec = { .image = "base" };
        int ends[2];

        *w = (World){ .backend = { .ops = &ops, .status = BACKEND_READY } };
        check(sd_event_new(&w->event) >= 0);
        w->sandbox = sandbox_new(&w->backend, &spec, NULL, NULL);
        check(w->sandbox && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        w->init = ends[1];
        check(fd_set_nonblock(w->init, true) == 0 && sandbox_attach(w->sandbox, w->event, ends[0]) == 0);
}

static void let_go(World *w, unsigned i) {
        w->execs[i] = exec_unref(w->execs[i]);
}

static void world_end(World *w) {
        for (unsigned i = 0; i < N_EXECS; i++)
                let_go(w, i);
        sandbox_set_state(w->sandbox, SANDBOX_ENDED);
        (void) sandbox_unref(w->sandbox);
        (void) fd_close(w->init);
        (void) sd_event_unref(w->event);
}

/* The descriptors that process 1 may have. */
static int make_fd(uint8_t kind) {
        switch (kind % 4) {
        case 0:
                return open("/dev/null", O_RDWR | O_CLOEXEC);
        case 1:
                return open("/dev/ptmx", O_RDWR | O_CLOEXEC | O_NOCTTY);
        case 2:
                return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        default:
                return open("/", O_PATH | O_CLOEXEC);
        }
}

static void tell(World *w, const void *data, size_t size, unsigned n_fds, uint8_t kind) {
        struct iovec iov = { .iov_base = (void *) data, .iov_len = size };
        int fds[3];

        for (unsigned i = 0; i < n_fds; i++)
                fds[i] = make_fd((uint8_t) (kind + i));
        for (unsigned i = 0; i < n_fds; i++)
                check(fds[i] >= 0);
        (void) message_send(w->init, &iov, 1, fds, n_fds);
        fds_close(fds, n_fds);
}

static void tell_event(World *w, const uint8_t s[static STEP]) {
        static const uint64_t numbers[] = { 0, 1, 1000, INT64_MAX, UINT64_MAX };
        InitEvent e = {
                .type = s[1] % (INIT_EVENT_MAX_ + 1),
                .exec = s[2] >= 0xf0 ? UINT32_MAX - (s[2] & 0xf) : s[2] % 8,
                .pid = s[3] == 0xff ? INT32_MIN : (int8_t) s[3],
                .status = s[4] << 8 | s[5],
                .error = (int8_t) s[6],
                .stage = s[7] & 7,
                .cpu_usec = numbers[s[4] % ELEMENTSOF(numbers)],
                .max_rss = numbers[s[5] % ELEMENTSOF(numbers)],
        };

        memset(e.text, s[6], sizeof e.text);
        tell(w, &e, sizeof e, (s[0] >> 3) & 3, s[7] >> 3);
}

static void act(World *w, const uint8_t s[static STEP]) {
        unsigned i = s[2] % N_EXECS;
        Error error = { 0 };

        if (s[1] == 0xff)
                (void) sandbox_end(w->sandbox);
        else if (s[1] % 8 < 3 && !w->execs[i]) {
                static const char text[] = "{\"argv\":[\"x\"],\"stdin\":\"abc\"}", pty[] = "{\"argv\":[\"x\"],\"pty\":"
                                                                                           "{\"rows\":1,\"cols\":1}}";
                _cleanup_exec_spec_ ExecSpec spec = { .output_max = 100 };
                const char *body = s[1] % 8 == 2 ? pty : text;
                check(exec_spec_read(&spec, body, strlen(body), NULL) == 0);
                (void) exec_start(w->event, w->sandbox, &spec, NULL, s[1] % 8 != 0, NULL, NULL, &w->execs[i], &error);
        } else if (s[1] % 8 == 3 && w->execs[i])
                let_go(w, i);
        else if (s[1] % 8 == 4 && w->execs[i])
                exec_kill(w->execs[i], EXEC_CANCELLED);
        else if (s[1] % 8 == 5 && w->execs[i])
                (void) exec_signal(w->execs[i], 15, &error);
        else if (s[1] % 8 == 6 && w->sandbox->control >= 0)
                (void) sandbox_resume(w->sandbox);
        else if (s[1] % 8 == 7 && w->execs[i])
                (void) exec_write(w->execs[i], "abc", 3, NULL, NULL, &error);
        error_clear(&error);
}

static void run_step(World *w, const uint8_t s[static STEP], const uint8_t *rest, size_t size) {
        static char buf[512]; /* what is asked of process 1 */

        if ((s[0] & 7) == 6)
                tell(w, rest, MIN((size_t) s[1] << (s[2] & 1), size), (s[0] >> 3) & 3, s[3]);
        else if ((s[0] & 7) == 7)
                act(w, s);
        else
                tell_event(w, s);
        while (sd_event_run(w->event, 0) > 0)
                ;
        while (recv(w->init, buf, sizeof buf, MSG_DONTWAIT | MSG_TRUNC) > 0)
                ;
        check(!w->killed || w->sandbox->state >= SANDBOX_DYING);
        check(w->sandbox->state != SANDBOX_EMPTY || w->sandbox->end_asked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        World w;

        world_begin(&w);
        for (unsigned n = 0; size >= STEP && n < 64; n++, data += STEP, size -= STEP)
                run_step(&w, data, data + STEP, size - STEP);
        world_end(&w);
        return 0;
}
