/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/host.h"
#include "ctl/reader.h"
#include "ctl/terminal.h"
#include "ctl/unit.h"
#include "ctl/worker.h"

#define ATTACK_PROGRAM LIBEXECDIR "/attack/run"

static void check_service_manager(Findings *f) {
        if (systemd_runs())
                findings_add(f, "service manager", FINDING_GOOD, xstrdup("systemd"), NULL);
        else
                findings_add(f, "service manager", FINDING_NOTE,
                        xstrdup("not systemd: the units cannot be used here, only sandboxd --standalone"), NULL);
}

static void check_worker(Ctl *ctl, const WorkerSocket *s, Findings *f) {
        _cleanup_json_ json_t *row = NULL;
        const char *status, *limits;

        if (access(s->path, R_OK | W_OK) < 0 && errno == EACCES) {
                findings_add(f, "worker", FINDING_NOTE, xasprintf("%s: this user may not connect to it", s->name),
                        xstrdup("usermod -aG sandbox USER, and log in anew"));
                return;
        }
        row = worker_describe(ctl, s);
        status = json_string_value(json_object_get(row, "status"));
        limits = json_string_value(json_object_get(json_object_get(row, "health"), "limits"));
        _cleanup_free_ char *safe = terminal_escape_string(status);

        if (strcmp(status, "inactive") == 0)
                findings_add(f, "worker", FINDING_NOTE, xasprintf("%s does not run", s->name),
                        xasprintf("systemctl start sandboxd@%s", s->name));
        else if (limits && strcmp(limits, "enforced") != 0)
                findings_add(f, "worker", FINDING_BAD,
                        xasprintf("%s is %s, but limits of memory, processor and tasks do not hold", s->name, safe),
                        xstrdup("mend what is said about control groups and delegation, then restart it"));
        else if (strcmp(status, "healthy") == 0)
                findings_add(f, "worker", FINDING_GOOD, xasprintf("%s is healthy, limits hold", s->name), NULL);
        else if (limits)
                findings_add(f, "worker", FINDING_WEAK, xasprintf("%s is %s", s->name, safe),
                        xasprintf("sandboxctl --socket %s health", s->path));
        else
                findings_add(f, "worker", FINDING_BAD, xasprintf("%s: %s", s->name, safe),
                        xasprintf("journalctl -n 50 -u sandboxd@%s -u sandboxd-spawner@%s -u sandboxd-base-image",
                                s->name, s->name));
}

static void check_workers(Ctl *ctl, const WorkerSocketList *sockets, Findings *f) {
        if (sockets->n == 0)
                findings_add(f, "worker", FINDING_NOTE, xstrdup("none has a socket here"),
                        xstrdup("systemctl start sandboxd@worker1"));
        for (size_t i = 0; i < sockets->n; i++)
                check_worker(ctl, sockets->items + i, f);
}

static void print_findings(const Findings *f) {
        static const Colour colours[] = {
                [FINDING_GOOD] = COLOUR_GOOD,
                [FINDING_NOTE] = COLOUR_NONE,
                [FINDING_WEAK] = COLOUR_WARN,
                [FINDING_BAD] = COLOUR_BAD,
        };

        for (size_t i = 0; i < f->n; i++) {
                const Finding *x = f->items + i;
                Colour colour = colours[x->state];

                printf("%s%-4s%s  %-16s  %s\n", terminal_colour(stdout, colour), finding_state_name(x->state),
                        terminal_colour_end(stdout, colour), x->name, x->detail);
                if (x->fix)
                        printf("      %-16s  fix: %s\n", "", x->fix);
        }
}

static void print_document(const Findings *f, size_t n_bad) {
        _cleanup_json_ json_t *rows = json_array(), *document = NULL;

        for (size_t i = 0; i < f->n; i++) {
                const Finding *x = f->items + i;
                if (json_array_append_new(rows,
                            json_pack("{s:s, s:s, s:s, s:s?}", "check", x->name, "state", finding_state_name(x->state),
                                    "detail", x->detail, "fix", x->fix)) < 0)
                        out_of_memory();
        }
        document = json_pack("{s:O, s:I}", "findings", rows, "failed", (json_int_t) n_bad);
        if (!document)
                out_of_memory();
        print_json(document);
}

static int examine(Ctl *ctl, const WorkerSocketList *sockets) {
        _cleanup_findings_ Findings f = { 0 };
        size_t n_bad = 0;

        host_check("", &f);
        check_service_manager(&f);
        check_workers(ctl, sockets, &f);
        for (size_t i = 0; i < f.n; i++)
                n_bad += f.items[i].state == FINDING_BAD;
        if (ctl->options.json)
                print_document(&f, n_bad);
        else
                print_findings(&f);
        return n_bad > 0 ? STATUS_FAILED : 0;
}

/* Becomes the program that attacks. Returns only when that failed. */
static int attack(Ctl *ctl, const char *socket, int argc, char **argv) {
        _cleanup_free_ const char **words = xrealloc(NULL, (size_t) (argc + 4) * sizeof *words);
        const char *url = ctl->options.url ?: getenv("SANDBOXD_URL"), *key;
        char buf[KEY_MAX + 2];
        size_t n = 0;

        if (ctl_find_key(&ctl->options, buf, &key) < 0)
                return STATUS_FAILED;
        /* not on its command line, which others can see */
        if (key && setenv("SANDBOXD_KEY", key, 1) < 0)
                out_of_memory();
        words[n++] = ATTACK_PROGRAM;
        words[n++] = socket ? "--socket" : "--url";
        words[n++] = socket ?: url;
        for (int i = 0; i < argc; i++)
                words[n++] = argv[i];
        words[n] = NULL;

        print_note("Attacking the sandboxes of %s; this takes some minutes", words[2]);
        (void) fflush(stdout);
        (void) execv(ATTACK_PROGRAM, (char *const *) words);
        print_error("%s: %s; it comes with the package sandboxd, of the version that the server has", ATTACK_PROGRAM,
                strerror(errno));
        return STATUS_FAILED;
}

int command_doctor(Ctl *ctl, int argc, char **argv) {
        _cleanup_worker_sockets_ WorkerSocketList sockets = { 0 };
        EndpointPlaces places;
        int status;

        if (ctl->options.attack && ctl->options.json) {
                print_error("doctor --attack prints a table; without --attack there is a document");
                return STATUS_USAGE;
        }
        if (!ctl->options.attack && argc > 0) {
                print_error("Cases are named with --attack only");
                return STATUS_USAGE;
        }
        for (int i = 0; i < argc; i++)
                if (*argv[i] == '-') {
                        print_error("A case is a name, as %s --list shows them", ATTACK_PROGRAM);
                        return STATUS_USAGE;
                }
        if (ctl_names_server(ctl)) {
                const char *socket = ctl->options.url ? NULL : ctl->options.socket ?: getenv("SANDBOXD_SOCKET");
                if (ctl->options.attack)
                        return attack(ctl, socket && *socket ? socket : NULL, argc, argv);
                print_error("doctor looks at this machine; for another server use: sandboxctl health");
                return STATUS_USAGE;
        }

        endpoint_places_default(&places);
        worker_sockets_find(&places, &sockets);
        status = examine(ctl, &sockets);
        if (!ctl->options.attack)
                return status;
        if (sockets.n == 0) {
                print_error("There is no worker to attack; start one with: systemctl start sandboxd@worker1");
                return STATUS_FAILED;
        }
        return attack(ctl, sockets.items[0].path, argc, argv) ?: status;
}
