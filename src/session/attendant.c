/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session/attendant.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/backend.h"
#include "session/manager-internal.h"

#define IDLE_USEC (10 * USEC_PER_SEC)
#define PATIENCE_USEC (30 * USEC_PER_SEC)
#define ANSWERS_PER_TURN 8

typedef TAILQ_HEAD(AttendantQuestions, AttendantQuestion) AttendantQuestions;

struct Attendant {
        unsigned n_ref;   /* the session's, the job's, and of whoever calls back */
        Session *session; /* borrowed; NULL: it is let go */
        Sandbox *sandbox; /* owned while its process is there */
        SandboxJob job;
        int sock; /* owned */
        sd_event_source *source, *timer;
        AttendantQuestions unsent, sent;
};

static void question_free(AttendantQuestion *q) {
        free(q->message);
        free(q);
}

static void conclude(AttendantQuestion *q, AttendantResult result, uint32_t error, FileAnswer *answer) {
        if (!q->forgotten)
                q->answered(q, result, error, answer);
        else
                free(answer);
        question_free(q);
}

static Attendant *attendant_unref(Attendant *a) {
        if (--a->n_ref > 0)
                return NULL;
        assert(TAILQ_EMPTY(&a->unsent) && TAILQ_EMPTY(&a->sent));
        a->source = sd_event_source_disable_unref(a->source);
        a->timer = sd_event_source_disable_unref(a->timer);
        a->sock = fd_close(a->sock);
        (void) sandbox_unref(a->sandbox);
        free_counted(a);
        return NULL;
}

/* Takes no more questions: with its socket it ends by itself, unless it cannot. Those that wait get @result. */
static void let_go(Attendant *a, AttendantResult result, uint32_t error) {
        AttendantQuestions *lists[] = { &a->sent, &a->unsent };
        Session *s = take_ptr(a->session);
        AttendantQuestion *q;

        a->n_ref++;
        a->source = sd_event_source_disable_unref(a->source);
        a->timer = sd_event_source_disable_unref(a->timer);
        a->sock = fd_close(a->sock);
        if (s && s->attendant == a) {
                s->attendant = NULL;
                a->n_ref--;
        }
        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                while ((q = TAILQ_FIRST(lists[i]))) {
                        TAILQ_REMOVE(lists[i], q, entry);
                        conclude(q, result, error, NULL);
                }
        (void) attendant_unref(a);
}

Attendant *attendant_free(Attendant *a) {
        if (a)
                let_go(a, ATTENDANT_LOST, 0);
        return NULL;
}

static void kill_process(Attendant *a) {
        if (a->sandbox)
                (void) sandbox_signal(a->sandbox, &a->job, SIGKILL, INIT_SCOPE_EVERYTHING);
}

/* --- time --- */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Attendant *a = userdata;

        (void) source;
        (void) usec;
        if (TAILQ_EMPTY(&a->sent) && TAILQ_EMPTY(&a->unsent)) {
                let_go(a, ATTENDANT_LOST, 0);
                return 0;
        }
        kill_process(a);
        let_go(a, ATTENDANT_SILENT, 0);
        return 0;
}

static void set_timer(Attendant *a) {
        bool busy = !TAILQ_EMPTY(&a->sent) || !TAILQ_EMPTY(&a->unsent);

        (void) sd_event_source_set_time_relative(a->timer, busy ? PATIENCE_USEC : IDLE_USEC);
        (void) sd_event_source_set_enabled(a->timer, SD_EVENT_ONESHOT);
}

/* --- what process 1 tells --- */

static void process_over(Attendant *a, AttendantResult result, uint32_t error) {
        let_go(a, result, error);
        a->sandbox = sandbox_unref(a->sandbox);
        (void) attendant_unref(a);
}

static void on_exited(SandboxJob *j, const InitEvent *e) {
        Attendant *a = CONTAINER_OF(j, Attendant, job);
        BackendUsage u;
        bool oom = false;

        (void) e;
        if (a->sandbox->backend->ops->usage(a->sandbox->backend, a->sandbox, &u) == 0) {
                oom = u.oom_kills > a->sandbox->seen_oom_kills;
                a->sandbox->seen_oom_kills = u.oom_kills;
        }
        process_over(a, oom ? ATTENDANT_NO_MEMORY : ATTENDANT_KILLED, 0);
}

static void on_refused(SandboxJob *j, const InitEvent *e) {
        process_over(CONTAINER_OF(j, Attendant, job), ATTENDANT_NO_PROCESS, (uint32_t) e->error);
}

static void on_lost(SandboxJob *j) {
        process_over(CONTAINER_OF(j, Attendant, job), ATTENDANT_LOST, 0);
}

/* --- questions and answers --- */

static void watch(Attendant *a) {
        (void) sd_event_source_set_io_events(a->source, EPOLLIN | (TAILQ_EMPTY(&a->unsent) ? 0U : EPOLLOUT));
        set_timer(a);
}

/* Sends what can be. */
static void send_questions(Attendant *a) {
        AttendantQuestion *q;

        while ((q = TAILQ_FIRST(&a->unsent))) {
                ssize_t n = send(a->sock, q->message, q->length, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0)
                        break; /* full, or it has ended: that is told */
                TAILQ_REMOVE(&a->unsent, q, entry);
                TAILQ_INSERT_TAIL(&a->sent, q, entry);
                free(take_ptr(q->message));
        }
}

/* Returns false when there is none now, or no more. */
static bool receive_answer(Attendant *a) {
        AttendantQuestion *q = TAILQ_FIRST(&a->sent);
        FileAnswer *answer = malloc(FILE_ANSWER_SIZE_MAX); /* pages of it are there once they are written to */

        ssize_t n = answer ? recv(a->sock, answer, FILE_ANSWER_SIZE_MAX, MSG_DONTWAIT) : -1;
        if (n < 0 && answer && (errno == EAGAIN || errno == EINTR)) {
                free(answer);
                return false;
        }
        if (n < (ssize_t) sizeof *answer || (size_t) n != sizeof *answer + answer->length || !q) {
                free(answer);
                kill_process(a);
                let_go(a, ATTENDANT_KILLED, 0);
                return false;
        }
        TAILQ_REMOVE(&a->sent, q, entry);
        conclude(q, ATTENDANT_ANSWERED, 0, answer);
        return a->session && !TAILQ_EMPTY(&a->sent);
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Attendant *a = userdata;

        (void) source;
        (void) fd;
        (void) revents;
        a->n_ref++;
        send_questions(a);
        for (int i = 0; i < ANSWERS_PER_TURN && receive_answer(a); i++)
                ;
        if (a->session)
                watch(a);
        (void) attendant_unref(a);
        return 0;
}

/* --- its beginning --- */

static int start_process(Attendant *a, int theirs) {
        static const char strings[] = SANDBOX_HOME "\0serve";
        InitRequest request = { .flags = INIT_FLAG_BUILTIN, .argc = 1, .length = sizeof strings };
        _cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        int fds[4] = { null, null, null, theirs };

        return null < 0 ? -errno : sandbox_run(a->sandbox, &a->job, &request, strings, fds, 4);
}

static int attendant_new(Session *s, Attendant **ret) {
        int p[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
                return -errno;
        Attendant *a = malloc(sizeof *a);
        if (!a) {
                fds_close(p, 2);
                return -ENOMEM;
        }
        *a = (Attendant){
                .n_ref = 1,
                .session = s,
                .sandbox = sandbox_ref(s->sandbox),
                .job = { .refused = on_refused, .exited = on_exited, .lost = on_lost },
                .sock = p[0],
        };
        TAILQ_INIT(&a->unsent);
        TAILQ_INIT(&a->sent);
        sd_event *event = s->manager->event;
        int r = sd_event_add_io(event, &a->source, a->sock, EPOLLIN, on_socket, a);
        if (r >= 0)
                r = sd_event_add_time_relative(
                        event, &a->timer, CLOCK_MONOTONIC, PATIENCE_USEC, USEC_PER_SEC, on_timer, a);
        if (r >= 0)
                r = start_process(a, p[1]);
        (void) fd_close(p[1]);
        if (r < 0) {
                (void) attendant_unref(a);
                return r;
        }
        a->n_ref++; /* the job's */
        *ret = a;
        return 0;
}

int attendant_ask(Session *s, AttendantQuestion *q) {
        if (s->ended) {
                question_free(q);
                return -EOWNERDEAD;
        }
        if (!s->attendant) {
                int r = attendant_new(s, &s->attendant);
                if (r < 0) {
                        question_free(q);
                        return r;
                }
        }
        Attendant *a = s->attendant;
        TAILQ_INSERT_TAIL(&a->unsent, q, entry);
        send_questions(a);
        watch(a);
        return 0;
}

void attendant_forget(AttendantQuestion *q) {
        q->forgotten = true;
}
