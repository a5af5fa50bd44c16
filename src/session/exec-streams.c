/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "session/exec.h"

#define READ_SIZE (64U * 1024U)
#define READS_PER_TURN 8U
#define READS_AT_END 1024U
#define READS_AT_END_KEPT 32U /* of what is kept for readers: more than the largest pipe that a program can have */
#define PTMX_MAJOR 5U
#define PTMX_MINOR 2U

static void close_stream(Exec *e, int i) {
        e->out_source[i] = sd_event_source_disable_unref(e->out_source[i]);
        e->out[i] = fd_close(e->out[i]);
}

static void close_stdin(Exec *e) {
        e->in_source = sd_event_source_disable_unref(e->in_source);
        e->in = fd_close(e->in);
        free(take_ptr(e->stdin_data));
        e->stdin_length = e->stdin_sent = 0;
}

void exec_streams_close(Exec *e) {
        close_stream(e, 0);
        close_stream(e, 1);
        close_stdin(e);
        fds_close(e->terminal_pipe, 2);
}

/* --- output --- */

void exec_wake_readers(Exec *e) {
        ExecReader *r, *next;

        (void) exec_ref(e);
        for (r = LIST_FIRST(&e->readers); r; r = next) {
                next = LIST_NEXT(r, entry);
                r->wake(r);
        }
        (void) exec_unref(e);
}

/* The offset of the reader who is furthest behind, UINT64_MAX: there is none. */
static uint64_t slowest(const Exec *e) {
        const ExecReader *r;
        uint64_t from = UINT64_MAX;

        LIST_FOREACH(r, &e->readers, entry)
        if (r->offset < from)
                from = r->offset;
        return from;
}

/* How much may be read before a reader would lose something. */
static size_t room(const Exec *e) {
        uint64_t from = slowest(e);

        /* what waits for the rest of its character, and the last piece, come on top */
        size_t n = from == UINT64_MAX ? READ_SIZE : output_room(&e->log, from);
        return n > 8 ? n - 8 : 0;
}

static void hold(Exec *e, bool held) {
        if (e->held == held)
                return;
        e->held = held;
        for (int i = 0; i < 2; i++)
                if (e->out_source[i])
                        (void) sd_event_source_set_enabled(e->out_source[i], held ? SD_EVENT_OFF : SD_EVENT_ON);
}

/* Reads what is there. Returns true at the end of the stream. */
static bool read_captured(Exec *e, int i, unsigned turns) {
        static char buf[READ_SIZE]; /* one thread, never entered twice */

        while (turns-- > 0 && e->out[i] >= 0) {
                ssize_t n = read(e->out[i], buf, sizeof buf);
                if (n < 0)
                        return errno != EAGAIN && errno != EINTR;
                if (n == 0)
                        return true;
                (void) capture_add(&e->capture[i], buf, (size_t) n); /* no memory: counted as cut off */
        }
        return false;
}

/* Moves what is there to the log, as far as no reader loses by it. A terminal's bytes go through a pipe of ours: the
 * kernel moves bytes between a pipe and something else only. */
static bool read_followed(Exec *e, int i, unsigned turns, bool all, bool *ret_any) {
        while (turns-- > 0 && e->out[i] >= 0) {
                size_t n_room = all ? READ_SIZE : room(e);
                ssize_t n, moved = 0;

                if (n_room == 0) {
                        hold(e, true);
                        return false;
                }
                n_room = MIN(n_room, READ_SIZE);
                if (e->terminal) {
                        moved = splice(e->out[i], NULL, e->terminal_pipe[1], NULL, n_room, SPLICE_F_NONBLOCK);
                        if (moved < 0 && errno != EAGAIN && errno != EINTR)
                                moved = 0; /* a terminal ends with EIO */
                        else if (moved < 0)
                                moved = -1;
                        n = output_fill(&e->log, (OutputStream) i, e->terminal_pipe[0], n_room);
                        if (n == -EAGAIN && moved == 0)
                                return true;
                } else
                        n = output_fill(&e->log, (OutputStream) i, e->out[i], n_room);
                if (n < 0)
                        return n != -EAGAIN;
                if (n == 0)
                        return true;
                e->mark[i] -= MIN((size_t) n, e->mark[i]);
                *ret_any = true;
        }
        return false;
}

static void check_mark(Exec *e) {
        if (!e->marked || (e->mark[0] > 0 && e->out[0] >= 0) || (e->mark[1] > 0 && e->out[1] >= 0))
                return;
        void (*marked)(Exec *, void *) = take_ptr(e->marked);
        marked(e, e->marked_userdata);
}

bool exec_mark(Exec *e, void (*reached)(Exec *e, void *userdata), void *userdata) {
        assert(!e->marked);

        for (int i = 0; i < 2; i++) {
                int n = 0;
                if (e->out[i] >= 0)
                        (void) ioctl(e->out[i], FIONREAD, &n);
                e->mark[i] = (size_t) MAX(n, 0);
        }
        if (e->mark[0] == 0 && e->mark[1] == 0)
                return true;
        e->marked = reached;
        e->marked_userdata = userdata;
        return false;
}

static bool read_stream(Exec *e, int i, unsigned turns, bool all, bool *ret_any) {
        return e->keeps_log ? read_followed(e, i, turns, all, ret_any) : read_captured(e, i, turns);
}

static int on_output(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Exec *e = userdata;
        int i = source == e->out_source[0] ? 0 : 1;
        bool any = false;

        (void) fd;
        (void) revents;
        if (read_stream(e, i, READS_PER_TURN, false, &any))
                close_stream(e, i);
        (void) exec_ref(e);
        if (any)
                exec_wake_readers(e);
        check_mark(e);
        (void) exec_unref(e);
        return 0;
}

void exec_streams_drain(Exec *e) {
        uint64_t wanted = slowest(e);
        bool any = false;

        /* a reader that is behind loses nothing: what the pipes hold comes on top of what is kept */
        e->log.wanted = wanted;
        for (int i = 0; i < 2; i++) {
                (void) read_stream(e, i, wanted == UINT64_MAX ? READS_AT_END : READS_AT_END_KEPT, true, &any);
                if (e->keeps_log)
                        output_finish(&e->log, (OutputStream) i);
        }
}

void exec_reader_attach(Exec *e, ExecReader *r, uint64_t from) {
        r->offset = from;
        LIST_INSERT_HEAD(&e->readers, r, entry);
}

void exec_reader_detach(Exec *e, ExecReader *r) {
        if (!r->entry.le_prev)
                return;
        LIST_REMOVE(r, entry);
        r->entry.le_prev = NULL;
        if (e->log.wanted != UINT64_MAX)
                output_want(&e->log, slowest(e));
        if (e->held && room(e) > 0)
                hold(e, false);
}

void exec_reader_advance(Exec *e, ExecReader *r, uint64_t offset) {
        r->offset = offset;
        if (e->held && room(e) >= MIN(e->log.max / 4, 16 * KIB))
                hold(e, false);
}

/* --- input --- */

/* Returns true when there is no more to write. */
static bool write_given(Exec *e) {
        while (e->stdin_sent < e->stdin_length) {
                ssize_t n = write(e->in, e->stdin_data + e->stdin_sent, e->stdin_length - e->stdin_sent);
                if (n < 0)
                        return errno != EAGAIN && errno != EINTR; /* it does not want the rest: its business */
                e->stdin_sent += (size_t) n;
        }
        return true;
}

static int on_input(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Exec *e = userdata;
        bool broken = revents & (EPOLLERR | EPOLLHUP);

        (void) fd;
        if (e->stdin_data) {
                if (!broken && !write_given(e))
                        return 0;
                if (broken || !e->stdin_open)
                        close_stdin(e);
                else
                        free(take_ptr(e->stdin_data));
        } else if (broken && !e->terminal)
                close_stdin(e);
        if (e->in_source)
                (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (e->stdin_written) {
                void (*written)(Exec *, void *) = take_ptr(e->stdin_written);
                written(e, e->stdin_userdata);
        }
        return 0;
}

static int watch_input(Exec *e) {
        if (e->in_source)
                return sd_event_source_set_enabled(e->in_source, SD_EVENT_ON);
        return sd_event_add_io(e->event, &e->in_source, e->in, EPOLLOUT, on_input, e);
}

static int no_stdin(Error *error) {
        return error_set(error, ERROR_WRONG_STATE,
                "The command takes no input: it has ended, its input is closed, or it was "
                "started without \"stdin_open\" or \"pty\".");
}

ssize_t exec_write(Exec *e, const char *data, size_t length, void (*written)(Exec *e, void *userdata), void *userdata,
        Error *error) {
        if (e->in < 0 || e->is_done || e->channel)
                return no_stdin(error);
        if (e->stdin_written)
                return error_set(error, ERROR_WRONG_STATE, "Another request writes to this command just now.");

        ssize_t n = e->stdin_data ? 0 : write(e->in, data, length); /* what came with the request goes first */
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
                close_stdin(e);
                return no_stdin(error);
        }
        n = MAX(n, 0);
        if ((size_t) n < length) {
                int r = watch_input(e);
                if (r < 0)
                        return r;
                e->stdin_written = written;
                e->stdin_userdata = userdata;
        }
        return n;
}

void exec_write_cancel(Exec *e) {
        e->stdin_written = NULL;
}

int exec_write_end(Exec *e, Error *error) {
        if (e->in < 0 || e->is_done || e->channel)
                return no_stdin(error);
        if (e->terminal) /* as the key that means "end of input" */
                return write(e->in, "\4", 1) == 1 ? 0
                                                  : error_set(error, ERROR_WRONG_STATE, "The terminal takes no input.");
        if (e->stdin_data)
                e->stdin_open = false; /* once what was given is written */
        else
                close_stdin(e);
        e->stdin_open = false;
        exec_keep(e); /* without it: the command has to see the end */
        return 0;
}

int exec_channel(const Exec *e) {
        int fd = e->channel && e->in >= 0 ? fcntl(e->in, F_DUPFD_CLOEXEC, 0) : -1;

        return fd < 0 ? -EBADF : fd;
}

int exec_resize(Exec *e, uint16_t rows, uint16_t columns, Error *error) {
        struct winsize size = { .ws_row = rows, .ws_col = columns };

        if (!e->terminal)
                return error_set(error, ERROR_WRONG_STATE, "The command has no terminal.");
        if (e->out[0] < 0 || ioctl(e->out[0], TIOCSWINSZ, &size) < 0)
                return error_set(error, ERROR_WRONG_STATE, "The command has ended.");
        return 0;
}

/* --- opening --- */

static int watch_output(Exec *e, int i) {
        int r = fd_set_nonblock(e->out[i], true);

        if (r >= 0)
                r = sd_event_add_io(e->event, &e->out_source[i], e->out[i], EPOLLIN, on_output, e);
        return r;
}

int exec_streams_open(Exec *e, const ExecSpec *spec, int theirs[static 3]) {
        int p[2];

        if (spec->pty)
                return 0; /* comes from inside */
        if (spec->streams) {
                for (int i = 0; i < 3; i++) {
                        theirs[i] = fcntl(spec->streams[i], F_DUPFD_CLOEXEC, 0);
                        if (theirs[i] < 0)
                                return -errno;
                }
                return 0;
        }
        if (e->channel) {
                if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0)
                        return -errno;
                theirs[0] = p[0];
                e->in = p[1];
                if (fd_set_nonblock(e->in, true) < 0)
                        return -errno;
        } else if (e->stdin_data || e->stdin_open) {
                if (pipe2(p, O_CLOEXEC) < 0)
                        return -errno;
                theirs[0] = p[0];
                e->in = p[1];
                if (fd_set_nonblock(e->in, true) < 0)
                        return -errno;
        } else {
                theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
                if (theirs[0] < 0)
                        return -errno;
        }
        for (int i = 0; i < 2; i++) {
                if (pipe2(p, O_CLOEXEC) < 0)
                        return -errno;
                e->out[i] = p[0];
                theirs[1 + i] = p[1];
                int r = watch_output(e, i);
                if (r < 0)
                        return r;
        }
        return 0;
}

int exec_streams_begin(Exec *e) {
        if (e->in < 0 || !e->stdin_data)
                return 0;
        if (!write_given(e))
                return watch_input(e);
        if (e->stdin_open)
                free(take_ptr(e->stdin_data));
        else
                close_stdin(e);
        return 0;
}

/* A descriptor from inside is nothing but the master of a terminal, or is not taken. */
int exec_streams_attach_terminal(Exec *e, int master) {
        struct stat st;
        int number;

        if (fstat(master, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(PTMX_MAJOR, PTMX_MINOR) ||
                ioctl(master, TIOCGPTN, &number) < 0)
                return -EBADMSG;
        e->out[0] = fcntl(master, F_DUPFD_CLOEXEC, 0);
        e->in = fcntl(master, F_DUPFD_CLOEXEC, 0);
        if (e->out[0] < 0 || e->in < 0 || pipe2(e->terminal_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        int r = watch_output(e, 0);
        return r < 0 ? r : exec_streams_begin(e);
}

int exec_streams_restore(Exec *e, int fds[static KEPT_MAX]) {
        int r;

        for (int i = 0; i < 2; i++) {
                e->out[i] = take_fd(fds[KEPT_STDOUT + i]);
                r = e->out[i] >= 0 ? watch_output(e, i) : 0;
                if (r < 0)
                        return r;
        }
        if (e->terminal) {
                e->terminal_pipe[0] = take_fd(fds[KEPT_PIPE_READ]);
                e->terminal_pipe[1] = take_fd(fds[KEPT_PIPE_WRITE]);
                if (e->out[0] < 0 || e->terminal_pipe[0] < 0 || e->terminal_pipe[1] < 0)
                        return -EBADMSG;
                e->in = fcntl(e->out[0], F_DUPFD_CLOEXEC, 0);
                return e->in < 0 ? -errno : 0;
        }
        e->in = take_fd(fds[KEPT_STDIN]);
        e->stdin_open = e->in >= 0;
        return e->in >= 0 ? fd_set_nonblock(e->in, true) : 0;
}
