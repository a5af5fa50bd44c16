/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spawner/prepare.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "spawner/notify.h"
#include "spawner/spawner.h"
#include "spawner/userns.h"

#define BOX_USER "sandboxd-box"
#define SLICES_FILE "/var/lib/sandboxd/slices"
#define DEFAULT_RANGE_START 1879048192U /* 0x70000000: above what useradd(8), systemd and containers hand out */

typedef struct Account {
        char name[64]; /* "" when the id has no name */
        uid_t uid;
        gid_t gid;
        IdRange uids, gids;
        const char *slices_file; /* NULL: there is one worker only */
} Account;

/* passwd(5) is read here and not through getpwnam(3): a static program cannot load what nsswitch.conf names, and
 * the accounts of this service are always local. */
static int account_find(const char *wanted_name, uid_t wanted_uid, Account *ret) {
        FILE *f = fopen("/etc/passwd", "re");
        struct passwd *pw;
        int r = -ENOENT;

        if (!f)
                return -errno;
        while ((pw = fgetpwent(f)))
                if (wanted_name ? strcmp(pw->pw_name, wanted_name) == 0 : pw->pw_uid == wanted_uid) {
                        (void) snprintf(ret->name, sizeof ret->name, "%s", pw->pw_name);
                        ret->uid = pw->pw_uid;
                        ret->gid = pw->pw_gid;
                        r = 0;
                        break;
                }
        (void) fclose(f);
        return r;
}

static int account_ranges(Account *a) {
        const char *name = a->name[0] ? a->name : NULL;
        int r = idmap_range_read("/etc/subuid", name, a->uid, &a->uids);

        if (r == 0)
                r = idmap_range_read("/etc/subgid", name, a->uid, &a->gids);
        if (r == 0 && idmap_slices(&a->gids) < idmap_slices(&a->uids))
                a->uids.count = a->gids.count = MIN(a->uids.count, a->gids.count);
        return r;
}

/* What the calling process's own user namespace offers: root in a container may have few ids. */
static IdRange ids_at_hand(const char *map_file) {
        IdRange best = { .start = DEFAULT_RANGE_START, .count = ID_RANGE_FULL }, found = { 0 };
        unsigned inside, outside, count;
        FILE *f = fopen(map_file, "re");

        while (f && fscanf(f, "%u %u %u", &inside, &outside, &count) == 3) {
                if (inside <= best.start && (uint64_t) inside + count >= (uint64_t) best.start + best.count) {
                        (void) fclose(f);
                        return best;
                }
                if (count > found.count)
                        found = (IdRange){ .start = inside, .count = count };
        }
        if (f)
                (void) fclose(f);
        /* the upper part of the largest piece, away from the ids of accounts */
        if (found.count > 2 * ID_RANGE_MIN) {
                found.start += found.count / 2;
                found.count -= found.count / 2;
        }
        return found;
}

static int make(UsernsMethod method, const Account *a, const char *worker, int *ret_userns) {
        IdLayout uids, gids;
        const char *what;
        uint32_t slice = 0;
        int r;

        if (a->slices_file) {
                r = idmap_slice_assign(a->slices_file, worker, idmap_slices(&a->uids), &slice);
                if (r == -EUSERS) {
                        spawner_log(LOG_ERR,
                                "All %u slices of the subordinate ids of %s are given to other workers; remove the "
                                "lines of "
                                "workers that are gone from %s, or enlarge the range in /etc/subuid and /etc/subgid",
                                idmap_slices(&a->uids), a->name, a->slices_file);
                        return r;
                }
                if (r < 0) {
                        spawner_log(LOG_ERR, "%s: %s", a->slices_file, strerror(-r));
                        return r;
                }
        }
        r = idmap_layout(&a->uids, slice, a->uid, &uids);
        if (r == 0)
                r = idmap_layout(&a->gids, slice, a->gid, &gids);
        if (r < 0) {
                spawner_log(LOG_ERR, "The subordinate ids %u to %u are too few: at least %u are needed", a->uids.start,
                        a->uids.start + a->uids.count, ID_RANGE_MIN);
                return r;
        }

        r = userns_make(method, &uids, &gids, ret_userns, &what);
        if (r == -ENOSPC || (r == -EPERM && strncmp(what, "unshare", 7) == 0))
                spawner_log(LOG_ERR,
                        "This kernel or its policy allows no user namespaces (%s: %s). Look at the sysctls "
                        "user.max_user_namespaces (must not be 0), kernel.unprivileged_userns_clone (Debian, must be "
                        "1) and "
                        "kernel.apparmor_restrict_unprivileged_userns (Ubuntu, must be 0 or allowed by a profile)",
                        what, strerror(-r));
        else if (r == -ENOENT)
                spawner_log(LOG_ERR, "%s is not installed; it comes with the package uidmap (Debian) or shadow-utils",
                        what);
        else if (r < 0)
                spawner_log(LOG_ERR, "Cannot make the worker's user namespace: %s: %s", what, strerror(-r));
        return r;
}

int prepare_service(const char *worker) {
        Account a = { .slices_file = SLICES_FILE };
        _cleanup_fd_ int userns = -EBADF;

        int r = account_find(BOX_USER, 0, &a);
        if (r < 0) {
                spawner_log(
                        LOG_ERR, "There is no user " BOX_USER "; systemd-sysusers(8) makes it from the package's file");
                return r;
        }
        r = account_ranges(&a);
        if (r < 0) {
                spawner_log(LOG_ERR,
                        "User " BOX_USER " has no subordinate ids: /etc/subuid and /etc/subgid need a line each for at "
                        "least %u of them; `usermod --add-subuids 1000000000-1001114111 --add-subgids "
                        "1000000000-1001114111 " BOX_USER "` adds the usual ones",
                        ID_RANGE_MIN);
                return r;
        }
        r = make(USERNS_DIRECT, &a, worker, &userns);
        if (r < 0)
                return r;

        r = notify_send_fd("FDSTORE=1\nFDNAME=" PREPARE_USERNS_NAME, userns);
        if (r == 0)
                r = notify_barrier(); /* not before the manager has it */
        if (r < 0)
                spawner_log(LOG_ERR, "Cannot leave the user namespace with the service manager: %s", strerror(-r));
        return r;
}

static int become(const Account *a) {
        if (setgroups(0, NULL) < 0 || setresgid(a->gid, a->gid, a->gid) < 0 || setresuid(a->uid, a->uid, a->uid) < 0)
                return -errno;
        return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* Whose ids root uses: those of the package's user, or an id without a name, the last of those at hand. */
static void account_for_root(Account *ret) {
        if (account_find(BOX_USER, 0, ret) == 0 && account_ranges(ret) == 0)
                return;
        *ret = (Account){ .uids = ids_at_hand("/proc/self/uid_map"), .gids = ids_at_hand("/proc/self/gid_map") };
        ret->uids.count = ret->gids.count = MIN(ret->uids.count, ret->gids.count);
        if (ret->uids.count > ID_RANGE_MIN) {
                ret->uids.count--;
                ret->gids.count--;
        }
        ret->uid = ret->uids.start + ret->uids.count;
        ret->gid = ret->gids.start + ret->gids.count;
}

int prepare_print_image_owner(void) {
        Account a = { 0 };

        account_for_root(&a);
        return printf("%u:%u\n", a.uids.start, a.gids.start) < 0 ? -EIO : 0;
}

static int standalone_root(const char *worker, int *ret_userns, CgroupTree *cgroup) {
        Account a = { 0 };

        account_for_root(&a);
        int r = make(USERNS_DIRECT, &a, worker, ret_userns);
        if (r < 0)
                return r;
        r = cgroup_tree_make(cgroup, worker, a.uid, a.gid);
        if (r == -EADDRINUSE) {
                spawner_log(LOG_ERR,
                        "Another worker named %s runs on this machine, with the control group %s: "
                        "give this one another name with --worker",
                        worker, cgroup->path);
                return r;
        }
        if (r < 0)
                spawner_log(LOG_WARNING, "No cgroups for the sandboxes: %s", strerror(-r));
        r = become(&a);
        if (r < 0)
                spawner_log(LOG_ERR, "Cannot become uid %u: %s", a.uid, strerror(-r));
        return r;
}

int prepare_standalone(const char *worker, int *ret_userns, CgroupTree *cgroup) {
        Account a = { .uid = getuid(), .gid = getgid() };

        if (getuid() == 0)
                return standalone_root(worker, ret_userns, cgroup);

        gid_t gid = a.gid;
        (void) account_find(NULL, getuid(), &a); /* for the name; ranges may be given by number too */
        a.gid = gid;
        int r = account_ranges(&a);
        if (r < 0) {
                spawner_log(LOG_ERR,
                        "User %s has no subordinate ids: ask the administrator for `usermod --add-subuids "
                        "200000-265535 "
                        "--add-subgids 200000-265535 %s`",
                        a.name, a.name);
                return r;
        }
        return make(USERNS_SETUID, &a, worker, ret_userns);
}
