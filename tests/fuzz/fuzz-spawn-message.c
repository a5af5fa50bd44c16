/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/backend.h"

/* What the spawner sends to the worker, which meanwhile asks for sandboxes, kills them and lets go of them. The input
 * is a list of steps of 8 bytes. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEP 8U
#define N_SANDBOXES 8U

typedef struct World {
        sd_event *event;
        Backend *backend;
        int spawner;
        Sandbox *sandboxes[N_SANDBOXES];
        Sandbox *adopted[N_SANDBOXES];
        unsigned n_adopted;
        uint64_t cookies[N_SANDBOXES]; /* as asked */
        bool adopt;
} World;

static void check(bool condition) {
        if (!condition)
                abort();
}

static bool on_adopt(Sandbox *s, void *userdata) {
        World *w = userdata;

        if (!w->adopt || w->n_adopted == N_SANDBOXES)
                return false;
        w->adopted[w->n_adopted++] = sandbox_ref(s);
        return true;
}

/* Takes every second one. */
static void on_kept(Sandbox *s, uint32_t number, uint32_t flags, int fds[static KEPT_MAX], void *userdata) {
        (void) s;
        (void) number;
        (void) flags;
        (void) userdata;
        for (unsigned i = 0; i < KEPT_MAX; i += 2)
                fds[i] = fd_close(fds[i]);
}

static void world_begin(World *w) {
        int ends[2];

        *w = (World){ 0 };
        check(sd_event_new(&w->event) >= 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        w->spawner = ends[1];
        check(fd_set_nonblock(w->spawner, true) == 0);
        check(native_new(w->event, NULL, ends[0], NULL, NULL, &w->backend) == 0);
        w->backend->heir = (BackendHeir){ .adopt = on_adopt, .kept = on_kept, .userdata = w };
}

static void world_end(World *w) {
        w->backend = backend_free(w->backend);
        for (unsigned i = 0; i < N_SANDBOXES; i++) {
                check(!w->sandboxes[i] || w->sandboxes[i]->state == SANDBOX_ENDED);
                (void) sandbox_unref(w->sandboxes[i]);
                (void) sandbox_unref(w->adopted[i]);
        }
        (void) fd_close(w->spawner);
        (void) sd_event_unref(w->event);
}

static void say(World *w, const void *data, size_t size, unsigned n_fds) {
        struct iovec iov = { .iov_base = (void *) data, .iov_len = size };
        int fds[3], ends[2];

        for (unsigned i = 0; i < n_fds; i++) {
                check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
                fds[i] = ends[0];
                (void) close(ends[1]); /* process 1 is gone at once */
        }
        (void) message_send(w->spawner, &iov, 1, fds, n_fds);
        fds_close(fds, n_fds);
}

static void say_message(World *w, const uint8_t s[static STEP]) {
        SpawnMessage m = {
                .type = s[1] % (SPAWN_TYPE_MAX_ + 1),
                .flags = s[2],
                .cookie = s[3] < N_SANDBOXES ? w->cookies[s[3]] : s[3],
                .slot = s[4] >= 0xf0 ? UINT32_MAX - (s[4] & 0xf) : s[4] % 16,
                .generation = s[5] % 4,
                .error = (int8_t) s[6],
                .pid = s[7],
        };

        if (m.type == SPAWN_WELCOME)
                m.cookie = s[3] ? WIRE_VERSION : 0;
        memset(m.image, s[6], sizeof m.image);
        memset(m.text, s[7], sizeof m.text);
        say(w, &m, sizeof m, (s[0] >> 3) & 3);
}

static void act(World *w, const uint8_t s[static STEP]) {
        static const SandboxSpec spec = { .image = "base", .limits = { 1, 2, 3, 4 } };
        unsigned i = s[2] % N_SANDBOXES;
        BackendUsage usage;
        char path[64];

        w->adopt = s[3] & 1;
        if (s[1] % 4 == 0 && !w->sandboxes[i]) {
                (void) backend_start(w->backend, &spec, NULL, NULL, &w->sandboxes[i]);
                if (w->sandboxes[i])
                        w->cookies[i] = w->sandboxes[i]->cookie;
        } else if (s[1] % 4 == 1 && w->sandboxes[i])
                backend_kill(w->backend, w->sandboxes[i]);
        else if (s[1] % 4 == 2 && w->sandboxes[i])
                w->sandboxes[i] = sandbox_unref(w->sandboxes[i]);
        else if (w->sandboxes[i]) {
                (void) w->backend->ops->usage(w->backend, w->sandboxes[i], &usage);
                (void) w->backend->ops->cgroup(w->backend, w->sandboxes[i], path, s[3] % sizeof path + 1);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        SpawnMessage heard;
        World w;

        world_begin(&w);
        for (unsigned n = 0; size >= STEP && n < 64; n++, data += STEP, size -= STEP) {
                if ((data[0] & 7) == 6)
                        say(&w, data, MIN(size, (size_t) data[1] << 2), (data[0] >> 3) & 3);
                else if ((data[0] & 7) == 7)
                        act(&w, data);
                else
                        say_message(&w, data);
                while (sd_event_run(w.event, 0) > 0)
                        ;
                while (recv(w.spawner, &heard, sizeof heard, MSG_DONTWAIT | MSG_TRUNC) > 0)
                        ;
        }
        world_end(&w);
        return 0;
}
