/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "base/macro.h"
#include "ctl/options.h"

typedef struct Ctl Ctl;

/* One row for each command: what it is called, takes, does. Help and the manual page follow this table. */
typedef struct Command {
        const char *name;  /* one or two words */
        const char *usage; /* arguments */
        const char *description;
        unsigned options; /* OptionSet bits */
        int min_args;
        int max_args;       /* -1: any number */
        int n_words;        /* words before the sandboxed command, where options end; -1: no such command */
        bool passes_status; /* exits with the sandboxed command's status, so 125 for failures of our own */
        int (*run)(Ctl *ctl, int argc, char **argv); /* returns the exit status */
} Command;

extern const Command command_table[];
extern const size_t command_table_size;

/* The command that the first one or two words name, in @ret_n_words how many; NULL after an error was printed. */
const Command *command_find(char **words, int n_words, int *ret_n_words);

/* The commands that begin with this word, if it is one of several. Returns whether it is. */
bool command_help_group(const char *word, FILE *f);

/* @c: NULL for the overview. */
void command_help(const Command *c, FILE *f);

int command_audit(Ctl *ctl, int argc, char **argv);
int command_copy(Ctl *ctl, int argc, char **argv);
int command_create(Ctl *ctl, int argc, char **argv);
int command_doctor(Ctl *ctl, int argc, char **argv);
int command_drain(Ctl *ctl, int argc, char **argv);
int command_exec(Ctl *ctl, int argc, char **argv);
int command_fork(Ctl *ctl, int argc, char **argv);
int command_forward(Ctl *ctl, int argc, char **argv);
int command_health(Ctl *ctl, int argc, char **argv);
int command_image_import(Ctl *ctl, int argc, char **argv);
int command_image_list(Ctl *ctl, int argc, char **argv);
int command_image_pull(Ctl *ctl, int argc, char **argv);
int command_image_remove(Ctl *ctl, int argc, char **argv);
int command_image_show(Ctl *ctl, int argc, char **argv);
int command_kill(Ctl *ctl, int argc, char **argv);
int command_key_new(Ctl *ctl, int argc, char **argv);
int command_list(Ctl *ctl, int argc, char **argv);
int command_logs(Ctl *ctl, int argc, char **argv);
int command_pause(Ctl *ctl, int argc, char **argv);
int command_ps(Ctl *ctl, int argc, char **argv);
int command_resume(Ctl *ctl, int argc, char **argv);
int command_run(Ctl *ctl, int argc, char **argv);
int command_shell(Ctl *ctl, int argc, char **argv);
int command_show(Ctl *ctl, int argc, char **argv);
int command_show_help(Ctl *ctl, int argc, char **argv);
int command_show_version(Ctl *ctl, int argc, char **argv);
int command_signal(Ctl *ctl, int argc, char **argv);
int command_snapshot(Ctl *ctl, int argc, char **argv);
int command_snapshot_delete(Ctl *ctl, int argc, char **argv);
int command_snapshot_list(Ctl *ctl, int argc, char **argv);
int command_test(Ctl *ctl, int argc, char **argv);
int command_top(Ctl *ctl, int argc, char **argv);
int command_undrain(Ctl *ctl, int argc, char **argv);
int command_worker_add(Ctl *ctl, int argc, char **argv);
int command_worker_list(Ctl *ctl, int argc, char **argv);
int command_worker_pool(Ctl *ctl, int argc, char **argv);
int command_worker_remove(Ctl *ctl, int argc, char **argv);
