#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""faults.py BUILD [CASE...]: a worker, without a service manager, among faults that are put in its way. Each case says what has to
come of it; after each the worker has to serve as before, with as many descriptors, threads and processes."""
import http.client
import json
import mmap
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import errno

build = os.path.abspath(sys.argv[1])
wanted = sys.argv[2:]
work = tempfile.mkdtemp(prefix="sandboxd-faults.")


class Problem(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise Problem(text)


def until(condition, seconds, text):
    """Waits; returns how long it took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > seconds:
            raise Problem(text() if callable(text) else text)
        time.sleep(0.02)
    return time.monotonic() - begin


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    return [int(p) for p in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]


def descendants(pid):
    return [q for p in children(pid) for q in [p] + descendants(p)]


def is_spawner(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return b"sandboxd-spawner" in f.read()
    except OSError:
        return False


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Faults:
    """What the preloaded shim reads."""

    def __init__(self):
        self.path = f"{work}/faults"
        with open(self.path, "wb") as f:
            f.write(b"\0" * 4096)
        os.chmod(self.path, 0o666)
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)

    def set(self, pid, call, error, every):
        self.map[0:64] = struct.pack("=6I40s", pid, error, 0, 0, 0, 0, call.encode())
        self.map[8:12] = struct.pack("=I", every)

    def clear(self):
        self.map[8:12] = struct.pack("=I", 0)
        return struct.unpack("=2I", self.map[12:20])


class Worker:
    def __init__(self, state, name, limits=None, pool=3, environment=None):
        self.port = free_port()
        self.name = name
        self.log_path = f"{work}/{name}.log"
        self.state, self.limits, self.pool, self.environment = state, limits, pool, environment or {}
        self.start()

    def start(self, wait=True):
        env = dict(os.environ, POOL_SIZE=str(self.pool), MIN_POOL_SIZE=str(min(2, self.pool)),
                   MAX_POOL_SIZE=str(self.pool), **self.environment)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [f"{build}/src/daemon/sandboxd", "--standalone", "--worker", self.name, "--state", self.state, "--runtime",
                 f"{work}/run-{self.name}", "--listen", f"127.0.0.1:{self.port}"], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, env=env, start_new_session=True, preexec_fn=self.limits)
        self.pid = self.process.pid
        if wait:
            until(self.is_full, 120, lambda: f"the worker does not start: {self.log()[-3000:]}")
            self.supervisor = [p for p in children(self.pid) if is_spawner(p)][0]

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def call(self, method, path, body=None, timeout=20, raw=False, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            c.request(method, path, body if raw or body is None else json.dumps(body), headers or {})
            r = c.getresponse()
            text = r.read()
            if raw:
                return r.status, text, r.headers
            return r.status, json.loads(text) if text else None, r.headers
        finally:
            c.close()

    def is_full(self):
        if self.process.poll() is not None:
            raise Problem(f"the worker ended with {self.process.returncode}: {self.log()[-3000:]}")
        try:
            status, health, _ = self.call("GET", "/health")
            return status == 200 and health["pool_ready"] >= health["pool_size"] > 0
        except (OSError, http.client.HTTPException):
            return False

    def working(self):
        return [p for p in children(self.supervisor) if is_spawner(p)][0]

    def create(self, body=None):
        status, answer, _ = self.call("POST", "/v1/sessions", body or {})
        expect(status == 201, f"create: {status} {answer}")
        return answer["session_id"]

    def execute(self, session, command, timeout=20):
        status, answer, _ = self.call("POST", f"/v1/sessions/{session}/exec", {"command": command}, timeout)
        expect(status == 200, f"exec: {status} {answer}")
        return answer["stdout"]

    def delete(self, session):
        status, answer, _ = self.call("DELETE", f"/v1/sessions/{session}")
        expect(status in (204, 410), f"delete: {status} {answer}")

    def cycle(self, body=None):
        session = self.create(body)
        expect(self.execute(session, "echo $((6*7))") == "42\n", "a command's output is wrong")
        self.delete(session)

    def works(self):
        try:
            self.cycle()
            self.cycle({"pids_limit": 64})
            return True
        except (OSError, http.client.HTTPException, Problem):
            return False

    def clean(self):
        """No session is left."""
        status, answer, _ = self.call("GET", "/v1/sessions?limit=1000")
        for s in answer["sessions"]:
            self.delete(s["session_id"])

    def count(self):
        return (len(os.listdir(f"/proc/{self.pid}/fd")), len(os.listdir(f"/proc/{self.pid}/task")),
                len(descendants(self.pid)))

    def settle(self, base=None):
        """All as it was: returns the counts when nothing goes on."""
        until(self.is_full, 40, "the pool is not full again")
        if base is None:
            time.sleep(0.5)
            return self.count()
        until(lambda: self.count() == base, 25, lambda: f"descriptors, threads, processes: {self.count()}, were {base}")
        return base

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(25)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise Problem("the worker does not stop")


class Load(threading.Thread):
    """Clients that do all kinds of things, and count what is no proper answer. An answer may be any refusal that is a
    problem document; the connection may break while there is a fault; but every request comes to an end."""

    def __init__(self, worker):
        super().__init__(daemon=True)
        self.worker = worker
        self.stopping = False
        self.good = self.refused = self.broken = 0
        self.improper = []

    def ask(self, method, path, body=None, raw=False):
        try:
            status, answer, headers = self.worker.call(method, path, body, 25, raw)
        except TimeoutError:
            self.improper.append((method, path, "no answer within 25 s"))
            return None, None
        except (OSError, http.client.HTTPException, ValueError):
            self.broken += 1
            return None, None
        if status < 300:
            self.good += 1
        elif "problem+json" in (headers.get("Content-Type") or ""):
            self.refused += 1
        else:
            self.improper.append((method, path, status, answer))
        return status, answer

    def run(self):
        n = 0
        while not self.stopping:
            n += 1
            status, answer = self.ask("POST", "/v1/sessions", {"pids_limit": 64} if n % 3 == 0 else {})
            if status != 201:
                continue
            path = f"/v1/sessions/{answer['session_id']}"
            self.ask("POST", f"{path}/exec", {"command": "echo hello; echo world >&2"})
            self.ask("PUT", f"{path}/files?path=f", b"x" * 20000, True)
            self.ask("GET", f"{path}/files?path=f", None, True)
            status, answer = self.ask("POST", f"{path}/exec", {"command": "echo 1; echo 2", "background": True})
            if status == 202:
                self.ask("GET", f"{path}/execs/{answer['exec_id']}/output", None, True)
            self.ask("GET", f"{path}/dir?path=.")
            self.ask("DELETE", path)


def under_load(worker, seconds, n=2):
    loads = [Load(worker) for _ in range(n)]
    for l in loads:
        l.start()
    time.sleep(seconds)
    for l in loads:
        l.stopping = True
    return loads


def joined(loads):
    for l in loads:
        l.join(60)
        expect(not l.is_alive(), "a request does not come to an end")
        expect(not l.improper, f"no proper answer: {l.improper[:3]}")
    return sum(l.good for l in loads), sum(l.refused for l in loads), sum(l.broken for l in loads)


CASES = []


def case(function):
    CASES.append((function.__name__, function.__doc__, function))
    return function


faults = Faults()
main = None

INJECTED = [
    ("accept4", "EMFILE"), ("accept4", "ENFILE"), ("accept4", "ECONNABORTED"), ("accept4", "ENOBUFS"),
    ("socketpair", "EMFILE"), ("socket", "EMFILE"), ("pipe2", "EMFILE"), ("pipe2", "ENFILE"), ("memfd_create", "EMFILE"),
    ("fcntl64", "EMFILE"), ("openat64", "ENFILE"), ("epoll_ctl", "ENOMEM"), ("epoll_ctl", "ENOSPC"),
    ("ftruncate64", "ENOSPC"), ("fallocate64", "ENOSPC"), ("setsockopt", "ENOBUFS"), ("getsockopt", "ENOBUFS"),
    ("fstat64", "ENOMEM"), ("statx", "ENOMEM"), ("poll", "EINTR"), ("fork", "EAGAIN"), ("posix_spawn", "EAGAIN"),
    ("read", "EINTR"), ("read", "EAGAIN"), ("write", "EINTR"), ("write", "EAGAIN"), ("write", "ENOSPC"),
    ("pread64", "EIO"), ("pwrite64", "ENOSPC"), ("recv", "EINTR"), ("recv", "ECONNRESET"),
    ("send", "EINTR"), ("send", "EPIPE"), ("recvmsg", "EINTR"), ("recvmsg", "EAGAIN"),
    ("sendmsg", "EINTR"), ("sendmsg", "EAGAIN"), ("sendmsg", "ENOBUFS"), ("splice", "EAGAIN"), ("splice", "ENOMEM"),
    ("mmap64", "ENOMEM"), ("malloc", "ENOMEM"), ("calloc", "ENOMEM"), ("realloc", "ENOMEM"),
]


@case
def calls_that_fail():
    """each 7th of a call fails: proper answers, and all is as before"""
    base = main.settle()
    hits_of = {}
    for call, name in INJECTED:
        if main.works() is False:
            raise Problem(f"does not work before {call}")
        faults.set(main.pid, call, getattr(errno, name), 7 if call not in ("malloc", "calloc", "realloc") else 997)
        loads = under_load(main, 0.5)
        _, hits = faults.clear()
        try:
            good, refused, broken = joined(loads)
            until(main.works, 5, "does not work any more")
            main.clean()
            main.settle(base)
        except Problem as p:
            raise Problem(f"{call} {name} ({hits} times): {p}") from None
        hits_of[f"{call} {name}"] = hits
    print(f"  {sum(1 for h in hits_of.values() if h)} of {len(INJECTED)} kinds were met, {sum(hits_of.values())} failures")


try:
    os.chmod(work, 0o755)
    shim = f"{build}/tests/faults/libfaults.so"
    main = Worker(os.environ.get("FAULTS_STATE", f"{work}/state"), f"faults-{os.getpid()}", environment={"LD_PRELOAD": shim, "FAULTS": faults.path})
    failed = 0
    for name, text, function in CASES:
        if wanted and name not in wanted:
            continue
        begin = time.monotonic()
        try:
            function()
            print(f"ok {name}: {text} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Exception as p:
            failed += 1
            print(f"FAILED {name}: {text}: {type(p).__name__} {p}", flush=True)
            if main.process.poll() is not None:
                print(main.log()[-3000:])
                break
    sys.exit(1 if failed else 0)
finally:
    if main:
        try:
            main.stop()
        except Problem as p:
            print(p)
    shutil.rmtree(work, ignore_errors=True)
