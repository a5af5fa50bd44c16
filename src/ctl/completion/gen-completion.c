/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include "ctl/command.h"

/* gen-completion TEMPLATE: prints it with the tables that sandboxctl reads its command line by in the place of the line
 * "@TABLES@", as functions that every shell understands. */

/* What can be offered for an argument or for the value of an option, by the word that help has for it. The templates
 * have a function _sandboxctl_offer_... for each. */
static const struct {
        const char *word;
        const char *group; /* first word of the command; NULL: any */
        const char *offer;
} offers[] = {
        { "ID", NULL, "sessions" },
        { "NAME", "worker", "workers" },
        { "SOURCE", NULL, "copies" },
        { "DESTINATION", NULL, "copies" },
        { "SIGNAL", NULL, "signals" },
        { "COMMAND", "help", "commands" },
        { "IMAGE", NULL, "images" },
        { "SNAPSHOT", NULL, "snapshots" },
        { "FILE", NULL, "files" },
        { "FILE|FOLDER", NULL, "files" },
        { "PATH", NULL, "files" },
};

static bool has_group(const Command *c, const char *group) {
        return c && strncmp(c->name, group, strlen(group)) == 0 && strchr(" ", c->name[strlen(group)]);
}

/* @c: NULL for the value of an option. */
static const char *offer_of(const char *word, size_t length, const Command *c) {
        for (size_t i = 0; i < ELEMENTSOF(offers); i++)
                if (strlen(offers[i].word) == length && strncmp(offers[i].word, word, length) == 0 &&
                        (!offers[i].group || has_group(c, offers[i].group)))
                        return offers[i].offer;
        return "none";
}

static void print_quoted(const char *text) {
        (void) putchar('\'');
        for (; *text; text++)
                if (*text == '\'')
                        (void) fputs("'\\''", stdout);
                else
                        (void) putchar(*text);
        (void) putchar('\'');
}

static void print_commands(void) {
        (void) puts("# Lines NAME:DESCRIPTION; a name has one or two words.\n_sandboxctl_table_commands() {");
        for (size_t i = 0; i < command_table_size; i++) {
                (void) printf("    echo '%s:'", command_table[i].name);
                print_quoted(command_table[i].description);
                (void) putchar('\n');
        }
        (void) puts("}\n");
}

static void print_option_set(unsigned sets) {
        for (size_t i = 0; i < option_table_size; i++) {
                const Option *o = option_table + i;

                if (!(o->sets & sets))
                        continue;
                (void) printf("        echo '--%s:", o->name);
                if (o->letter)
                        (void) printf("-%c", o->letter);
                (void) printf(":%s:'", o->value ? offer_of(o->value, strlen(o->value), NULL) : "");
                print_quoted(o->help);
                (void) putchar('\n');
        }
}

static void print_options(void) {
        (void) puts("# COMMAND: lines --NAME:-LETTER:OFFER:DESCRIPTION, OFFER is empty when the option takes no value. "
                    "The\n"
                    "# command '' has those that all have.\n"
                    "_sandboxctl_table_options() {\n"
                    "    case $1 in\n"
                    "    '')");
        print_option_set(OPTIONS_GLOBAL);
        (void) puts("        ;;");
        for (size_t i = 0; i < command_table_size; i++) {
                if (!command_table[i].options)
                        continue;
                (void) printf("    '%s')\n", command_table[i].name);
                print_option_set(command_table[i].options);
                (void) puts("        ;;");
        }
        (void) puts("    esac\n}\n");
}

/* Words of the usage up to "--": what follows is not ours. */
static void print_offers(const Command *c) {
        for (const char *p = c->usage; *(p += strspn(p, " []")) && strncmp(p, "--", 2) != 0;) {
                size_t length = strcspn(p, " []."), dots = strspn(p + length, ".");

                (void) printf("        echo '%s%s'\n", offer_of(p, length, c), dots > 0 ? "..." : "");
                p += length + dots;
        }
}

static void print_arguments(void) {
        (void) puts("# COMMAND: a line OFFER for each argument; OFFER... may be repeated.\n"
                    "_sandboxctl_table_arguments() {\n"
                    "    case $1 in");
        for (size_t i = 0; i < command_table_size; i++) {
                (void) printf("    '%s')\n", command_table[i].name);
                print_offers(command_table + i);
                (void) puts("        ;;");
        }
        (void) puts("    esac\n}");
}

int main(int argc, char *argv[]) {
        FILE *f = argc == 2 ? fopen(argv[1], "re") : NULL;
        _cleanup_free_ char *line = NULL;
        size_t room = 0;

        if (argc != 2)
                errx(2, "usage: gen-completion TEMPLATE");
        if (!f)
                err(1, "%s", argv[1]);
        while (getline(&line, &room, f) >= 0) {
                if (strcmp(line, "@TABLES@\n") != 0) {
                        (void) fputs(line, stdout);
                        continue;
                }
                print_commands();
                print_options();
                print_arguments();
        }
        if (ferror(f))
                errx(1, "%s: cannot be read", argv[1]);
        (void) fclose(f);
        return fflush(stdout) == 0 ? 0 : 1;
}
