/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "runtime/sandbox.h"
#include "session/capture.h"
#include "session/output.h"
#include "spec/exec.h"

/* One command in a session: its streams, its time limit, its end. */

#define EXEC_REASONS(R)                                                                                                \
        R(EXITED, "exited")                                                                                            \
        R(SIGNALED, "signaled")                                                                                        \
        R(TIMEOUT, "timeout")                                                                                          \
        R(OOM, "oom")                                                                                                  \
        R(PIDS, "pids")                                                                                                \
        R(CANCELLED, "cancelled")                                                                                      \
        R(LOST, "lost")

typedef enum ExecReason {
#define EXEC_REASON_ENUM(name, text) EXEC_##name,
        EXEC_REASONS(EXEC_REASON_ENUM)
#undef EXEC_REASON_ENUM
                EXEC_REASON_MAX_,
} ExecReason;

typedef struct Exec Exec;
typedef struct ExecReader ExecReader;

/* Called once, when all is known: the command has ended, or could not be started (@exec->error is set then).
 * The receiver may unref @exec. */
typedef void ExecDone(Exec *exec, void *userdata);

/* Someone who follows a command. While it is attached nothing that it has not read yet is dropped: a reader that is
 * slow slows the command down. */
struct ExecReader {
        uint64_t offset;             /* of the next byte it wants */
        void (*wake)(ExecReader *r); /* there is something new: output, the start or the end */
        LIST_ENTRY(ExecReader) entry;
};

struct Exec {
        unsigned n_ref;
        char id[UUID_TEXT_MAX];
        sd_event *event;  /* borrowed */
        Sandbox *sandbox; /* owned while it runs */
        Sandbox *place;   /* owned: the same for all its life, when its output is kept; else NULL */
        SandboxJob job;
        ExecDone *done; /* may be NULL */
        void *userdata;
        ExecDone *session_done; /* its session's: the same, afterwards; may be NULL */
        void *session_userdata;
        char *request_id, *caller; /* owned or NULL */
        char *command;    /* owned: for people */
        bool background, terminal, keeps_log, base64;
        bool channel;            /* @in is a socket, somebody else reads and writes it */
        uint32_t number;         /* in its sandbox, for all its life */
        TAILQ_ENTRY(Exec) entry; /* in its session's list */

        int out[2];           /* owned: read ends of stdout and stderr; [0] is the master of a terminal */
        int in;               /* owned: write end of stdin, or the master again */
        int terminal_pipe[2]; /* owned: the way from the master to the log */
        sd_event_source *out_source[2], *in_source, *timer;
        bool stdin_open;  /* it stays open when what was given has been written */
        char *stdin_data; /* owned */
        size_t stdin_length, stdin_sent;
        void (*stdin_written)(Exec *e, void *userdata); /* of exec_write() */
        void *stdin_userdata;

        /* what came: either for the one answer, or to be followed */
        Capture capture[2];
        OutputLog log;
        LIST_HEAD(, ExecReader) readers;
        bool held;      /* not read, since a reader is behind */
        size_t mark[2]; /* of exec_mark(): bytes still to come, by stream */
        void (*marked)(Exec *e, void *userdata);
        void *marked_userdata;

        usec_t created, started, ended; /* wall clock, monotonic, monotonic */
        pid_t pid;                      /* inside, 0: not known yet */
        bool killed, exited, is_done;
        void (*signalled)(Exec *e, void *userdata); /* of exec_interrupt() */
        void *signalled_userdata;
        ExecReason killed_as;

        /* the result */
        ExecReason reason;
        int exit_code; /* -1: none */
        int signal;    /* 0: none */
        uint64_t cpu_usec, max_rss;
        Error error;
};

/* A command that runs holds a reference to itself: dropping one's own does not end it. */
Exec *exec_ref(Exec *e);
Exec *exec_unref(Exec *e);
DEFINE_CLEANUP(Exec, exec_unref);

/* Starts @spec in @sandbox; stdin is taken out of @spec. @keeps_log: its output is to be followed, and kept after its
 * end. @ret: new reference. Returns 0 or -errno with @error set; @done is never called from within. */
int exec_start(sd_event *event, Sandbox *sandbox, ExecSpec *spec, const json_t *session_env, bool keeps_log,
        ExecDone *done, void *userdata, Exec **ret, Error *error);

/* Takes up a followed command that a former worker started under @number in @sandbox, which is being resumed. @fds: by
 * KeptDescriptor, those that are used are taken. It may have ended. @ret: new reference. Returns 0 or -errno. */
int exec_restore(sd_event *event, Sandbox *sandbox, uint32_t number, int fds[static KEPT_MAX], Exec **ret);

/* Nobody will ask for it any more: the next worker need not know it. */
void exec_forget(Exec *e);

/* Kills it, with all that it started, for @reason (EXEC_TIMEOUT, EXEC_CANCELLED). */
void exec_kill(Exec *e, ExecReason reason);

/* Sends a signal to its process group. Returns 0 or -errno with @error set. */
int exec_signal(Exec *e, int signal, Error *error);

/* The same with SIGINT; @sent is called once it has been sent, so that it comes before whatever is done then. Returns 0
 * or -errno; @sent is not called then, nor when the command ends before. */
int exec_interrupt(Exec *e, void (*sent)(Exec *e, void *userdata), void *userdata);

/* Waits until what is in the pipes now lies in its log. Returns true when there is nothing to wait for; else @reached
 * is called, unless the command ends before. One at a time. */
bool exec_mark(Exec *e, void (*reached)(Exec *e, void *userdata), void *userdata);

/* The socket that is its standard input: a new descriptor, or -errno. */
int exec_channel(const Exec *e);

/* Writes to its stdin, which has to be open. Returns how many bytes were taken; fewer than all: @written is called once
 * there is room. -errno with @error set. */
ssize_t exec_write(Exec *e, const char *data, size_t length, void (*written)(Exec *e, void *userdata), void *userdata,
        Error *error);
void exec_write_cancel(Exec *e);
int exec_write_end(Exec *e, Error *error);

int exec_resize(Exec *e, uint16_t rows, uint16_t columns, Error *error);

void exec_reader_attach(Exec *e, ExecReader *r, uint64_t from);
void exec_reader_detach(Exec *e, ExecReader *r);
/* It has read up to @offset. */
void exec_reader_advance(Exec *e, ExecReader *r, uint64_t offset);

/* All of it has come: no more will be written to the log. */
static inline bool exec_is_over(const Exec *e) {
        return e->is_done;
}

const char *exec_reason_text(ExecReason reason);
/* "TERM", "SIGTERM" or a number. Returns 0 or -EINVAL with @error set. */
int exec_signal_parse(const json_t *value, int *ret, Error *error);

/* The answers of the public contract; new objects, NULL when out of memory. */
char *exec_result_text(const Exec *e, bool with_streams);
json_t *exec_result(const Exec *e); /* without its streams */
json_t *exec_describe(const Exec *e);
/* Kept bytes of one stream or of a piece as the client wants them. */
json_t *exec_text(const Exec *e, const char *bytes, size_t length);

/* Has the backend keep what a later worker needs to go on with it. */
void exec_keep(Exec *e);

/* exec-streams.c, for exec.c */
int exec_streams_open(Exec *e, const ExecSpec *spec, int theirs[static 3]);
int exec_streams_begin(Exec *e);
int exec_streams_attach_terminal(Exec *e, int master);
/* Reads all that is there now. */
void exec_streams_drain(Exec *e);
void exec_streams_close(Exec *e);
void exec_wake_readers(Exec *e);
int exec_streams_restore(Exec *e, int fds[static KEPT_MAX]);
