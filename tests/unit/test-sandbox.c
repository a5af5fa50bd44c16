/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "fake-backend.h"

/* What process 1 may say, and that each lie ends its sandbox or has no effect. */

typedef struct Job {
        SandboxJob job;
        unsigned n_started, n_refused, n_exited, n_lost, n_signalled;
        int fd; /* owned: taken out of STARTED */
        bool take;
        InitEvent last;
} Job;

typedef struct Fixture {
        sd_event *event;
        FakeBackend *backend;
        FakeSandbox *fake;
        Sandbox *sandbox; /* owned */
        unsigned n_notified;
        SandboxState states[8];
        bool drop; /* the owner lets go of it as soon as it is told anything */
        unsigned n_fds;
        Job jobs[4];
} Fixture;

static unsigned count_fds(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 1024; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static void on_state(Sandbox *s, void *userdata) {
        Fixture *f = userdata;

        if (f->n_notified < ELEMENTSOF(f->states))
                f->states[f->n_notified] = s->state;
        f->n_notified++;
        if (f->drop) {
                sandbox_set_owner(s, NULL, NULL);
                f->sandbox = sandbox_unref(f->sandbox);
        }
}

static int setup_starting(void **state) {
        static const SandboxSpec spec = { .image = "base" };
        Fixture *f = calloc(1, sizeof *f);

        if (!f || sd_event_new(&f->event) < 0)
                return -1;
        f->backend = fake_backend_new(f->event);
        f->backend->automatic_ready = f->backend->automatic_end = false;
        if (backend_start(&f->backend->backend, &spec, on_state, f, &f->sandbox) < 0)
                return -1;
        run_ready(f->event);
        f->fake = fake_sandbox(f->backend, 0);
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ||
                sandbox_attach(f->sandbox, f->event, ends[0]) < 0)
                return -1;
        f->fake->init = ends[1];
        for (size_t i = 0; i < ELEMENTSOF(f->jobs); i++)
                f->jobs[i].fd = -EBADF;
        *state = f;
        return 0;
}

static int setup(void **state) {
        if (setup_starting(state) < 0)
                return -1;
        Fixture *f = *state;
        fake_tell(f->fake, &(InitEvent){ .type = INIT_READY });
        run_ready(f->event);
        if (f->n_notified != 1 || f->sandbox->state != SANDBOX_READY)
                return -1;
        f->n_fds = count_fds();
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(f->jobs); i++) {
                if (f->sandbox)
                        sandbox_forget(f->sandbox, &f->jobs[i].job);
                (void) fd_close(f->jobs[i].fd);
        }
        f->sandbox = sandbox_unref(f->sandbox);
        f->backend = fake_backend_free(f->backend);
        f->event = sd_event_unref(f->event);
        free(f);
        return 0;
}

static void on_started(SandboxJob *j, const InitEvent *e, int *fd) {
        Job *job = CONTAINER_OF(j, Job, job);

        job->n_started++;
        job->last = *e;
        if (job->take)
                job->fd = take_fd(*fd);
}

static void on_refused(SandboxJob *j, const InitEvent *e) {
        Job *job = CONTAINER_OF(j, Job, job);

        job->n_refused++;
        job->last = *e;
}

static void on_exited(SandboxJob *j, const InitEvent *e) {
        Job *job = CONTAINER_OF(j, Job, job);

        job->n_exited++;
        job->last = *e;
}

static void on_lost(SandboxJob *j) {
        CONTAINER_OF(j, Job, job)->n_lost++;
}

/* Starts command @index; its number is @index + 1. */
static Job *run(Fixture *f, unsigned index) {
        Job *j = &f->jobs[index];
        InitRequest q = { .argc = 1, .length = 3 };
        int streams[3] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO };

        j->job = (SandboxJob){ .started = on_started, .refused = on_refused, .exited = on_exited, .lost = on_lost };
        assert_int_equal(sandbox_run(f->sandbox, &j->job, &q, "/\0x", streams, 3), 0);
        assert_int_equal(j->job.number, index + 1);
        return j;
}

static void tell(Fixture *f, const InitEvent *e) {
        fake_tell(f->fake, e);
        run_ready(f->event);
}

static void assert_killed(Fixture *f) {
        assert_int_equal(f->backend->n_killed, 1);
        assert_int_equal(f->sandbox->state, SANDBOX_DYING);
        assert_int_equal(f->sandbox->control, -EBADF);
        assert_int_equal(f->sandbox->n_jobs, 0);
        assert_int_equal(count_fds(), f->n_fds - 1); /* our end of the socket, and nothing that came over it */
}

static void assert_unmoved(Fixture *f) {
        assert_int_equal(f->backend->n_killed, 0);
        assert_int_equal(f->sandbox->state, SANDBOX_READY);
        assert_int_equal(count_fds(), f->n_fds);
}

/* Sends bytes and @n copies of a descriptor as they are. */
static void send_raw(Fixture *f, const void *data, size_t size, size_t n, int fd) {
        union {
                char buf[CMSG_SPACE(sizeof(int) * 253)];
                struct cmsghdr align;
        } control;
        struct iovec iov = { .iov_base = (void *) data, .iov_len = size };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n > 0) {
                memset(&control, 0, sizeof control);
                m.msg_control = control.buf;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * n);
                struct cmsghdr *h = CMSG_FIRSTHDR(&m);
                h->cmsg_level = SOL_SOCKET;
                h->cmsg_type = SCM_RIGHTS;
                h->cmsg_len = CMSG_LEN(sizeof(int) * n);
                for (size_t i = 0; i < n; i++)
                        memcpy(CMSG_DATA(h) + i * sizeof fd, &fd, sizeof fd);
        }
        assert_int_equal(sendmsg(f->fake->init, &m, MSG_NOSIGNAL), size);
}

/* --- the beginning --- */

static void test_ready(void **state) {
        Fixture *f = *state;

        assert_int_equal(f->states[0], SANDBOX_READY);
        assert_true(sandbox_is_alive(f->sandbox));
        assert_unmoved(f);
}

static void test_broken_says_why(void **state) {
        Fixture *f = *state;

        tell(f, &(InitEvent){ .type = INIT_BROKEN, .error = ENOSPC, .text = "mounting /tmp" });
        assert_int_equal(f->sandbox->error, -ENOSPC);
        assert_string_equal(f->sandbox->error_text, "mounting /tmp");
        assert_int_equal(f->sandbox->state, SANDBOX_DYING);
        assert_int_equal(f->backend->n_killed, 1);
}

static void test_broken_with_nonsense(void **state) {
        static const int32_t errors[] = { 0, -5, 4096, INT32_MIN, INT32_MAX };

        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                Fixture *f = *state;
                InitEvent e = { .type = INIT_BROKEN, .error = errors[i] };
                memset(e.text, 'x', sizeof e.text); /* not ended */
                tell(f, &e);
                assert_int_equal(f->sandbox->error, -EIO);
                assert_int_equal(strlen(f->sandbox->error_text), sizeof e.text);
                assert_int_equal(teardown(state), 0);
                assert_int_equal(setup_starting(state), 0);
        }
}

static void test_gone_before_it_was_ready(void **state) {
        Fixture *f = *state;

        fake_die(f->fake);
        run_ready(f->event);
        assert_int_equal(f->sandbox->state, SANDBOX_DYING);
        assert_true(f->sandbox->error < 0);
        assert_true(f->sandbox->error_text[0] != '\0');
}

static void test_commands_before_it_is_ready(void **state) {
        Fixture *f = *state;
        InitRequest q = { .argc = 1, .length = 3 };
        int streams[3] = { 0, 1, 2 };

        assert_false(sandbox_is_alive(f->sandbox));
        assert_int_equal(sandbox_run(f->sandbox, &f->jobs[0].job, &q, "/\0x", streams, 3), -ENOTCONN);
        tell(f, &(InitEvent){ .type = INIT_EXITED, .exec = 1 });
        assert_int_equal(f->sandbox->state, SANDBOX_STARTING);
}

/* --- how full it is --- */

/* Something in memory, opened with O_PATH alone. @size: of it. */
static int open_data(size_t size) {
        _cleanup_fd_ int memory = memfd_create("data", MFD_CLOEXEC);
        char path[32];

        assert_true(memory >= 0);
        assert_int_equal(ftruncate(memory, (off_t) size), 0);
        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
        int fd = open(path, O_PATH | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static void tell_with(Fixture *f, uint32_t type, int fd) {
        InitEvent e = { .type = type };
        struct iovec iov = { .iov_base = &e, .iov_len = sizeof e };

        assert_int_equal(message_send(f->fake->init, &iov, 1, &fd, 1), 0);
        (void) fd_close(fd);
        run_ready(f->event);
}

static void test_how_full_it_is_comes_with_its_beginning(void **state) {
        Fixture *f = *state;
        struct statfs st;
        uint64_t used;

        assert_int_equal(sandbox_disk_used(f->sandbox, &used), -ENODATA);
        tell_with(f, INIT_READY, open_data(1));
        assert_int_equal(f->sandbox->state, SANDBOX_READY);
        unsigned n = count_fds();
        assert_int_equal(fstatfs(f->sandbox->data, &st), 0);
        /* that of the test's own has no size, so there is nothing to take away from */
        assert_int_equal(sandbox_disk_used(f->sandbox, &used), st.f_bfree > st.f_blocks ? -ENODATA : 0);
        sandbox_set_state(f->sandbox, SANDBOX_DYING);
        assert_int_equal(sandbox_disk_used(f->sandbox, &used), -ENODATA);
        assert_int_equal(count_fds(), n - 2); /* the socket, and this */
}

static void test_how_full_it_is_after_a_change_of_workers(void **state) {
        Fixture *f = *state;

        assert_int_equal(sandbox_resume(f->sandbox), 0);
        tell_with(f, INIT_RESUMED, open_data(1));
        assert_int_equal(f->sandbox->state, SANDBOX_READY);
        assert_true(f->sandbox->data >= 0);
}

static void test_descriptors_that_tell_nothing_of_it(void **state) {
        int fds[] = { open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC), memfd_create("data", MFD_CLOEXEC),
                eventfd(0, EFD_CLOEXEC) };

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                Fixture *f = *state;
                assert_true(fds[i] >= 0);
                tell_with(f, INIT_READY, fds[i]);
                assert_int_equal(f->sandbox->state, SANDBOX_DYING);
                assert_int_equal(f->sandbox->error, -EBADMSG);
                assert_int_equal(f->sandbox->data, -EBADF);
                if (i + 1 < ELEMENTSOF(fds)) {
                        assert_int_equal(teardown(state), 0);
                        assert_int_equal(setup_starting(state), 0);
                }
        }
}

/* --- lies --- */

static void test_ready_twice(void **state) {
        Fixture *f = *state;

        tell(f, &(InitEvent){ .type = INIT_READY });
        assert_killed(f);
        assert_int_equal(f->n_notified, 2);
}

static void test_broken_after_ready(void **state) {
        tell(*state, &(InitEvent){ .type = INIT_BROKEN, .error = 5 });
        assert_killed(*state);
}

static void test_an_end_that_nobody_asked_for(void **state) {
        Fixture *f = *state;

        tell(f, &(InitEvent){ .type = INIT_ENDING });
        assert_killed(f);
        assert_int_equal(f->n_notified, 2); /* it never was said to be empty */
        assert_int_equal(f->sandbox->error, -EBADMSG);

        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup_starting(state), 0);
        f = *state;
        assert_false(sandbox_end(f->sandbox)); /* it cannot be asked yet */
        tell(f, &(InitEvent){ .type = INIT_ENDING });
        assert_int_equal(f->sandbox->state, SANDBOX_DYING);
        assert_int_equal(f->backend->n_killed, 1);
}

static void test_types_that_are_none(void **state) {
        static const uint32_t types[] = { 0, INIT_EVENT_MAX_, 77, INT32_MAX, UINT32_MAX };

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                if (i > 0) {
                        assert_int_equal(teardown(state), 0);
                        assert_int_equal(setup(state), 0);
                }
                tell(*state, &(InitEvent){ .type = types[i] });
                assert_killed(*state);
        }
}

static void test_sizes_that_are_wrong(void **state) {
        static const size_t sizes[] = { 0, 1, 4, sizeof(InitEvent) - 1, sizeof(InitEvent) + 1, 4096, 100000 };
        static char data[100000];

        ((InitEvent *) data)->type = INIT_EXITED;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                for (size_t n_fds = 0; n_fds <= 2; n_fds++) {
                        Fixture *f = *state;
                        send_raw(f, data, sizes[i], n_fds, STDERR_FILENO);
                        run_ready(f->event);
                        assert_killed(f);
                        assert_int_equal(teardown(state), 0);
                        assert_int_equal(setup(state), 0);
                }
}

static void test_commands_that_nobody_knows(void **state) {
        static const uint32_t numbers[] = { 0, 2, 77, INT32_MAX, UINT32_MAX };
        Fixture *f = *state;
        Job *j = run(f, 0);

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                tell(f, &(InitEvent){ .type = INIT_EXITED, .exec = numbers[i] });
                tell(f, &(InitEvent){ .type = INIT_STARTED, .exec = numbers[i], .pid = 7 });
                tell(f, &(InitEvent){ .type = INIT_REFUSED, .exec = numbers[i], .error = 1, .stage = INIT_STAGE_FORK });
                tell(f, &(InitEvent){ .type = INIT_GONE, .exec = numbers[i] });
        }
        assert_unmoved(f);
        assert_int_equal(j->n_started + j->n_refused + j->n_exited + j->n_lost, 0);
        assert_int_equal(f->sandbox->n_jobs, 1);
}

static unsigned n_signalled;

static void on_signalled(SandboxJob *j) {
        (void) j;
        n_signalled++;
}

/* That a signal was sent is told for commands that nobody knows, that did not ask, and that have ended. */
static void test_signals_that_nobody_sent(void **state) {
        static const uint32_t numbers[] = { 0, 3, 77, UINT32_MAX };
        Fixture *f = *state;
        Job *j = run(f, 0), *other = run(f, 1);

        n_signalled = 0;
        j->job.signalled = on_signalled;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                tell(f, &(InitEvent){ .type = INIT_SIGNALLED, .exec = numbers[i], .error = INT32_MIN, .pid = -1 });
        tell(f, &(InitEvent){ .type = INIT_SIGNALLED, .exec = 2 }); /* it has no wish to know */
        assert_int_equal(n_signalled, 0);
        tell(f, &(InitEvent){ .type = INIT_SIGNALLED, .exec = 1 });
        assert_int_equal(n_signalled, 1);
        tell(f, &(InitEvent){ .type = INIT_EXITED, .exec = 1 });
        tell(f, &(InitEvent){ .type = INIT_SIGNALLED, .exec = 1 });
        assert_int_equal(n_signalled, 1);
        assert_int_equal(other->n_exited + other->n_lost, 0);
        assert_int_equal(f->sandbox->n_jobs, 1);
        assert_unmoved(f);
}

static void test_exited_twice(void **state) {
        Fixture *f = *state;
        Job *j = run(f, 0);

        tell(f, &(InitEvent){ .type = INIT_EXITED, .exec = 1 });
        tell(f, &(InitEvent){ .type = INIT_EXITED, .exec = 1 });
        tell(f, &(InitEvent){ .type = INIT_STARTED, .exec = 1, .pid = 5 });
        assert_int_equal(j->n_exited, 1);
        assert_int_equal(j->n_started, 0);
        assert_int_equal(f->sandbox->n_jobs, 0);
        assert_unmoved(f);
}

static void test_huge_numbers(void **state) {
        Fixture *f = *state;
        Job *j = run(f, 0);

        tell(f, &(InitEvent){ .type = INIT_EXITED,
                        .exec = 1,
                        .pid = INT32_MIN,
                        .status = INT32_MIN,
                        .error = INT32_MIN,
                        .stage = UINT32_MAX,
                        .cpu_usec = UINT64_MAX,
                        .max_rss = UINT64_MAX });
        assert_int_equal(j->n_exited, 1);
        assert_unmoved(f);
}

static void test_started_with_a_pid_that_is_none(void **state) {
        static const int32_t pids[] = { 0, 1, -1, INT32_MIN };

        for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
                Fixture *f = *state;
                Job *j = run(f, 0);
                tell(f, &(InitEvent){ .type = INIT_STARTED, .exec = 1, .pid = pids[i] });
                assert_int_equal(j->n_started, 0);
                assert_int_equal(j->n_lost, 1);
                assert_killed(f);
                assert_int_equal(teardown(state), 0);
                assert_int_equal(setup(state), 0);
        }
}

static void test_started_twice(void **state) {
        Fixture *f = *state;
        Job *j = run(f, 0);

        tell(f, &(InitEvent){ .type = INIT_STARTED, .exec = 1, .pid = 5 });
        assert_int_equal(j->n_started, 1);
        tell(f, &(InitEvent){ .type = INIT_STARTED, .exec = 1, .pid = 6 });
        assert_int_equal(j->n_started, 1);
        assert_killed(f);
}

static void test_started_for_who_did_not_ask(void **state) {
        Fixture *f = *state;
        Job *j = run(f, 0);

        j->job.started = NULL;
        tell(f, &(InitEvent){ .type = INIT_STARTED, .exec = 1, .pid = 5 });
        assert_killed(f);
}

static void test_refused_without_reason(void **state) {
        static const struct {
                int32_t error;
                uint32_t stage;
        } rows[] = {
                { 0, INIT_STAGE_CWD },
                { -1, INIT_STAGE_CWD },
                { 4096, INIT_STAGE_CWD },
                { INT32_MIN, INIT_STAGE_CWD },
                { 5, 0 },
                { 5, INIT_STAGE_MAX_ },
                { 5, UINT32_MAX },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Fixture *f = *state;
                Job *j = run(f, 0);
                tell(f, &(InitEvent){
                                .type = INIT_REFUSED, .exec = 1, .error = rows[i].error, .stage = rows[i].stage });
                assert_int_equal(j->n_refused, 0);
                assert_int_equal(j->n_lost, 1);
                assert_killed(f);
                assert_int_equal(teardown(state), 0);
                assert_int_equal(setup(state), 0);
        }
}

static void test_resumed_without_being_asked(void **state) {
        tell(*state, &(InitEvent){ .type = INIT_RESUMED, .exec = 5 });
        assert_killed(*state);
}

static void test_numbers_do_not_wrap(void **state) {
        Fixture *f = *state;
        InitRequest q = { .argc = 1, .length = 3 };
        int streams[3] = { 0, 1, 2 };

        f->sandbox->resuming = true;
        tell(f, &(InitEvent){ .type = INIT_RESUMED, .exec = UINT32_MAX });
        assert_int_equal(sandbox_run(f->sandbox, &f->jobs[0].job, &q, "/\0x", streams, 3), -EOVERFLOW);
        assert_int_equal(f->sandbox->n_jobs, 0);
        assert_int_equal(f->jobs[0].job.number, 0);
}

static void test_descriptors_are_not_taken(void **state) {
        static const size_t counts[] = { 1, 2, MESSAGE_FDS_MAX, MESSAGE_FDS_MAX + 1, 100, 253 };
        InitEvent e = { .type = INIT_EXITED, .exec = 77 };

        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                Fixture *f = *state;
                send_raw(f, &e, sizeof e, counts[i], STDERR_FILENO);
                run_ready(f->event);
                if (counts[i] <= MESSAGE_FDS_MAX)
                        assert_unmoved(f);
                else
                        assert_killed(f);
                assert_int_equal(teardown(state), 0);
                assert_int_equal(setup(state), 0);
        }
}

static void test_a_descriptor_of_a_command_is_its_own(void **state) {
        Fixture *f = *state;
        Job *keeps = run(f, 0), *leaves = run(f, 1);
        InitEvent e = { .type = INIT_STARTED, .exec = 1, .pid = 5 };

        keeps->take = true;
        send_raw(f, &e, sizeof e, 3, STDERR_FILENO);
        e.exec = 2;
        send_raw(f, &e, sizeof e, 3, STDERR_FILENO);
        run_ready(f->event);
        assert_true(keeps->fd >= 0);
        assert_int_equal(leaves->n_started, 1);
        assert_int_equal(count_fds(), f->n_fds + 1);
}

static void test_no_descriptor_is_no_descriptor(void **state) {
        Fixture *f = *state;
        Job *j = run(f, 0);

        j->take = true;
        tell(f, &(InitEvent){ .type = INIT_STARTED, .exec = 1, .pid = 5 });
        assert_int_equal(j->fd, -EBADF);
}

static int on_other(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        unsigned *n = userdata;

        (void) source;
        (void) fd;
        (void) revents;
        (*n)++;
        return 0;
}

static void test_a_flood_ends_the_sandbox(void **state) {
        Fixture *f = *state;
        InitEvent e = { .type = INIT_EXITED, .exec = 77 };
        sd_event_source *other = NULL;
        unsigned n_other = 0, n_sent = 0;

        int always = eventfd(1, EFD_CLOEXEC);
        assert_true(sd_event_add_io(f->event, &other, always, EPOLLIN, on_other, &n_other) >= 0);
        while (f->sandbox->state == SANDBOX_READY) {
                while (send(f->fake->init, &e, sizeof e, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof e)
                        n_sent++;
                assert_true(n_sent < 100000);
                assert_true(sd_event_run(f->event, 0) >= 0);
        }
        assert_true(n_other > 5); /* others have had their turns */
        sd_event_source_disable_unref(other);
        (void) close(always);
        assert_killed(f);
}

static void test_as_much_as_it_was_asked_for_is_no_flood(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < 2000; i++) {
                Job *j = &f->jobs[0];
                InitRequest q = { .argc = 1, .length = 3 }, asked;
                int streams[3] = { 0, 1, 2 };
                j->job = (SandboxJob){
                        .started = on_started, .refused = on_refused, .exited = on_exited, .lost = on_lost
                };
                assert_int_equal(sandbox_run(f->sandbox, &j->job, &q, "/\0x", streams, 3), 0);
                (void) fake_asked(f->fake, &asked, NULL, 0, NULL);
                assert_int_equal(sandbox_signal(f->sandbox, &j->job, 15, INIT_SCOPE_GROUP), 0);
                (void) fake_asked(f->fake, &asked, NULL, 0, NULL);
                tell(f, &(InitEvent){ .type = INIT_STARTED, .exec = i + 1, .pid = 5 });
                tell(f, &(InitEvent){ .type = INIT_EXITED, .exec = i + 1 });
        }
        assert_int_equal(f->jobs[0].n_exited, 2000);
        assert_unmoved(f);
}

/* --- the end --- */

/* As a backend and a session's end do. */
static void ask_to_end(Fixture *f) {
        assert_true(sandbox_end(f->sandbox));
        sandbox_set_state(f->sandbox, SANDBOX_DYING);
        assert_int_equal(f->sandbox->data, -EBADF);
        assert_true(f->sandbox->control >= 0);
}

static void test_it_says_that_it_ends(void **state) {
        Fixture *f = *state;
        Job *j = run(f, 0);

        ask_to_end(f);
        assert_int_equal(j->n_lost, 1);
        tell(f, &(InitEvent){ .type = INIT_EXITED, .exec = 1 }); /* as it was before it knew */
        tell(f, &(InitEvent){ .type = INIT_ENDING });
        assert_int_equal(f->sandbox->state, SANDBOX_EMPTY);
        assert_int_equal(f->states[2], SANDBOX_EMPTY);
        assert_int_equal(f->backend->n_killed, 1);
        assert_int_equal(j->n_exited, 0);
        assert_int_equal(count_fds(), f->n_fds - 1);
        assert_int_equal(f->n_notified, 3);
}

static void test_what_else_it_says_while_it_ends(void **state) {
        static const uint32_t types[] = { INIT_READY, INIT_BROKEN, INIT_RESUMED, INIT_REFUSED, INIT_SIGNALLED, 77 };
        Fixture *f = *state;
        InitEvent e = { .type = INIT_EXITED };

        ask_to_end(f);
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                tell_with(f, types[i], open_data(1));
        assert_int_equal(f->sandbox->state, SANDBOX_DYING);
        assert_int_equal(f->sandbox->data, -EBADF);
        assert_int_equal(count_fds(), f->n_fds);
        assert_int_equal(f->backend->n_killed, 0); /* that is up to who asked */

        while (f->sandbox->control >= 0) { /* it is not listened to for ever */
                (void) send(f->fake->init, &e, sizeof e, MSG_NOSIGNAL | MSG_DONTWAIT);
                assert_true(sd_event_run(f->event, 0) >= 0);
        }
        assert_int_equal(f->backend->n_killed, 1);
        assert_int_equal(f->sandbox->state, SANDBOX_DYING);
        assert_int_equal(f->sandbox->error, 0);
        assert_int_equal(count_fds(), f->n_fds - 1);
}

static void test_gone(void **state) {
        Fixture *f = *state;
        Job *a = run(f, 0), *b = run(f, 1);

        fake_die(f->fake);
        assert_false(sandbox_is_alive(f->sandbox)); /* before anybody was told */
        run_ready(f->event);
        assert_int_equal(a->n_lost, 1);
        assert_int_equal(b->n_lost, 1);
        assert_int_equal(f->sandbox->state, SANDBOX_DYING);
        assert_int_equal(f->sandbox->error, 0);
        InitRequest q = { .argc = 1, .length = 3 };
        int streams[3] = { 0, 1, 2 };
        assert_int_equal(sandbox_run(f->sandbox, &f->jobs[2].job, &q, "/\0x", streams, 3), -ENOTCONN);
        assert_int_equal(sandbox_signal(f->sandbox, &a->job, 9, INIT_SCOPE_GROUP), -ENOTCONN);
}

static void test_an_owner_that_lets_go(void **state) {
        Fixture *f = *state;

        f->drop = true;
        tell(f, &(InitEvent){ .type = 77 });
        assert_null(f->sandbox);
        assert_int_equal(f->backend->n_killed, 1);
}

static void test_who_does_not_read_blocks_nobody(void **state) {
        Fixture *f = *state;
        static char strings[INIT_STRINGS_MAX];
        static SandboxJob jobs[INIT_EXECS_MAX];
        InitRequest q = { .argc = 1, .length = sizeof strings };
        int streams[3] = { 0, 1, 2 }, r = 0;
        unsigned n = 0;

        for (; n < INIT_EXECS_MAX && r == 0; n++) {
                jobs[n] = (SandboxJob){ .refused = on_refused, .exited = on_exited };
                r = sandbox_run(f->sandbox, &jobs[n], &q, strings, streams, 3);
        }
        assert_int_equal(r, -EAGAIN);
        assert_int_equal(f->sandbox->n_jobs, n - 1);
        while (n-- > 0)
                sandbox_forget(f->sandbox, &jobs[n]);
}

static void test_forgotten_commands(void **state) {
        Fixture *f = *state;
        Job *j = run(f, 0);

        sandbox_forget(f->sandbox, &j->job);
        sandbox_forget(f->sandbox, &j->job);
        assert_int_equal(f->sandbox->n_jobs, 0);
        tell(f, &(InitEvent){ .type = INIT_EXITED, .exec = 1 });
        assert_int_equal(j->n_exited, 0);
        assert_unmoved(f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_STARTING(name) cmocka_unit_test_setup_teardown(name, setup_starting, teardown)
                TEST(test_ready),
                TEST_STARTING(test_broken_says_why),
                TEST_STARTING(test_broken_with_nonsense),
                TEST_STARTING(test_gone_before_it_was_ready),
                TEST_STARTING(test_commands_before_it_is_ready),
                TEST_STARTING(test_how_full_it_is_comes_with_its_beginning),
                TEST(test_how_full_it_is_after_a_change_of_workers),
                TEST_STARTING(test_descriptors_that_tell_nothing_of_it),
                TEST(test_ready_twice),
                TEST(test_broken_after_ready),
                TEST(test_an_end_that_nobody_asked_for),
                TEST(test_types_that_are_none),
                TEST(test_sizes_that_are_wrong),
                TEST(test_commands_that_nobody_knows),
                TEST(test_signals_that_nobody_sent),
                TEST(test_exited_twice),
                TEST(test_huge_numbers),
                TEST(test_started_with_a_pid_that_is_none),
                TEST(test_started_twice),
                TEST(test_started_for_who_did_not_ask),
                TEST(test_refused_without_reason),
                TEST(test_resumed_without_being_asked),
                TEST(test_numbers_do_not_wrap),
                TEST(test_descriptors_are_not_taken),
                TEST(test_a_descriptor_of_a_command_is_its_own),
                TEST(test_no_descriptor_is_no_descriptor),
                TEST(test_a_flood_ends_the_sandbox),
                TEST(test_as_much_as_it_was_asked_for_is_no_flood),
                TEST(test_gone),
                TEST(test_it_says_that_it_ends),
                TEST(test_what_else_it_says_while_it_ends),
                TEST(test_an_owner_that_lets_go),
                TEST(test_who_does_not_read_blocks_nobody),
                TEST(test_forgotten_commands),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
