/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ctl/command.h"

#include <string.h>

#include "ctl/terminal.h"

/* clang-format off */
const Command command_table[] = {
        { "health", "", "Show whether the server works and what it has to give",
          0, 0, 0, -1, false, command_health },
        { "create", "", "Create a session and print its id",
          OPTIONS_CREATE | OPTIONS_ATTACH, 0, 0, -1, false, command_create },
        { "exec", "ID [--] COMMAND [ARGUMENT...]", "Run a command in a session",
          OPTIONS_EXEC | OPTIONS_DETACH, 1, -1, 1, true, command_exec },
        { "run", "[--] COMMAND [ARGUMENT...]", "Create a session, run a command in it, delete it",
          OPTIONS_CREATE | OPTIONS_EXEC, 0, -1, 0, true, command_run },
        { "shell", "[ID [COMMAND-ID]]", "Work in a terminal in a session, or in one made for it",
          OPTIONS_CREATE | OPTIONS_SHELL, 0, 2, -1, true, command_shell },
        { "cp", "SOURCE DESTINATION", "Copy files and folders, one side is ID:PATH",
          0, 2, 2, -1, false, command_copy },
        { "ps", "ID", "List the commands that run in the background of a session, or did",
          0, 1, 1, -1, false, command_ps },
        { "logs", "ID [COMMAND-ID]", "Print what a command in the background has printed",
          OPTIONS_LOGS, 1, 2, -1, false, command_logs },
        { "signal", "ID COMMAND-ID SIGNAL", "Send a signal to a command and its processes",
          0, 3, 3, -1, false, command_signal },
        { "list", "", "List the sessions",
          OPTIONS_LIST, 0, 0, -1, false, command_list },
        { "show", "ID", "Show one session with what it uses",
          0, 1, 1, -1, false, command_show },
        { "top", "", "Show which sessions use most of the processor and memory, again and again",
          0, 0, 0, -1, false, command_top },
        { "pause", "ID...", "Stop all that runs in sessions, until they are asked for something",
          OPTIONS_PAUSE, 1, -1, -1, false, command_pause },
        { "resume", "ID...", "Let sessions go on",
          0, 1, -1, -1, false, command_resume },
        { "snapshot list", "", "List the snapshots",
          0, 0, 0, -1, false, command_snapshot_list },
        { "snapshot delete", "SNAPSHOT...", "Delete snapshots",
          0, 1, -1, -1, false, command_snapshot_delete },
        { "snapshot", "ID", "Keep the files of a session and print the image that they are",
          0, 1, 1, -1, false, command_snapshot },
        { "fork", "ID [COUNT]", "Create sessions with the files of one and print their ids",
          0, 1, 2, -1, false, command_fork },
        { "forward", "ID [LOCAL:]PORT...", "Let ports of this machine lead to servers in a session",
          0, 2, -1, -1, false, command_forward },
        { "kill", "ID...", "End sessions and everything that runs in them",
          0, 1, -1, -1, false, command_kill },
        { "test", "", "Check in a session of its own that sandboxes work and isolate",
          0, 0, 0, -1, false, command_test },
        { "doctor", "[CASE...]", "Check whether this machine can run sandboxes, and say how to mend what is wrong",
          OPTIONS_DOCTOR, 0, -1, -1, false, command_doctor },
        { "audit", "[ID]", "Show who did what, from this machine's journal, of one session or of all",
          OPTIONS_AUDIT, 0, 1, -1, false, command_audit },
        { "image list", "", "List the images that sandboxes can have",
          0, 0, 0, -1, false, command_image_list },
        { "image show", "IMAGE", "Show what an image is made from and what it says of commands",
          0, 1, 1, -1, false, command_image_show },
        { "image import", "FILE|FOLDER", "Make an image of an OCI layout or a docker archive (root)",
          OPTIONS_IMAGE | OPTIONS_IMPORT, 1, 1, -1, false, command_image_import },
        { "image pull", "REFERENCE", "Fetch an image from a registry, by skopeo (root)",
          OPTIONS_IMAGE | OPTIONS_IMPORT, 1, 1, -1, false, command_image_pull },
        { "image rm", "IMAGE...", "Remove images that were imported (root)",
          OPTIONS_IMAGE, 1, -1, -1, false, command_image_remove },
        { "worker list", "", "List this machine's workers",
          0, 0, 0, -1, false, command_worker_list },
        { "worker add", "NAME", "Set up and start one more worker (root)",
          OPTIONS_WORKER_ADD, 1, 1, -1, false, command_worker_add },
        { "worker remove", "NAME", "Stop a worker, end its sessions, disable it (root)",
          OPTIONS_WORKER_REMOVE, 1, 1, -1, false, command_worker_remove },
        { "worker drain", "NAME", "Let a worker accept no new sessions",
          0, 1, 1, -1, false, command_drain },
        { "worker undrain", "NAME", "Let a drained worker accept sessions again",
          0, 1, 1, -1, false, command_undrain },
        { "worker pool", "NAME SIZE", "Set how many sandboxes a worker keeps ready (root)",
          0, 2, 2, -1, false, command_worker_pool },
        { "key new", "[NAME]", "Make a key for clients and the line that configures it",
          0, 0, 1, -1, false, command_key_new },
        { "version", "", "Print the version",
          0, 0, 0, -1, false, command_show_version },
        { "help", "[COMMAND]", "Explain the commands",
          0, 0, 2, -1, false, command_show_help },
};
/* clang-format on */
const size_t command_table_size = ELEMENTSOF(command_table);

const Command *command_find(char **words, int n_words, int *ret_n_words) {
        bool group = false;
        _cleanup_free_ char *safe = NULL;

        for (size_t i = 0; i < command_table_size; i++) {
                const Command *c = command_table + i;
                const char *space = strchr(c->name, ' ');
                size_t n = space ? (size_t) (space - c->name) : strlen(c->name);

                if (strlen(words[0]) != n || strncmp(words[0], c->name, n) != 0)
                        continue;
                group = true;
                if (space && (n_words < 2 || strcmp(words[1], space + 1) != 0))
                        continue;
                *ret_n_words = space ? 2 : 1;
                return c;
        }

        safe = terminal_escape_string(words[0]);
        if (group)
                print_error("%s: Unknown or missing second word; see sandboxctl help %s", safe, safe);
        else
                print_error("%s: Unknown command; see sandboxctl help", safe);
        return NULL;
}

static void print_options(unsigned sets, FILE *f) {
        for (size_t i = 0; i < option_table_size; i++) {
                const Option *o = option_table + i;
                _cleanup_free_ char *left = NULL;

                if (!(o->sets & sets))
                        continue;
                left = xasprintf("%s%c%s --%s%s%s", o->letter ? "-" : " ", o->letter ?: ' ', o->letter ? "," : " ",
                        o->name, o->value ? " " : "", o->value ?: "");
                fprintf(f, "  %-26s %s\n", left, o->help);
        }
}

static void print_command(const Command *c, FILE *f) {
        _cleanup_free_ char *left = xasprintf("%s%s%s", c->name, *c->usage ? " " : "", c->usage);

        if (strlen(left) > 26)
                fprintf(f, "  %s\n  %-26s %s\n", left, "", c->description);
        else
                fprintf(f, "  %-26s %s\n", left, c->description);
}

bool command_help_group(const char *word, FILE *f) {
        size_t n = strlen(word);
        bool group = false;

        for (size_t i = 0; i < command_table_size; i++)
                group = group || (strncmp(command_table[i].name, word, n) == 0 && command_table[i].name[n] == ' ');
        if (!group)
                return false;
        fprintf(f, "Commands of sandboxctl %s:\n", word);
        for (size_t i = 0; i < command_table_size; i++)
                if (strncmp(command_table[i].name, word, n) == 0 && strchr(" ", command_table[i].name[n]))
                        print_command(command_table + i, f);
        fprintf(f, "\nsandboxctl help %s WORD tells the options of one.\n", word);
        return true;
}

void command_help(const Command *c, FILE *f) {
        if (c) {
                fprintf(f, "sandboxctl [OPTION...] %s%s%s%s\n\n%s.\n", c->name, c->options ? " [OPTION...]" : "",
                        *c->usage ? " " : "", c->usage, c->description);
                if (c->options) {
                        fputs("\nOptions:\n", f);
                        print_options(c->options, f);
                }
                fputs("\nsandboxctl help lists the options of all commands.\n", f);
                return;
        }

        fputs("sandboxctl [OPTION...] COMMAND [ARGUMENT...]\n\n"
              "Create instant isolated sandboxes, run code in them, look after the workers.\n\n"
              "Commands:\n",
                f);
        for (size_t i = 0; i < command_table_size; i++)
                print_command(command_table + i, f);
        fputs("\nOptions of all commands:\n", f);
        print_options(OPTIONS_GLOBAL, f);
        fputs("\nsandboxctl help COMMAND tells the options of one command. See also sandboxctl(1).\n", f);
}

int command_show_help(Ctl *ctl, int argc, char **argv) {
        const Command *c = NULL;
        int n;

        (void) ctl; /* needs no server */
        if (argc == 1 && command_help_group(argv[0], stdout))
                return 0;
        if (argc > 0) {
                c = command_find(argv, argc, &n);
                if (!c)
                        return 2;
        }
        command_help(c, stdout);
        return 0;
}
