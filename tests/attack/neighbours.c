/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

#define KEY 0x5ab0

/* --- ipc --- */

static void plant_ipc(void) {
        struct {
                long flags, maxmsg, msgsize, current, reserved[4];
        } attr = { .maxmsg = 4, .msgsize = 64 };

        (void) shmget(KEY, 4096, IPC_CREAT | 0666);
        (void) semget(KEY, 1, IPC_CREAT | 0666);
        (void) msgget(KEY, IPC_CREAT | 0666);
        (void) open("/dev/shm/attack", O_CREAT | O_RDWR | O_CLOEXEC, 0666);
        (void) syscall(SYS_mq_open, "attack", O_CREAT | O_RDWR, 0666, &attr);
}

static void look_for_ipc(void) {
        static const char *const tables[] = { "/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg" };
        char text[4096];

        if (shmget(KEY, 0, 0) >= 0 || semget(KEY, 0, 0) >= 0 || msgget(KEY, 0) >= 0)
                hole("a System V object of another tenant");
        for (size_t i = 0; i < N_OF(tables); i++)
                if (read_file(tables[i], text, sizeof text) > 0 && strchr(text, '\n') && strchr(text, '\n')[1])
                        hole("%s has a row", tables[i]);
        if (access("/dev/shm/attack", F_OK) == 0)
                hole("shared memory of another tenant");
        if (syscall(SYS_mq_open, "attack", O_RDONLY, 0, NULL) >= 0)
                hole("a message queue of another tenant");
}

int attack_ipc_isolated(char part) {
        if (part == 'a') {
                plant_ipc();
                ready();
                wait_for_other();
                return held("objects were there");
        }
        look_for_ipc();
        return verdict("no object of the neighbour");
}

/* --- limits that count by user --- */

static unsigned take_inotify(unsigned most) {
        unsigned n = 0;

        while (n < most && inotify_init1(IN_CLOEXEC) >= 0)
                n++;
        return n;
}

static unsigned take_signals(unsigned most) {
        unsigned n = 0;
        sigset_t all;

        (void) sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, NULL);
        while (n < most && sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ 0 }) == 0)
                n++;
        return n;
}

static unsigned take_queues(unsigned most) {
        struct {
                long flags, maxmsg, msgsize, current, reserved[4];
        } attr = { .maxmsg = 10, .msgsize = 8192 };
        unsigned n = 0;

        for (; n < most; n++) {
                char name[32];
                (void) snprintf(name, sizeof name, "attack-%u", n);
                if (syscall(SYS_mq_open, name, O_CREAT | O_RDWR, 0600, &attr) < 0)
                        break;
        }
        return n;
}

/* Part 'a' takes all that it can have of what is counted by user; something has to be left for 'b'. */
int attack_uid_share(char part) {
        unsigned most = part == 'a' ? 100000 : 4;
        unsigned inotify = take_inotify(most * 4), signals = take_signals(most),
                 queues = take_queues(part == 'a' ? most : 1);

        if (part == 'a') {
                ready();
                wait_for_other();
                return held("%u inotify instances, %u signals, %u queues were taken", inotify, signals, queues);
        }
        if (inotify < 16)
                hole("%u of 16 inotify instances are left", inotify);
        if (signals < 4)
                hole("%u of 4 signals may wait", signals);
        if (queues < 1)
                hole("no message queue can be had");
        return verdict("inotify instances, waiting signals, message queues");
}

/* --- locks and watches on what is shared --- */

static const char *const shared[] = { "/", "/etc", "/etc/passwd", "/usr", "/usr/bin", "/bin/sh", "/usr/bin/env", "/lib",
        "/dev", "/dev/pts", "/dev/fd", "/proc", "/proc/sys", "/proc/version", "/proc/acpi", "/proc/driver", "/proc/bus",
        "/proc/keys", "/proc/cmdline", "/proc/sys/kernel/random/uuid", "/etc/hostname", "/etc/hosts", "/var/tmp",
        "/home", "/run", "/tmp", "/dev/shm" };
static const char *const device_nodes[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom" };

static void take_locks(const char *const *paths, size_t n) {
        for (size_t i = 0; i < n; i++) {
                struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 10 };
                int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        continue;
                (void) flock(fd, LOCK_EX | LOCK_NB);
                (void) fcntl(fd, F_SETLK, &lock);
                (void) fcntl(fd, F_SETLEASE, F_RDLCK);
        }
}

static void look_for_locks(const char *const *paths, size_t n) {
        for (size_t i = 0; i < n; i++) {
                struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10 };
                int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        continue;
                if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
                        hole("a neighbour's lock on %s is seen", paths[i]);
                (void) flock(fd, LOCK_UN);
                if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
                        hole("a neighbour's record lock on %s is seen", paths[i]);
                (void) close(fd);
        }
}

static int lock_part(char part, const char *const *paths, size_t n) {
        if (part == 'a') {
                take_locks(paths, n);
                ready();
                wait_for_other();
                return held("locks were held");
        }
        look_for_locks(paths, n);
        return verdict("%zu shared names", n);
}

int attack_flock_covert(char part) {
        return lock_part(part, shared, N_OF(shared));
}

int attack_device_locks(char part) {
        return lock_part(part, device_nodes, N_OF(device_nodes));
}

/* Part 'a' watches while it does nothing itself: whatever happens then was done by somebody else. */
static int watch_part(const char *const *paths, size_t n) {
        _Alignas(struct inotify_event) char buf[4096];
        int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), watches[64];
        struct pollfd p = { .fd = fd, .events = POLLIN };

        for (size_t i = 0; i < n; i++)
                watches[i] = inotify_add_watch(fd, paths[i], IN_ALL_EVENTS);
        ready();
        /* the runner's own commands in this sandbox come to an end */
        for (uint64_t end = now_ms() + 4000; now_ms() < end && poll(&p, 1, 700) > 0;)
                while (read(fd, buf, sizeof buf) > 0)
                        ;
        if (poll(&p, 1, 1500) > 0 && read(fd, buf, sizeof buf) > 0) {
                const struct inotify_event *e = (const struct inotify_event *) (const void *) buf;
                for (size_t i = 0; i < n; i++)
                        if (watches[i] == e->wd)
                                return broken(
                                        "something happens at %s: %x %.40s", paths[i], e->mask, e->len ? e->name : "");
                return broken("something happens");
        }
        return held("nothing was seen for 1.5 s");
}

static int activity_part(const char *const *paths, size_t n) {
        for (uint64_t end = now_ms() + 6500; now_ms() < end; sleep_ms(20)) {
                for (size_t i = 0; i < n; i++) {
                        char c;
                        int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
                        if (fd < 0)
                                continue;
                        (void) read(fd, &c, 1);
                        (void) close(fd);
                }
                pid_t pid = fork();
                if (pid == 0) {
                        (void) execl("/bin/sh", "sh", "-c", "true", NULL);
                        _exit(0);
                }
                (void) waitpid(pid, NULL, 0);
        }
        return held("programs were started and files read");
}

int attack_inotify_spy(char part) {
        return part == 'a' ? watch_part(shared, N_OF(shared) - 2) : activity_part(shared, N_OF(shared) - 2);
}

int attack_device_spy(char part) {
        return part == 'a' ? watch_part(device_nodes, N_OF(device_nodes))
                           : activity_part(device_nodes, N_OF(device_nodes));
}

/* --- what a tenant leaves --- */

static void list_foreign(const char *folder) {
        DIR *d = opendir(folder);

        for (struct dirent *e; d && (e = readdir(d));)
                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
                        strcmp(e->d_name, program_invocation_short_name) != 0)
                        hole("%s/%.40s is there", folder, e->d_name);
        if (d)
                (void) closedir(d);
}

int attack_residue(char part) {
        static const char *const folders[] = { "/home/sandboxuser", "/tmp", "/dev/shm", "/dev/pts" };

        if (part == 'a') {
                for (size_t i = 0; i < 3; i++) {
                        char path[64];
                        (void) snprintf(path, sizeof path, "%s/attack-left", folders[i]);
                        (void) close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
                }
                plant_ipc();
                if (fork() == 0) {
                        (void) setsid();
                        (void) signal(SIGTERM, SIG_IGN);
                        for (int i = 0; i < 3; i++)
                                (void) close(i);
                        sleep_ms(60000);
                        _exit(0);
                }
                return held("files, objects and a process are left");
        }
        for (size_t i = 0; i < 3; i++)
                list_foreign(folders[i]);
        look_for_ipc();
        DIR *d = opendir("/proc");
        for (struct dirent *e; d && (e = readdir(d));)
                if (e->d_name[0] >= '0' && e->d_name[0] <= '9' && atoi(e->d_name) != 1 && atoi(e->d_name) != getpid())
                        hole("there is a process %s", e->d_name);
        if (d)
                (void) closedir(d);
        if (take_inotify(16) < 16)
                hole("limits of a user before are used up");
        return verdict("files, objects, processes, limits");
}

#define PIECE ((size_t) 1 << 20)

static int take_memory(void *argument) {
        size_t pieces = *(size_t *) argument;

        for (size_t i = 0; i < pieces; i++) {
                char *p = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (p == MAP_FAILED)
                        return 2;
                memset(p, 'x', PIECE);
        }
        return 0;
}

/* The runner gives these sandboxes 256 MiB: 'a' leaves 160 in files, 'b' needs 160 right after. */
int attack_leaf_residue(char part) {
        static char data[PIECE];
        size_t pieces = 160;

        if (part == 'a') {
                int fd = open("/tmp/attack-fill", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
                size_t n = 0;
                memset(data, 'x', sizeof data);
                while (fd >= 0 && n < pieces && write(fd, data, sizeof data) == (ssize_t) sizeof data)
                        n++;
                return held("%zu MiB of files are left", n);
        }
        int r = in_child(take_memory, &pieces);
        if (r != 0)
                hole("%zu MiB cannot be had: %d", pieces, r);
        return verdict("%zu MiB at once", pieces);
}

/* Whatever should be random; the runner compares the words of several sandboxes. */
int attack_zygote_entropy(char part) {
        uint64_t drawn[2] = { 0 }, given[2] = { 0 };
        char uuid[64] = "";

        (void) part;
        (void) getrandom(drawn, sizeof drawn, 0);
        memcpy(given, (const void *) getauxval(AT_RANDOM), sizeof given);
        (void) read_file("/proc/sys/kernel/random/uuid", uuid, sizeof uuid);
        uuid[strcspn(uuid, "\n")] = '\0';
        void *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return held("%016lx%016lx auxv:%016lx%016lx %s map:%p stack:%p", drawn[0], drawn[1], given[0], given[1], uuid,
                map, (void *) &map);
}

static const char script[] =
        "import asyncio, ctypes, multiprocessing, os, pty, sqlite3, ssl, subprocess, socket, tempfile, threading\n"
        "def square(x): return x * x\n"
        "async def sub():\n"
        "    p = await asyncio.create_subprocess_exec('true')\n"
        "    return await p.wait()\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.Pool(2) as p: assert p.map(square, [1, 2, 3]) == [1, 4, 9]\n"
        "    assert asyncio.run(sub()) == 0\n"
        "    d = sqlite3.connect(tempfile.mktemp()); d.execute('create table t(x)'); d.execute('insert into t "
        "values(1)'); d.commit()\n"
        "    ssl.create_default_context(); ctypes.CDLL(None).getpid()\n"
        "    m, s = pty.openpty(); os.write(s, b'x'); assert os.read(m, 1) == b'x'\n"
        "    a = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(a.getsockname()); "
        "c.sendall(b'x')\n"
        "    t = threading.Thread(target=lambda: None); t.start(); t.join()\n"
        "    q = multiprocessing.Queue(); q.put(1); assert q.get() == 1\n"
        "    subprocess.run('echo x | cat > /dev/null', shell=True, check=True)\n"
        "    print('works')\n";

static int run_python(void *argument) {
        (void) argument;
        (void) execl("/usr/bin/python3", "python3", "/tmp/attack-script.py", NULL);
        return 127;
}

int attack_compat_ok(char part) {
        (void) part;
        if (access("/usr/bin/python3", X_OK) < 0)
                return skipped("no python3");
        int fd = open("/tmp/attack-script.py", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        if (fd < 0 || write(fd, script, sizeof script - 1) != (ssize_t) sizeof script - 1)
                return broken("cannot write a script");
        int r = in_child(run_python, NULL);
        if (r != 0)
                hole("python ends with %d", r);
        return verdict("multiprocessing, asyncio, sqlite, ssl, ctypes, pty, sockets, threads");
}
