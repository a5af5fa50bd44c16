/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/builtin.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/file.h"
#include "init/port.h"
#include "init/sweep.h"

/* One row each, in its own file. */
static const struct {
        const char *name;
        Builtin *run;
} builtins[] = {
        { "connect", builtin_connect },
        { "delete", builtin_delete },
        { "list", builtin_list },
        { "mkdir", builtin_mkdir },
        { "move", builtin_move },
        { "pack", builtin_pack },
        { "read", builtin_read },
        { "serve", builtin_serve },
        { "sockets", builtin_sockets },
        { "stat", builtin_stat },
        { "unpack", builtin_unpack },
        { "watch", builtin_watch },
        { "write", builtin_write },
};

static Builtin *find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(builtins); i++)
                if (strcmp(builtins[i].name, name) == 0)
                        return builtins[i].run;
        return NULL;
}

_noreturn_ static void run(const Command *c, Builtin *builtin) {
        int argc = 0;

        /* what process 1 holds is not for it: the received descriptors lie above its own */
        for (unsigned i = 0; i < c->n_streams; i++)
                if (dup2(c->streams[i], (int) i) < 0)
                        _exit(errno);
        if (syscall(SYS_close_range, c->n_streams, ~0U, 0) < 0 || setsid() < 0 || chdir(c->cwd) < 0)
                _exit(errno);
        (void) umask(0);
        while (c->argv[argc])
                argc++;
        _exit(builtin(argc, c->argv));
}

pid_t builtin_start(const Command *c, InitStage *ret_stage) {
        Builtin *builtin = find(c->argv[0]);

        *ret_stage = INIT_STAGE_EXECVE;
        if (!builtin)
                return -ENOENT;
        *ret_stage = INIT_STAGE_FORK;
        pid_t pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                run(c, builtin);
        /* by us and not by the process itself, which runs already: the next sweep must know whose it is */
        (void) sweep_mark(pid, c->number);
        return pid;
}
