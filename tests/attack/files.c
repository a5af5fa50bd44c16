/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "attack.h"

/* Lists the descriptors it was given: above 2 there may be none, below no folder, device or network socket. */
int attack_fd_leak(char part) {
        char path[64], target[256];

        (void) part;
        for (int fd = 0; fd < 65536; fd++) {
                struct stat st;
                if (fstat(fd, &st) < 0)
                        continue;
                (void) snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                ssize_t n = readlink(path, target, sizeof target - 1);
                target[n > 0 ? n : 0] = '\0';
                if (fd > 2)
                        hole("descriptor %d is open: %s", fd, target);
                else if (S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) || S_ISSOCK(st.st_mode))
                        hole("descriptor %d is %s", fd, target);
        }
        return verdict("only 0, 1 and 2");
}

/* Lets a name be by turns a file, a link to a file of the host, a folder and a link to the host's, as fast as it can,
 * while the runner reads and writes it through the API. /tmp/attack-target: the path on the host. */
int attack_file_swap(char part) {
        char target[300] = "", folder[300];
        unsigned long n = 0;

        (void) part;
        if (read_file("/tmp/attack-target", target, sizeof target) <= 0 || !strrchr(target, '/'))
                return broken("nothing to reach for");
        (void) snprintf(folder, sizeof folder, "%.*s", (int) (strrchr(target, '/') - target), target);
        if (mkdir("/home/sandboxuser/swap", 0755) < 0 || chdir("/home/sandboxuser/swap") < 0)
                return broken("no folder");
        (void) mkdir("real", 0755);
        ready();
        for (uint64_t end = now_ms() + 570000; now_ms() < end; n++) {
                if (n % 16 == 0 && access("/tmp/attack-stop", F_OK) == 0)
                        break;
                int fd = open(".file", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
                (void) write(fd, "mine", 4);
                (void) close(fd);
                (void) rename(".file", "x");
                (void) symlink(target, ".link");
                (void) rename(".link", "x");
                (void) symlink("real", ".folder");
                (void) rename(".folder", "d");
                (void) symlink(folder, ".folder");
                (void) rename(".folder", "d");
        }
        return held("%lu turns", n);
}

static bool is_root(int fd) {
        struct stat here, root;

        return fstat(fd, &here) == 0 && stat("/", &root) == 0 && here.st_dev == root.st_dev &&
               here.st_ino == root.st_ino;
}

/* Goes up from wherever it can get to, by all names that the kernel gives folders of processes, and compares where it
 * arrives with "/". */
int attack_cwd_escape(char part) {
        static const char *const ways[] = { "root", "cwd", "fd/0", "fd/1", "fd/3", "fd/4", "fd/5", "exe", "ns/mnt" };
        DIR *proc = opendir("/proc");
        unsigned n = 0;

        (void) part;
        for (struct dirent *e; proc && (e = readdir(proc));) {
                for (size_t i = 0; i < N_OF(ways) && e->d_name[0] >= '0' && e->d_name[0] <= '9'; i++) {
                        char path[320];
                        (void) snprintf(path, sizeof path, "/proc/%s/%s", e->d_name, ways[i]);
                        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                        if (fd < 0)
                                continue;
                        if (strcmp(e->d_name, "1") == 0)
                                hole("%s of process 1 can be entered", ways[i]);
                        for (int up = 0; up < 64; up++) {
                                int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                                if (parent < 0)
                                        break;
                                (void) close(fd);
                                fd = parent;
                        }
                        if (!is_root(fd))
                                hole("above %s there is another root", path);
                        (void) close(fd);
                        n++;
                }
        }
        if (proc)
                (void) closedir(proc);
        char cwd[256];
        if (!getcwd(cwd, sizeof cwd) || cwd[0] != '/')
                hole("the working folder lies outside of the root");
        if (TRY(chroot("/tmp")) == 0)
                hole("chroot() works");
        return verdict("%u ways up, all end in the same root", n);
}

/* Creates, links, changes and cuts in the folders of the system. */
int attack_ro_root(char part) {
        static const char *const folders[] = { "/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/bin", "/lib", "/sbin",
                "/var", "/var/lib", "/opt", "/home", "/root", "/srv", "/run", "/proc", "/sys", "/dev" };
        static const char *const files[] = { "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/bin/sh",
                "/usr/bin/env", "/etc/ld.so.cache" };
        size_t n_folders = 0, n_files = 0;
        char path[128];

        (void) part;
        for (size_t i = 0; i < N_OF(folders); i++) {
                n_folders += access(folders[i], F_OK) == 0;
                (void) snprintf(path, sizeof path, "%s/attack", folders[i]);
                if (open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644) >= 0 || mkdir(path, 0755) == 0 ||
                        symlink("x", path) == 0 || link("/bin/sh", path) == 0)
                        hole("%s can be written", folders[i]);
                if (chmod(folders[i], 0777) == 0)
                        hole("the mode of %s can be changed", folders[i]);
        }
        for (size_t i = 0; i < N_OF(files); i++) {
                n_files += access(files[i], F_OK) == 0;
                if (open(files[i], O_WRONLY | O_CLOEXEC) >= 0 || truncate(files[i], 0) == 0)
                        hole("%s can be written", files[i]);
                if (chmod(files[i], 0777) == 0 || chown(files[i], getuid(), getgid()) == 0 || unlink(files[i]) == 0 ||
                        rename(files[i], "/tmp/attack-stolen") == 0)
                        hole("%s can be changed", files[i]);
                if (utimensat(AT_FDCWD, files[i], NULL, 0) == 0)
                        hole("the times of %s can be set", files[i]);
                if (link(files[i], "/tmp/attack-link") == 0)
                        hole("%s can be linked into a writable folder", files[i]);
        }
        return verdict("%zu folders, %zu files", n_folders, n_files);
}

/* Replaces and adds names in /dev; makes devices of its own. */
int attack_dev_writable(char part) {
        static const char *const names[] = { "null", "zero", "random", "urandom", "tty", "ptmx", "fd", "console", "shm",
                "pts" };
        static const char *const foreign[] = { "mem", "kmem", "port", "kmsg", "kvm", "fuse", "loop-control", "sda",
                "vda", "nvme0n1", "userfaultfd", "cuse", "vhost-net", "net/tun", "uinput", "snapshot", "hpet", "rtc0",
                "dri" };
        char path[64];

        (void) part;
        for (size_t i = 0; i < N_OF(names); i++) {
                (void) snprintf(path, sizeof path, "/dev/%s", names[i]);
                if (unlink(path) == 0 || rename(path, "/dev/attack") == 0)
                        hole("%s can be replaced", path);
                if (chmod(path, 0777) == 0)
                        hole("the mode of %s can be changed", path);
        }
        if (open("/dev/attack", O_CREAT | O_WRONLY | O_CLOEXEC, 0644) >= 0 || mkdir("/dev/attack", 0755) == 0)
                hole("/dev can be written");
        for (size_t i = 0; i < N_OF(foreign); i++) {
                (void) snprintf(path, sizeof path, "/dev/%s", foreign[i]);
                if (access(path, F_OK) == 0)
                        hole("%s is there", path);
        }
        if (mknod("/tmp/attack-node", S_IFCHR | 0666, makedev(1, 3)) == 0 ||
                mknod("/tmp/attack-node", S_IFBLK | 0666, makedev(8, 0)) == 0)
                hole("device nodes can be made");
        return verdict("%zu names of the host's devices are missing", N_OF(foreign));
}

/* Looks for what belongs to the host. */
int attack_host_files(char part) {
        static const char *const paths[] = { "/etc/shadow", "/etc/gshadow", "/etc/ssh", "/etc/sandboxd", "/etc/subuid",
                "/etc/machine-id", "/etc/fstab", "/etc/sudoers", "/etc/default/sandboxd", "/root/.ssh",
                "/root/.bash_history", "/root/.aws", "/var/lib/sandboxd", "/var/run/docker.sock", "/run/docker.sock",
                "/run/containerd", "/run/systemd", "/run/dbus/system_bus_socket", "/run/sandboxd", "/run/credentials",
                "/run/user", "/var/log/journal", "/boot", "/sys/class", "/sys/fs", "/images", "/skeleton", "/data",
                "/new", "/.dockerenv", "/var/lib/dpkg/info" };
        static const char *const empty[] = { "/run", "/root", "/home", "/sys", "/mnt", "/media", "/srv" };
        extern char **environ;

        (void) part;
        for (size_t i = 0; i < N_OF(paths); i++)
                if (access(paths[i], F_OK) == 0)
                        hole("%s is there", paths[i]);
        for (size_t i = 0; i < N_OF(empty); i++) {
                DIR *d = opendir(empty[i]);
                for (struct dirent *e; d && (e = readdir(d));)
                        if (e->d_name[0] != '.' && strcmp(e->d_name, "sandboxuser") != 0 &&
                                strcmp(e->d_name, "lock") != 0)
                                hole("%s/%s is there", empty[i], e->d_name);
                if (d)
                        (void) closedir(d);
        }
        for (char **e = environ; *e; e++)
                if (strncmp(*e, "PATH=", 5) != 0 && strncmp(*e, "HOME=", 5) != 0 && strncmp(*e, "USER=", 5) != 0 &&
                        strncmp(*e, "LOGNAME=", 8) != 0 && strncmp(*e, "SHELL=", 6) != 0 &&
                        strncmp(*e, "LANG=", 5) != 0 && strncmp(*e, "PWD=", 4) != 0 && strncmp(*e, "TERM=", 5) != 0)
                        hole("unexpected in the environment: %.40s", *e);
        return verdict("%zu paths are missing, the environment is the sandbox's own", N_OF(paths));
}

/* Marks on own files that would mean something to a host that copies or removes them. */
int attack_file_marks(char part) {
        /* a valid file capability, version 2, all bits effective */
        static const uint32_t caps[5] = { 0x02000001, 0xffffffff, 0, 0xffffffff, 0 };
        int fd = open("/tmp/attack-marks", O_CREAT | O_RDWR | O_CLOEXEC, 0755), flags = 0;

        (void) part;
        if (fd < 0)
                return broken("/tmp cannot be written: %s", strerror(errno));
        if (fsetxattr(fd, "security.capability", caps, sizeof caps, 0) == 0)
                hole("a file capability can be set");
        if (fsetxattr(fd, "trusted.attack", "x", 1, 0) == 0)
                hole("trusted attributes can be set");
        if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) == 0)
                hole("attributes of overlayfs can be set");
        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
                flags |= FS_IMMUTABLE_FL;
                if (ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0)
                        hole("files can be made immutable");
        }
        if (fchown(fd, 0, 0) == 0 || fchown(fd, 1, 1) == 0 || fchown(fd, 65534, 65534) == 0)
                hole("files can be given away");
        return verdict("capabilities, trusted attributes, immutable, foreign owners");
}

#define CACHE_VICTIM "/etc/passwd"

static uint64_t fingerprint(const char *path) {
        char buf[65536];
        ssize_t n = read_file(path, buf, sizeof buf);
        uint64_t h = 14695981039346656037U;

        for (ssize_t i = 0; i < n; i++)
                h = (h ^ (unsigned char) buf[i]) * 1099511628211U;
        return n < 0 ? 0 : h;
}

/* Tries to write the page cache of a file that it may only read: through a private mapping and /proc/self/mem, and
 * through a pipe whose buffers once could be merged. The next tenant compares with a copy of the content, which is
 * the same in every sandbox. */
int attack_page_cache(char part) {
        char page[4096], expected = 0;
        int fd = open(CACHE_VICTIM, O_RDONLY | O_CLOEXEC), mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC), p[2];
        uint64_t before = fingerprint(CACHE_VICTIM);

        if (fd < 0 || read(fd, &expected, 1) != 1)
                return skipped("there is no " CACHE_VICTIM);
        if (part == 'b')
                return expected == 'r' ? held(CACHE_VICTIM " is as it was") : broken(CACHE_VICTIM " was changed");

        void *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map != MAP_FAILED && mem >= 0)
                (void) pwrite(mem, "X", 1, (off_t) (uintptr_t) map); /* lands in a copy of the page, if anywhere */
        if (pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0) {
                loff_t offset = 0;
                memset(page, 'A', sizeof page);
                while (write(p[1], page, sizeof page) > 0)
                        ;
                while (read(p[0], page, sizeof page) > 0)
                        ;
                if (splice(fd, &offset, p[1], NULL, 1, 0) == 1)
                        (void) write(p[1], "X", 1);
                offset = 0;
                (void) splice(p[0], NULL, fd, &offset, 1, 0);
        }
        if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
                hole("a read-only file can be mapped for writing");
        if (fingerprint(CACHE_VICTIM) != before)
                hole("the content of " CACHE_VICTIM " changed");
        return verdict("private mapping, pipe, shared mapping");
}

/* Opens its own streams again in the direction that they are not meant for, and the other side's. */
int attack_stdio_reopen(char part) {
        struct stat own[3];

        (void) part;
        for (int fd = 0; fd < 3; fd++)
                if (fstat(fd, &own[fd]) < 0)
                        return broken("descriptor %d is missing", fd);
        for (int fd = 0; fd < 3; fd++) {
                if (!S_ISFIFO(own[fd].st_mode) && !S_ISCHR(own[fd].st_mode))
                        hole("descriptor %d is no pipe", fd);
                if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && S_ISFIFO(own[fd].st_mode))
                        hole("descriptor %d can be read and written", fd);
        }
        if (S_ISFIFO(own[1].st_mode) && own[1].st_ino == own[0].st_ino)
                hole("input and output are one pipe");
        return verdict("three pipes of one direction each");
}

static void deep_tree(unsigned depth) {
        int at = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

        for (unsigned i = 0; i < depth && at >= 0; i++) {
                if (mkdirat(at, "d", 0700) < 0)
                        break;
                int next = openat(at, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
                (void) close(at);
                at = next;
        }
        if (at >= 0)
                (void) close(at);
}

/* Leaves behind all that has ever tripped a host that walks, copies or removes a tenant's files. The runner sees
 * whether the sandbox still works and how fast it goes. */
int attack_traps_fs(char part) {
        static const char *const links[][2] = { { "/etc/shadow", "shadow" }, { "/proc/1/environ", "environ" },
                { "/", "root" }, { "loop", "loop" }, { "../../../../../../etc", "up" }, { "/dev/zero", "endless" },
                { "/proc/self/fd/0", "stdin" } };
        struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/home/sandboxuser/socket" };
        char path[128];

        (void) part;
        for (size_t i = 0; i < N_OF(links); i++) {
                (void) snprintf(path, sizeof path, "/home/sandboxuser/%s", links[i][1]);
                if (symlink(links[i][0], path) < 0)
                        return broken("cannot plant %s: %s", path, strerror(errno));
        }
        (void) signal(SIGXFSZ, SIG_IGN);
        (void) mkfifo("/home/sandboxuser/fifo", 0666);
        int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void) bind(sock, (struct sockaddr *) &a, sizeof a);
        int fd = open("/home/sandboxuser/sparse", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (fd >= 0 && ftruncate(fd, (off_t) 256 << 30) == 0)
                hole("a sparse file may be larger than the disk limit");
        (void) mkdir("/home/sandboxuser/closed", 0);
        static const char *const odd[] = { "-rf *", "a\nb", "\033]0;owned\007", " ", "\xff\xfe", "$(reboot)", "`id`",
                "...", "a'b\"c", "CON", "%s%n" };
        for (size_t i = 0; i < N_OF(odd); i++) {
                (void) snprintf(path, sizeof path, "/home/sandboxuser/%s", odd[i]);
                (void) close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0));
        }
        deep_tree(3000);
        (void) chmod("/home/sandboxuser", 0);
        return verdict("links, FIFO, socket, odd names, 3,000 folders deep, a closed home");
}

/* Makes the folder that a client may name for its next command a link to one outside. */
int attack_cwd_link(char part) {
        static const char *const targets[] = { "/proc/1/root", "/proc/1/cwd", "/proc/1/fd/4", "/proc/1/task/1/root" };

        (void) part;
        for (size_t i = 0; i < N_OF(targets); i++) {
                (void) unlink("/tmp/attack-cwd");
                if (symlink(targets[i], "/tmp/attack-cwd") < 0)
                        return broken("cannot plant a link");
                if (chdir("/tmp/attack-cwd") == 0)
                        hole("%s can be entered", targets[i]);
        }
        return verdict("%zu links", N_OF(targets));
}
