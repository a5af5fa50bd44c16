/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>
#include <signal.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/interrupt.h"
#include "ctl/terminal.h"

/* Returns the exit status: @status, unless what was printed did not arrive. */
static int finish_output(int status) {
        errno = 0;
        if (fflush(stdout) == 0 && !ferror(stdout))
                return status;
        if (errno == EPIPE) /* who reads has enough: not worth a word, but the status a shell knows */
                return 128 + SIGPIPE;
        print_error("Cannot write to standard output: %s", errno ? strerror(errno) : "earlier error");
        return status ?: STATUS_FAILED;
}

/* For a mistake on the command line: exec and run keep the low numbers for the command inside. */
static int usage_status(const Command *c) {
        return c && c->passes_status ? STATUS_REFUSED : STATUS_USAGE;
}

static bool is_help(const char *word) {
        return strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
}

static int run(Ctl *ctl, int argc, char **argv) {
        _cleanup_free_ char **words = xrealloc(NULL, (size_t) (argc + 1) * sizeof *words);
        _cleanup_free_ char **args = xrealloc(NULL, (size_t) (argc + 1) * sizeof *args);
        Options *o = &ctl->options;
        const Command *c;
        int n_words, n_args, used;

        if (options_parse(o, OPTIONS_GLOBAL, 0, argc, argv, words, &n_words) < 0)
                return STATUS_USAGE;
        if (o->version)
                return command_show_version(ctl, 0, NULL);
        if (n_words == 0) {
                command_help(NULL, o->help ? stdout : stderr);
                return o->help ? 0 : STATUS_USAGE;
        }

        if ((o->help || (n_words > 1 && is_help(words[1]))) && n_words <= 2 && command_help_group(words[0], stdout))
                return 0;
        c = ctl->command = command_find(words, n_words, &used);
        if (!c)
                return STATUS_USAGE;
        if (options_parse(o, OPTIONS_GLOBAL | c->options, c->n_words, n_words - used, words + used, args, &n_args) < 0)
                return usage_status(c);
        terminal_quiet(o->quiet);
        if (o->help) {
                command_help(c, stdout);
                return 0;
        }
        if (o->version)
                return command_show_version(ctl, 0, NULL);
        if (n_args < c->min_args || (c->max_args >= 0 && n_args > c->max_args)) {
                print_error("%s: Expected: sandboxctl %s %s",
                        n_args < c->min_args ? "Argument missing" : "Too many arguments", c->name,
                        *c->usage ? c->usage : "(without arguments)");
                return usage_status(c);
        }
        return c->run(ctl, n_args, args);
}

int main(int argc, char **argv) {
        Ctl ctl = { 0 };
        int status;

        (void) setlocale(LC_CTYPE, "");  /* without it only ASCII counts as printable, which is safe */
        (void) signal(SIGPIPE, SIG_IGN); /* clean-up goes on when nobody reads our output any more */
        options_init(&ctl.options);

        status = run(&ctl, argc - 1, argv + 1);
        status = finish_output(status);

        ctl_clear(&ctl);
        interrupt_die();
        return status;
}
