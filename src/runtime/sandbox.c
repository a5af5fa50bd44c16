/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "runtime/sandbox.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "runtime/backend.h"

#define EVENTS_PER_TURN 16
#define EVENTS_PER_REQUEST 3U /* of a command: started, ended; after a change of workers also gone */
#define EVENTS_SPARE 256U     /* of the sandbox itself, and of commands of a former worker */

Sandbox *sandbox_ref(Sandbox *s) {
        s->n_ref++;
        return s;
}

static void sandbox_detach(Sandbox *s) {
        s->control_source = sd_event_source_disable_unref(s->control_source);
        s->control = fd_close(s->control);
        s->data = fd_close(s->data); /* or what was written would take up memory for as long as we hold it */
}

Sandbox *sandbox_unref(Sandbox *s) {
        if (!s || --s->n_ref > 0)
                return NULL;
        assert(LIST_EMPTY(&s->jobs));
        sandbox_detach(s);
        free_counted(s);
        return NULL;
}

Sandbox *sandbox_new(Backend *backend, const SandboxSpec *spec, SandboxNotify *notify, void *userdata) {
        Sandbox *s = malloc(sizeof *s);

        if (!s)
                return NULL;
        *s = (Sandbox){
                .n_ref = 1,
                .backend = backend,
                .state = SANDBOX_STARTING,
                .spec = *spec,
                .notify = notify,
                .userdata = userdata,
                .control = -EBADF,
                .data = -EBADF,
        };
        LIST_INIT(&s->jobs);
        return s;
}

void sandbox_set_owner(Sandbox *s, SandboxNotify *notify, void *userdata) {
        s->notify = notify;
        s->userdata = userdata;
}

static void lose_jobs(Sandbox *s) {
        SandboxJob *j;

        while ((j = LIST_FIRST(&s->jobs))) {
                sandbox_forget(s, j);
                j->lost(j);
        }
}

void sandbox_set_state(Sandbox *s, SandboxState state) {
        if (state <= s->state)
                return;

        (void) sandbox_ref(s); /* the owner may let go of it while it is told */
        s->state = state;
        if (state >= SANDBOX_DYING) {
                if (state == SANDBOX_DYING && s->end_asked)
                        s->data = fd_close(s->data); /* what else it has to say is waited for */
                else
                        sandbox_detach(s);
                lose_jobs(s);
                if (s->companion)
                        s->companion_free(take_ptr(s->companion));
        }
        if (s->notify)
                s->notify(s, s->userdata);
        (void) sandbox_unref(s);
}

static SandboxJob *find_job(const Sandbox *s, uint32_t number) {
        SandboxJob *j;

        LIST_FOREACH(j, &s->jobs, entry)
        if (j->number == number)
                return j;
        return NULL;
}

/* Keeps what came with READY or RESUMED, when it is what it has to be: in memory, so that no question about it waits,
 * and of no other use. */
static int take_data(Sandbox *s, int *fd) {
        struct statfs st;

        if (*fd < 0)
                return 0;
        int flags = fcntl(*fd, F_GETFL);
        if (flags < 0 || !(flags & O_PATH) || fstatfs(*fd, &st) < 0 || st.f_type != TMPFS_MAGIC)
                return -EBADMSG;
        (void) fd_close(s->data);
        s->data = take_fd(*fd);
        return 0;
}

int sandbox_disk_used(const Sandbox *s, uint64_t *ret) {
        struct statfs st;

        if (s->data < 0 || fstatfs(s->data, &st) < 0 || st.f_bfree > st.f_blocks)
                return -ENODATA;
        *ret = (uint64_t) (st.f_blocks - st.f_bfree) * (uint64_t) st.f_bsize;
        return 0;
}

/* What comes from inside is not to be trusted: anything that is not of the protocol ends the sandbox. */
static int handle_event(Sandbox *s, const InitEvent *e, int *fd) {
        SandboxJob *j;
        int r;

        if (e->type == INIT_ENDING) {
                if (!s->end_asked)
                        return -EBADMSG;
                sandbox_set_state(s, SANDBOX_EMPTY);
                backend_kill(s->backend, s); /* whether it ends or not */
                return 0;
        }
        if (s->state >= SANDBOX_DYING)
                return 0; /* nobody wants to know any more */
        switch (e->type) {
        case INIT_READY:
                if (s->state != SANDBOX_STARTING || s->resuming)
                        return s->resuming ? 0 : -EBADMSG; /* it was new when the former worker ended */
                r = take_data(s, fd);
                if (r == 0)
                        sandbox_set_state(s, SANDBOX_READY);
                return r;
        case INIT_BROKEN:
                if (s->state != SANDBOX_STARTING)
                        return -EBADMSG;
                s->error = e->error > 0 && e->error < 4096 ? -e->error : -EIO;
                (void) snprintf(s->error_text, sizeof s->error_text, "%.*s", (int) sizeof e->text, e->text);
                return -ECHILD;
        case INIT_STARTED:
                j = find_job(s, e->exec);
                if (!j)
                        return 0;
                if (!j->started || j->has_started || e->pid <= 1)
                        return -EBADMSG;
                j->has_started = true;
                j->started(j, e, fd);
                return 0;
        case INIT_SIGNALLED:
                j = find_job(s, e->exec);
                if (j && j->signalled)
                        j->signalled(j);
                return 0;
        case INIT_REFUSED:
                if (e->stage == 0 || e->stage >= INIT_STAGE_MAX_ || e->error <= 0 || e->error >= 4096)
                        return -EBADMSG;
                j = find_job(s, e->exec);
                if (j) {
                        sandbox_forget(s, j);
                        j->refused(j, e);
                }
                return 0;
        case INIT_GONE:
                j = find_job(s, e->exec);
                if (j && s->resuming) {
                        sandbox_forget(s, j);
                        j->lost(j);
                }
                return 0;
        case INIT_RESUMED:
                if (!s->resuming)
                        return -EBADMSG;
                r = take_data(s, fd);
                if (r < 0)
                        return r;
                s->resuming = false;
                s->last_number = MAX(s->last_number, e->exec);
                sandbox_set_state(s, SANDBOX_READY);
                return 0;
        case INIT_EXITED:
                j = find_job(s, e->exec); /* none: the client gave it up */
                if (j) {
                        sandbox_forget(s, j);
                        j->exited(j, e);
                }
                return 0;
        default:
                return -EBADMSG;
        }
}

static int on_control(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Sandbox *s = userdata;
        int fds[MESSAGE_FDS_MAX], r = 0;
        size_t n_fds;
        InitEvent e;

        (void) source;
        (void) revents;
        (void) sandbox_ref(s);
        for (int i = 0; i < EVENTS_PER_TURN && r == 0 && s->control == fd; i++) {
                ssize_t n = message_recv(fd, &e, sizeof e, fds, &n_fds, MSG_DONTWAIT);
                if (n == -EAGAIN)
                        break;
                if (n != sizeof e) {
                        if (n > 0)
                                fds_close(fds, n_fds);
                        r = -EPIPE;
                        break;
                }
                for (size_t k = n_fds; k < MESSAGE_FDS_MAX; k++)
                        fds[k] = -EBADF;
                /* who tells more than there is to tell wants to keep us busy */
                s->n_events++;
                r = s->n_events > EVENTS_SPARE + EVENTS_PER_REQUEST * s->n_requests ? -EBADMSG
                                                                                    : handle_event(s, &e, &fds[0]);
                fds_close(fds, n_fds);
        }
        if (r < 0) {
                if (s->error == 0 && s->state < SANDBOX_DYING && (r == -EBADMSG || s->state == SANDBOX_STARTING)) {
                        s->error = r == -EBADMSG ? r : -ECHILD;
                        (void) snprintf(s->error_text, sizeof s->error_text, "%s",
                                r == -EBADMSG ? "process 1 does not keep to the protocol"
                                              : "process 1 was killed while it began");
                }
                sandbox_detach(s); /* it will not answer, so it is not asked */
                backend_kill(s->backend, s);
                sandbox_set_state(s, SANDBOX_DYING);
        }
        (void) sandbox_unref(s);
        return 0;
}

int sandbox_attach(Sandbox *s, sd_event *event, int control) {
        assert(s->control < 0);

        s->control = control;
        int r = fd_set_nonblock(control, true);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &s->control_source, control, EPOLLIN, on_control, s);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(s->control_source, "sandbox");
        return 0;
}

void sandbox_listen(Sandbox *s) {
        (void) on_control(s->control_source, s->control, EPOLLIN, s);
}

bool sandbox_is_alive(const Sandbox *s) {
        struct pollfd p = { .fd = s->control, .events = POLLIN };

        /* in a sandbox that waits, process 1 has nothing to say: whatever there is to read is its end */
        return s->state == SANDBOX_READY && s->control >= 0 && poll(&p, 1, 0) == 0;
}

int sandbox_run(
        Sandbox *s, SandboxJob *j, InitRequest *request, const char *strings, const int *streams, size_t n_streams) {
        if (s->state != SANDBOX_READY || s->control < 0)
                return -ENOTCONN;
        if (s->n_jobs >= INIT_EXECS_MAX)
                return -EMFILE;
        if (s->last_number == UINT32_MAX)
                return -EOVERFLOW;

        request->type = INIT_EXEC;
        request->exec = ++s->last_number;
        struct iovec iov[2] = {
                { .iov_base = request, .iov_len = sizeof *request },
                { .iov_base = (void *) strings, .iov_len = request->length },
        };
        int r = message_send(s->control, iov, 2, streams, n_streams);
        if (r < 0)
                return r;
        j->number = request->exec;
        j->has_started = false;
        LIST_INSERT_HEAD(&s->jobs, j, entry);
        s->n_jobs++;
        s->n_requests++;
        return 0;
}

static int send_signal(Sandbox *s, const SandboxJob *j, int signal, InitScope scope, uint32_t flags) {
        InitRequest request = {
                .type = INIT_SIGNAL,
                .flags = flags,
                .exec = j->number,
                .signal = (uint32_t) signal,
                .scope = scope,
        };
        struct iovec iov = { .iov_base = &request, .iov_len = sizeof request };

        s->n_requests++;
        return s->control >= 0 ? message_send(s->control, &iov, 1, NULL, 0) : -ENOTCONN;
}

bool sandbox_end(Sandbox *s) {
        InitRequest request = { .type = INIT_END };
        struct iovec iov = { .iov_base = &request, .iov_len = sizeof request };

        if (s->control >= 0 && s->state == SANDBOX_READY && !s->frozen)
                s->end_asked = message_send(s->control, &iov, 1, NULL, 0) == 0;
        return s->end_asked;
}

void sandbox_freeze(Sandbox *s, bool freeze) {
        if (s->frozen == freeze || s->state != SANDBOX_READY || !s->backend->ops->freeze)
                return;
        s->frozen = freeze;
        s->backend->ops->freeze(s->backend, s, freeze);
}

int sandbox_signal(Sandbox *s, const SandboxJob *j, int signal, InitScope scope) {
        return send_signal(s, j, signal, scope, 0);
}

int sandbox_signal_told(Sandbox *s, const SandboxJob *j, int signal, InitScope scope) {
        return send_signal(s, j, signal, scope, INIT_FLAG_STARTED);
}

void sandbox_expect(Sandbox *s, SandboxJob *j, uint32_t number) {
        j->number = number;
        s->last_number = MAX(s->last_number, number);
        LIST_INSERT_HEAD(&s->jobs, j, entry);
        s->n_jobs++;
        s->n_requests++;
}

int sandbox_resume(Sandbox *s) {
        uint32_t numbers[INIT_RESUME_MAX];
        InitRequest request = { .type = INIT_RESUME };
        const SandboxJob *j;

        s->resuming = true;
        LIST_FOREACH(j, &s->jobs, entry)
        if (request.argc < INIT_RESUME_MAX)
                numbers[request.argc++] = j->number;
        request.length = request.argc * (uint32_t) sizeof numbers[0];
        struct iovec iov[2] = {
                { .iov_base = &request, .iov_len = sizeof request },
                { .iov_base = numbers, .iov_len = request.length },
        };
        return message_send(s->control, iov, 2, NULL, 0);
}

void sandbox_forget(Sandbox *s, SandboxJob *j) {
        if (j->number == 0)
                return;
        LIST_REMOVE(j, entry);
        s->n_jobs--;
        j->number = 0;
}
