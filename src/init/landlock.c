/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "init/landlock.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/* The kernel's interface; headers are often older than the kernel. */
#define CREATE_RULESET_VERSION (1U << 0)
#define RULE_PATH_BENEATH 1
#define RESTRICT_LOG_SAME_EXEC_OFF (1U << 0)
#define RESTRICT_LOG_SUBDOMAINS_OFF (1U << 2)

#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_DIR (UINT64_C(1) << 4)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_CHAR (UINT64_C(1) << 6)
#define FS_MAKE_DIR (UINT64_C(1) << 7)
#define FS_MAKE_REG (UINT64_C(1) << 8)
#define FS_MAKE_SOCK (UINT64_C(1) << 9)
#define FS_MAKE_FIFO (UINT64_C(1) << 10)
#define FS_MAKE_BLOCK (UINT64_C(1) << 11)
#define FS_MAKE_SYM (UINT64_C(1) << 12)
#define FS_REFER (UINT64_C(1) << 13)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

#define VERSION_REFER 2
#define VERSION_TRUNCATE 3
#define VERSION_SCOPE 6
#define VERSION_LOG 7

#define READS (FS_EXECUTE | FS_READ_FILE | FS_READ_DIR)
#define WRITES (FS_WRITE_FILE | FS_TRUNCATE)
#define TREE                                                                                                           \
        (FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK | FS_MAKE_FIFO | FS_MAKE_SYM |      \
                FS_REFER)
#define NEVER (FS_MAKE_CHAR | FS_MAKE_BLOCK)

typedef struct RulesetAttr {
        uint64_t handled_fs, handled_net, scoped;
} RulesetAttr;

typedef struct __attribute__((packed)) PathBeneath {
        uint64_t allowed;
        int32_t parent;
} PathBeneath;

int landlock_version(void) {
        static int version = -1;

        if (version < 0) {
                long r = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
                version = r >= VERSION_REFER ? (int) r : 0;
        }
        return version;
}

static int add_place(int rules, const LandlockPlace *place, uint64_t handled) {
        _cleanup_fd_ int fd = open(place->path, O_PATH | O_CLOEXEC);
        PathBeneath rule = {
                .allowed = ((place->rights & LANDLOCK_READS ? READS : 0) | (place->rights & LANDLOCK_WRITES ? WRITES : 0) |
                                   (place->rights & LANDLOCK_TREE ? TREE : 0)) &
                           handled,
                .parent = fd,
        };

        if (fd < 0 || syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0) < 0)
                return -errno;
        return 0;
}

int landlock_rules(const LandlockPlace *places, size_t n) {
        int version = landlock_version();
        /* Ports are not ruled: a sandbox has loopback alone, and any port of it. Nor are ioctl()s of devices: those that
         * are there are the filter's matter. */
        RulesetAttr attr = {
                .handled_fs = READS | (version >= VERSION_TRUNCATE ? WRITES : FS_WRITE_FILE) | TREE | NEVER,
                .scoped = version >= VERSION_SCOPE ? SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL : 0,
        };

        _cleanup_fd_ int rules = (int) syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
        if (rules < 0)
                return -errno;
        for (size_t i = 0; i < n; i++) {
                int r = add_place(rules, &places[i], attr.handled_fs);
                if (r < 0)
                        return r;
        }
        return take_fd(rules);
}

int landlock_enter(int rules) {
        /* what a payload tries must not fill the host's audit log */
        unsigned flags = landlock_version() >= VERSION_LOG ? RESTRICT_LOG_SAME_EXEC_OFF | RESTRICT_LOG_SUBDOMAINS_OFF : 0;

        return syscall(SYS_landlock_restrict_self, rules, flags) < 0 ? -errno : 0;
}
