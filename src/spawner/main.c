/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/init.h"
#include "init/landlock.h"
#include "spawner/bequest.h"
#include "spawner/notify.h"
#include "spawner/prepare.h"
#include "spawner/supervisor.h"

#define DEFAULT_STATE "/var/lib/sandboxd"

static const struct option options[] = {
        { "worker", required_argument, NULL, 'w' },
        { "prepare", required_argument, NULL, 'p' },
        { "standalone", required_argument, NULL, 's' },
        { "socket", required_argument, NULL, 'S' },
        { "images", required_argument, NULL, 'i' },
        { "image-owner", no_argument, NULL, 'o' },
        { "resume", required_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { 0 },
};

static void usage(FILE *f) {
        (void) fputs("sandboxd-spawner makes and holds the sandboxes of one worker; the service manager starts it.\n\n"
                     "  --worker NAME              serve worker NAME, with descriptors from the service manager\n"
                     "  --prepare NAME             as root, before it: make the worker's user namespace\n"
                     "  --standalone NAME          without a service manager; needs --socket\n"
                     "  --socket FD                the connected socket of the worker\n"
                     "  --images DIR               folder of images (default " DEFAULT_STATE "/images)\n"
                     "  --image-owner              print UID:GID that images belong to, without a service manager\n"
                     "  --help, --version\n",
                f);
}

/* Takes the listening socket and the user namespace out of what the service manager passed, and what leads to the
 * working process of a main process that was killed. */
static int take_descriptors(Spawner *s, int *ret_heir) {
        unsigned n = notify_n_fds();
        char name[64];

        for (unsigned i = 0; i < n; i++) {
                int fd = 3 + (int) i;
                const char *text = notify_fd_name(i, name, sizeof name);

                (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
                if (text && strcmp(text, PREPARE_USERNS_NAME) == 0) {
                        (void) fd_close(s->held->userns); /* the newest is the one that was made for this start */
                        s->held->userns = fd;
                } else if (text && strcmp(text, BEQUEST_NAME) == 0) {
                        (void) fd_close(*ret_heir);
                        *ret_heir = fd;
                } else if (s->held->listener < 0)
                        s->held->listener = fd;
                else
                        fd_close(fd);
        }
        /* it is held by us now; the next start makes its own */
        (void) notify_send("FDSTOREREMOVE=1\nFDNAME=" PREPARE_USERNS_NAME);
        if (*ret_heir >= 0)
                (void) notify_send("FDSTOREREMOVE=1\nFDNAME=" BEQUEST_NAME);
        if (s->held->listener < 0 || s->held->userns < 0)
                return -EBADF;
        return 0;
}

/* Goes on with the sandboxes of a main process that was killed. Returns false when there is nothing to go on with. */
static bool inherit(Spawner *s, int heir) {
        State former = STATE_INIT;

        int r = heir >= 0 ? bequest_take(heir, &former) : -ENOENT;
        if (r < 0) {
                if (r != -ENOENT && r != -EPIPE)
                        spawner_log(LOG_WARNING, "Cannot take up what the former main process held: %s", strerror(-r));
                return false;
        }
        slot_close(&former.head->listener);
        former.head->listener = s->held->listener;
        /* the service manager has removed the control groups in which there was nobody */
        for (uint32_t i = 0; former.slots && i < former.head->counters.n_used; i++)
                if (former.slots[i].state == SLOT_FREE)
                        former.slots[i].leaf = false;
        (void) fd_close(s->held->userns); /* theirs goes on */
        state_free(&s->state);
        s->state = former;
        s->held = s->state.head;
        spawner_log(LOG_NOTICE, "The former main process was killed; going on with its sandboxes");
        return true;
}

static void say_second_wall(void) {
        if (landlock_version() > 0)
                spawner_log(LOG_INFO, "Landlock, version %d, is a second wall around each sandbox", landlock_version());
        else
                spawner_log(LOG_NOTICE,
                        "Sandboxes have no second wall: Landlock is missing in this kernel. "
                        "It is there from Linux 5.19 on, with CONFIG_SECURITY_LANDLOCK and \"landlock\" in lsm=");
}

static int run(Spawner *s, const char *worker, int socket_fd, bool standalone) {
        _cleanup_fd_ int heir = -EBADF;
        int r;

        (void) umask(022);
        r = state_new(&s->state);
        if (r < 0) {
                spawner_log(LOG_ERR, "Cannot make a file in memory: %s", strerror(-r));
                return EXIT_FAILURE;
        }
        s->held = s->state.head;

        if (standalone) {
                s->held->worker = socket_fd;
                s->held->exit_with_worker = true;
                if (fcntl(socket_fd, F_SETFD, FD_CLOEXEC) < 0) {
                        spawner_log(LOG_ERR, "--socket %d: %s", socket_fd, strerror(errno));
                        return EXIT_FAILURE;
                }
                r = prepare_standalone(worker, &s->held->userns, &s->cgroup);
                if (r < 0)
                        return EXIT_FAILURE;
                /* newuidmap(1) was the last that needed any */
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
                        spawner_log(LOG_ERR, "Cannot forbid new privileges: %s", strerror(errno));
                        return EXIT_FAILURE;
                }
        } else {
                r = take_descriptors(s, &heir);
                if (r < 0) {
                        spawner_log(LOG_ERR,
                                "No listening socket or no user namespace was passed; "
                                "start sandboxd-spawner@%s.service",
                                worker);
                        return EXIT_FAILURE;
                }
                r = inherit(s, heir) ? cgroup_tree_reopen(&s->cgroup) : cgroup_tree_open(&s->cgroup);
                if (r < 0) {
                        spawner_log(LOG_ERR,
                                "No cgroup of its own is delegated to this service: %s. "
                                "It needs cgroup version 2 and Delegate= in its unit",
                                strerror(-r));
                        return EXIT_FAILURE;
                }
        }
        if (s->cgroup.fd >= 0 && !s->cgroup.limits)
                spawner_log(LOG_WARNING,
                        "Sandboxes have no limits of memory, CPU or tasks together: "
                        "the cgroup controllers %s are missing in %s",
                        s->cgroup.missing, s->cgroup.path);
        say_second_wall();
        return supervisor_run(s) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Goes on as another program of the same process. */
static int resume(Spawner *s, int state) {
        (void) umask(022);
        int r = state_open(&s->state, state);
        s->held = s->state.head;
        if (r == 0 && cgroup_tree_reopen(&s->cgroup) < 0)
                spawner_log(LOG_WARNING, "No cgroups for the sandboxes any more");
        if (r < 0) {
                spawner_log(LOG_ERR, "Cannot take up what the former program held: %s", strerror(-r));
                return EXIT_FAILURE;
        }
        return supervisor_run(s) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        Spawner s = SPAWNER_INIT;
        const char *worker = NULL, *images = DEFAULT_STATE "/images";
        int socket_fd = -EBADF, resume_fd = -EBADF, c;
        bool standalone = false;

        if (argc == 1 && strcmp(argv[0], INIT_PROCESS_NAME) == 0)
                return zygote_main();

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'p':
                        return prepare_service(optarg) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
                case 'o':
                        return prepare_print_image_owner() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
                case 's':
                        standalone = true;
                        worker = optarg;
                        break;
                case 'w':
                        worker = optarg;
                        break;
                case 'r': /* not for people: what the supervisor passes on */
                        resume_fd = atoi(optarg);
                        break;
                case 'S':
                        socket_fd = atoi(optarg);
                        break;
                case 'i':
                        images = optarg;
                        break;
                case 'V':
                        (void) puts("sandboxd-spawner " VERSION);
                        return EXIT_SUCCESS;
                case 'h':
                        usage(stdout);
                        return EXIT_SUCCESS;
                default:
                        usage(stderr);
                        return 2;
                }
        if (!worker || optind != argc || (resume_fd <= 2 && standalone != (socket_fd > 2))) {
                usage(stderr);
                return 2;
        }
        if (strlen(images) >= sizeof s.images) {
                spawner_log(LOG_ERR, "--images: the path is longer than %zu characters", sizeof s.images - 1);
                return EXIT_FAILURE;
        }
        (void) snprintf(s.images, sizeof s.images, "%s", images);
        (void) snprintf(s.name, sizeof s.name, "%s", worker);
        ssize_t n = readlink("/proc/self/exe", s.path, sizeof s.path - 1);
        s.path[n > 0 ? n : 0] = '\0';
        char *deleted = strstr(s.path, " (deleted)"); /* replaced since: the new one has the name */
        if (deleted)
                *deleted = '\0';
        return resume_fd > 2 ? resume(&s, resume_fd) : run(&s, worker, socket_fd, standalone);
}
