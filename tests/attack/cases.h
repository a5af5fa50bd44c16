/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All cases: ATTACK(name, kind, flags, what has to stop it, what it mirrors). No include guard: included to declare,
 * to make the table, and by the documentation's test.
 */
// clang-format off

/* files.c */
ATTACK(fd_leak, SINGLE, 0, "close_range() before execve(), O_CLOEXEC everywhere", "CVE-2024-21626, CVE-2016-9962")
ATTACK(cwd_escape, SINGLE, 0, "pivot_root() and a detached old root, no inherited folders", "CVE-2024-21626, CVE-2018-15664")
ATTACK(ro_root, SINGLE, 0, "read-only overlay; only home, /tmp and /dev/shm are writable", "CVE-2024-28185, CVE-2024-28189")
ATTACK(dev_writable, SINGLE, 0, "/dev is part of the read-only root", "CVE-2025-31133, CVE-2025-52565, CVE-2026-41579")
ATTACK(host_files, SINGLE, 0, "the root is the image; nothing of the host is bound into it", "CVE-2024-29021, CVE-2026-34078")
ATTACK(file_marks, SINGLE, 0, "no capabilities; nosuid", "file capabilities and immutable files left behind")
ATTACK(page_cache, HEIR, 0, "an image of own inodes, no writable mapping of it; splice() of a patched kernel", "CVE-2022-0847, CVE-2026-31431, CVE-2016-5195")
ATTACK(stdio_reopen, SINGLE, 0, "streams are pipes of this command alone", "leaks through /proc/self/fd")
ATTACK(traps_fs, OUTSIDE, 0, "files of a sandbox are never touched by path from outside; the whole file system goes at once", "CVE-2018-15664, CVE-2024-28185, CVE-2026-34079")
ATTACK(file_swap, OUTSIDE, LASTS, "files are read and written by a helper in the sandbox, with its rights", "CVE-2018-15664, CVE-2026-41568, CVE-2026-34078")
ATTACK(cwd_link, SINGLE, 0, "process 1 is not dumpable; folders are entered with the payload's rights", "CVE-2024-21626 by a link for the next command's folder")

/* proc.c */
ATTACK(proc_sys_write, SINGLE, 0, "/proc/sys is read-only, its other dangerous files are covered", "CVE-2025-31133, CVE-2025-52881, CVE-2019-19921")
ATTACK(proc_masked, SINGLE, 0, "covers over files of /proc, no /sys", "Docker's maskedPaths, CVE-2025-31133")
ATTACK(cgroup_write, SINGLE, 0, "no control group file system, a cgroup namespace", "CVE-2022-0492 (release_agent), LXC nesting")
ATTACK(argv_visible, SINGLE, 0, "process 1 has a constant command line; mounts name no path of the host", "bubblewrap's command line")
ATTACK(kernel_info, SINGLE, 0, "no capabilities, covers, syslog() refused", "address leaks used by CVE-2024-1086")
ATTACK(host_identity, SINGLE, 0, "own host name, domain and cgroup namespace; covers over what describes disks and buses", "fingerprints of the host")
ATTACK(proc_locks, PAIR, 0, "cover over /proc/locks", "messages between tenants in the ranges of locks")
ATTACK(mount_table, SINGLE, 0, "private mounts in a namespace of its own", "mount propagation, CVE-2025-52881")

/* first.c: process 1 */
ATTACK(ptrace_init, SINGLE, 0, "process 1 is not dumpable; pidfd_getfd() refused", "CVE-2019-5736, CVE-2022-30594")
ATTACK(init_confined, SINGLE, 0, "process 1 drops all rights before it starts a payload", "bubblewrap's reaper")
ATTACK(init_limits, SINGLE, 0, "filter: limits, priorities and affinity of process 1 cannot be named", "starving a supervisor that has the payload's uid")
ATTACK(init_signals, SINGLE, 0, "process 1 blocks all signals; the kernel protects it in its own namespace", "kill -9 of a supervisor")
ATTACK(control_socket, SINGLE, 0, "process 1 is not dumpable; the socket is in no namespace of the sandbox", "forged frames to a supervisor")
ATTACK(vfork_window, TOGETHER, REPEAT, "what a new process has of process 1 before execve() is not dumpable", "CVE-2016-9962, CVE-2019-5736")

/* rights.c */
ATTACK(caps_zero, SINGLE, 0, "empty capability sets, locked securebits, no_new_privs, two filters", "CVE-2022-24769, CVE-2022-0492")
ATTACK(regain_rights, SINGLE, 0, "empty bounding set, locked securebits, one id mapped", "CVE-2022-0492, keep-capabilities tricks")
ATTACK(inherited_state, SINGLE, 0, "signals, mask, umask, priority, score, session and environment are set anew", "bubblewrap #705, OOMScoreAdjust= of a unit")
ATTACK(rlimits, SINGLE, 0, "hard limits set before the first command", "descriptor and signal floods")
ATTACK(core_dump, SINGLE, 0, "core limit of 1, which also stops pipe handlers, and cannot be changed", "CVE-2025-4598, core_pattern escapes")
ATTACK(ns_create, SINGLE, 0, "filter on clone(), unshare() and setns(); no capability", "CVE-2022-0492, CVE-2022-0185")
ATTACK(namespace_files, SINGLE, 0, "setns() refused; ioctl()s show nothing above", "escapes through /proc/PID/ns")
ATTACK(setuid_files, SINGLE, 0, "nosuid, no_new_privs, an image without setuid files", "setuid programs of an image")
ATTACK(memfd_exec, SINGLE, 0, "the filters and no_new_privs outlive any execve()", "CVE-2019-5736's re-execution")
ATTACK(scheduler, SINGLE, 0, "limits of 0 for nice and real time; oom_score_adj has a floor", "starving neighbours")
ATTACK(foreign_pids, PAIR, 0, "a pid namespace and a uid for each sandbox", "signals across tenants")
ATTACK(second_wall, SINGLE, 0, "Landlock, where the kernel has it: one layer of rules that cannot be taken away", "CVE-2024-21626, CVE-2025-31133 behind a first wall that failed")

/* calls.c */
ATTACK(mount_api, SINGLE, 0, "filter on all mount calls, old and new", "CVE-2021-41133, CVE-2022-0185")
ATTACK(foreign_arch, SINGLE, 0, "calls of other architectures and x32 kill", "socketcall() past argument filters")
ATTACK(high_bits, SINGLE, 0, "arguments are compared in all 64 bits or by the bits that the kernel reads", "CVE-2019-10063")
ATTACK(refused_calls, SINGLE, 0, "allow list; everything else does not exist", "exploits of bpf, userfaultfd, perf, nftables")
ATTACK(io_uring, SINGLE, 0, "io_uring does not exist", "sockets opened behind a filter; 60 % of a bounty's reports")
ATTACK(keyrings, SINGLE, 0, "key calls refused, /proc/keys covered", "isolate's flag 1")
ATTACK(clone_flags, SINGLE, 0, "clone3() does not exist; process 1 reaps whatever is left", "CVE-2022-0185, orphans without SIGCHLD")
ATTACK(huge_pages, SINGLE, 0, "filter on MAP_HUGETLB, MFD_HUGETLB and SHM_HUGETLB", "a pool of the host that no memory limit counts")
ATTACK(socket_filters, SINGLE, 0, "filter on SO_ATTACH_FILTER and its kind", "net.core.bpf_jit_limit is one for the whole host")
ATTACK(aio_contexts, SINGLE, 0, "io_setup() does not exist", "fs.aio-max-nr is one for the whole host")
ATTACK(page_residency, SINGLE, 0, "cachestat() and RWF_NOWAIT refused, mincore() of foreign files answers nothing", "page cache side channels (2019)")

/* sockets.c */
ATTACK(socket_families, SINGLE, 0, "allow list of families", "CVE-2026-31431, CVE-2024-50264, CVE-2020-14386, CVE-2021-26708")
ATTACK(socket_protocols, SINGLE, 0, "filter on type and protocol", "CVE-2017-6074, SMC, MPTCP")
ATTACK(socket_layers, SINGLE, 0, "filter on TCP_ULP", "CVE-2023-0461, kernel TLS")
ATTACK(msg_oob, SINGLE, 0, "filter on MSG_OOB", "CVE-2025-38236")
ATTACK(net_none, SINGLE, 0, "a network namespace with nothing but loopback", "CVE-2024-29021, theft of cloud metadata")
ATTACK(loopback_services, SINGLE, 0, "a network namespace of its own", "CVE-2024-29021, CVE-2020-15257")
ATTACK(abstract_sockets, PAIR, 0, "a network namespace of its own", "CVE-2020-15257")
ATTACK(netns_residue, HEIR, 0, "network namespaces are used again only when no counter tells of a tenant", "pools that recycle")

/* terminals.c */
ATTACK(tiocsti, SINGLE, 0, "filter on TIOCSTI, TIOCLINUX, TIOCSETD and TIOCCONS", "CVE-2017-5226, CVE-2019-10063, CVE-2023-28100")
ATTACK(terminals_apart, PAIR, 0, "an own instance of devpts", "terminals of other sandboxes")
ATTACK(terminal_flood, SINGLE, 0, "max= of devpts", "kernel.pty.max is one for the whole host")

/* neighbours.c */
ATTACK(ipc_isolated, PAIR, 0, "own ipc namespace, own /dev/shm", "isolate e6f0798")
ATTACK(uid_share, PAIR, 0, "a host uid for each sandbox", "limits that count by user")
ATTACK(flock_covert, PAIR, 0, "an overlay mount for each sandbox", "isolate 2.4: locks on shared inodes")
ATTACK(inotify_spy, PAIR, 0, "an overlay mount for each sandbox", "seeing which programs a neighbour starts")
ATTACK(device_locks, PAIR, KNOWN, "device nodes of its own for each sandbox", "locks on /dev/null")
ATTACK(device_spy, PAIR, KNOWN, "device nodes of its own for each sandbox", "inotify on /dev/null")
ATTACK(residue, HEIR, 0, "single use: nothing that a payload touched is used again", "pools that recycle folders and ipc objects")
ATTACK(leaf_residue, HEIR, NEEDS_LIMITS | MAY_END, "memory of a tenant is freed before its place is given away", "pools that recycle cgroups")
ATTACK(zygote_entropy, DIFFER, 0, "nothing random is drawn before the clone", "zygotes that clone a random generator")
ATTACK(compat_ok, SINGLE, 0, "nothing may", "filters that break programs")

/* floods.c */
ATTACK(fork_bomb, FLOOD, MAY_END, "pids.max, RLIMIT_NPROC", "process table of the host")
ATTACK(thread_bomb, FLOOD, MAY_END, "pids.max counts tasks", "limits that count processes only")
ATTACK(zombie_storm, SINGLE, 0, "process 1 reaps", "Piston dd31873")
ATTACK(memory_bomb, FLOOD, NEEDS_LIMITS | MAY_END, "memory.max, no swap", "out of memory on the host")
ATTACK(memfd_bomb, FLOOD, NEEDS_LIMITS | MAY_END, "memory.max counts shared and kernel memory", "memory hidden in pipes and memfds")
ATTACK(tcp_memory, FLOOD, NEEDS_LIMITS | MAY_END, "memory.max counts socket buffers", "net.ipv4.tcp_mem is one for the whole host")
ATTACK(disk_fill, FLOOD, MAY_END, "size= and nr_inodes= of the one tmpfs, RLIMIT_FSIZE", "a full disk on the host")
ATTACK(fd_bomb, SINGLE, 0, "RLIMIT_NOFILE, also for descriptors in flight", "fs.file-max")
ATTACK(cpu_hog, FLOOD, NEEDS_LIMITS, "cpu.max", "mining")
ATTACK(scm_flood, SINGLE, 0, "streams are pipes: no descriptor can be sent over them", "descriptor floods of a supervisor")
ATTACK(pipe_size, SINGLE, 0, "filter on F_SETPIPE_SZ", "pipe-user-pages-soft counts the worker's pipes")
ATTACK(output_flood, OUTSIDE, 0, "bounded capture", "memory of the worker")
ATTACK(sync_storm, SINGLE, 0, "sync() does nothing", "writing out all of the host's file systems, over and over")
ATTACK(ipc_flood, SINGLE, 0, "RLIMIT_MSGQUEUE, ipc namespace", "kernel memory in queues")

/* execs.c */
ATTACK(daemon_hold, OUTSIDE, 0, "the end of a command is the end of its process, and of all that it left", "SWE-ReX #281")
ATTACK(self_stop, OUTSIDE, 0, "SIGKILL works on stopped processes", "stopped processes that never end")
ATTACK(exec_escape, TOGETHER, 0, "process 1 finds descendants by two limits that only go down", "daemons that outlive their command")
ATTACK(exec_bomb, TOGETHER, MAY_END, "process 1 sweeps until nothing is left", "forks that outrun a sweep")
ATTACK(vfork_stop, TOGETHER, SHORT | REPEAT | MAY_END, "deadlines do not depend on process 1, and it does not wait for a child that others could stop", "a child that is stopped before execve() blocks its parent")
ATTACK(trace_zombie, TOGETHER, SHORT | MAY_END, "deadlines do not depend on reaping", "zombies that a tracer holds")
